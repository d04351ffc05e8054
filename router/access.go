package router

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/dinp/dinp/router/proxy"
)

// accessLog writes one JSON line per request that has ended.
type accessLog struct {
	mu sync.Mutex // a line is one write
	w  io.Writer  // nil: off
}

type accessLine struct {
	Time string `json:"time"` // when it ended
	proxy.Record
	Milliseconds float64 `json:"ms"`
}

func (a *accessLog) write(rec proxy.Record) {
	if a.w == nil {
		return
	}
	b, err := json.Marshal(accessLine{
		Time: time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), Record: rec,
		Milliseconds: float64(rec.Duration.Microseconds()) / 1000,
	})
	if err != nil {
		panic("router: encode access line: " + err.Error()) // strings and numbers: cannot happen
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.w.Write(append(b, '\n')) // a full disk must not stop traffic
}
