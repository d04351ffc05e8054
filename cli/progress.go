package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progressEvery is the pause between two lines of progress in a log.
const progressEvery = 3 * time.Second

// meter shows how far a transfer is: a bar for a person, a line now and then
// for a log, nothing for what is over in a moment.
type meter struct {
	err   io.Writer
	what  string
	total int64
	bar   *progressbar.ProgressBar // nil when nobody watches

	mu   sync.Mutex // guards last: the sender of a request outlives its answer
	last time.Time
}

func newMeter(w io.Writer, what string, total int64, noColor bool) *meter {
	m := &meter{err: w, what: what, total: total, last: time.Now()}
	if isTerminal(w) {
		m.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
			progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionEnableColorCodes(!noColor), progressbar.OptionFullWidth())
	}
	return m
}

// seen tells how much is done. What a resumed upload had to take back moves it
// back as well.
func (m *meter) seen(n int64) {
	if m.bar != nil {
		m.bar.Set64(n)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.last) < progressEvery {
		return
	}
	m.last = time.Now()
	fmt.Fprintf(m.err, "%s: %s of %s (%d%%)\n", m.what, size(n), size(m.total), 100*n/max(m.total, 1))
}

// done takes the bar off the screen.
func (m *meter) done() {
	if m.bar != nil {
		m.bar.Finish()
	}
}
