package router

import (
	"sync"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/stats"
)

// lines keeps the counts of the router's line for a while: the line is also
// written at each change of the table, which may be many times a second.
type lines struct {
	mu      sync.Mutex
	at      time.Time
	apps    []route.AppLine
	omitted int
}

// linesEvery is how old the counts in the router's line may be.
const linesEvery = time.Second

func (l *lines) of(s *stats.Recorder, now time.Time) ([]route.AppLine, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.at) >= linesEvery {
		l.at = now
		l.apps, l.omitted = s.Lines(now)
	}
	return l.apps, l.omitted
}
