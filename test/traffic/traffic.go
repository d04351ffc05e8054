// Package traffic asks an app through a router, at a steady rate, for as long
// as a test does its worst to the platform. Every request must succeed: that
// nothing is lost is what static stability means.
package traffic

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dinp/dinp/test/testenv"
)

// Measure is how long each fault lasts and how many requests a second there
// are: little, unless SOAK_EACH and SOAK_RATE say more, as `make soak-router` does.
func Measure(t testing.TB) (each time.Duration, rate int) {
	t.Helper()
	each, rate = time.Second, 200
	var err error
	if s := os.Getenv("SOAK_EACH"); s != "" {
		if each, err = time.ParseDuration(s); err != nil {
			t.Fatalf("SOAK_EACH: %v", err)
		}
	}
	if s := os.Getenv("SOAK_RATE"); s != "" {
		if rate, err = strconv.Atoi(s); err != nil || rate < 1 {
			t.Fatalf("SOAK_RATE: %q is no rate", s)
		}
	}
	return each, rate
}

// Config says what is asked.
type Config struct {
	Addr string // of the router
	Host string
	Rate int  // requests a second
	Post bool // the app takes POSTs, too
}

// Traffic is a stream of requests: GETs on connections that are kept, and now
// and then one, or a POST with a body, on a new one.
type Traffic struct {
	cfg            Config
	kept, fresh    *http.Client
	cancel         context.CancelFunc
	wg             sync.WaitGroup
	sent, answered atomic.Int64

	mu       sync.Mutex
	failures []string
}

// clients is how many ask at the same time at a rate: so many that it is kept
// while an answer takes 100 ms.
func clients(rate int) int { return max(32, rate/10) }

// Begin starts asking; End stops it.
func Begin(t testing.TB, cfg Config) *Traffic {
	ctx, cancel := context.WithCancel(t.Context())
	n := clients(cfg.Rate)
	tr := &Traffic{
		cfg: cfg, cancel: cancel,
		kept:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}, Timeout: time.Minute},
		fresh: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute},
	}
	for i := range n {
		tr.wg.Go(func() { tr.client(ctx, i, time.Duration(n)*time.Second/time.Duration(cfg.Rate)) })
	}
	return tr
}

func (tr *Traffic) client(ctx context.Context, n int, every time.Duration) {
	due := time.Now()
	timer := time.NewTimer(every)
	defer timer.Stop()
	for ; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			tr.ask(n)
		}
		due = due.Add(every) // a machine that stalls makes up for it: no request is left out
		timer.Reset(time.Until(due.Add(every)))
	}
}

// ask sends the n-th request, and never gives it up for the test's end.
func (tr *Traffic) ask(n int) {
	tr.sent.Add(1)
	c, method, size := tr.kept, http.MethodGet, 0
	switch {
	case n%16 == 0:
		c = tr.fresh
	case n%16 == 1 && tr.cfg.Post:
		c, method, size = tr.fresh, http.MethodPost, 3000
	}
	err := tr.exchange(c, method, bytes.Repeat([]byte("x"), size))
	tr.answered.Add(1)
	if err != nil {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.failures = append(tr.failures, fmt.Sprintf("%s %s: %v", time.Now().Format("15:04:05.000"), method, err))
	}
}

func (tr *Traffic) exchange(c *http.Client, method string, body []byte) error {
	req, err := http.NewRequest(method, "http://"+tr.cfg.Addr+"/", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Host = tr.cfg.Host
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %v %.200s", resp.Status, err, strings.TrimSpace(string(text)))
	}
	return nil
}

// GoOn lets it go on for a while, and through at least 50 answers: on a machine
// that stalls a while may be too short to say anything.
func (tr *Traffic) GoOn(t testing.TB, each time.Duration, during string) {
	t.Helper()
	sent, failed := tr.sent.Load(), tr.Failed()
	until, want := time.Now().Add(each), tr.answered.Load()+50
	testenv.Eventually(t, each+2*time.Minute, func() error {
		if n := tr.answered.Load(); time.Now().Before(until) || n < want {
			return fmt.Errorf("%d of %d requests answered", n, want)
		}
		return nil
	})
	t.Logf("%s: %d requests, %d failed", during, tr.sent.Load()-sent, tr.Failed()-failed)
}

// Failed is how many requests have failed.
func (tr *Traffic) Failed() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.failures)
}

// End stops it, and fails the test if any request has failed.
func (tr *Traffic) End(t testing.TB) {
	t.Helper()
	tr.cancel()
	tr.wg.Wait()
	tr.kept.CloseIdleConnections()
	n := tr.Failed()
	t.Logf("in all: %d requests, %d failed", tr.sent.Load(), n)
	if n > 0 {
		t.Errorf("%d of %d requests failed: %s", n, tr.sent.Load(), strings.Join(tr.failures[:min(n, 10)], "\n"))
	}
}
