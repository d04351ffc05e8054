package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// pace sends requests at a given rate, whatever the answers do, and returns how
// long they took. An answer that is late makes those behind it on its
// connection late as well: their time counts from when they were due.
func pace(ctx context.Context, w workload, addr string, perSecond float64, d time.Duration) (took []time.Duration, err error) {
	return paced(ctx, w.conns, w.tls, w.requests(), addr, perSecond, d)
}

func paced(ctx context.Context, conns int, tls bool, requests []string, addr string, perSecond float64, d time.Duration) (took []time.Duration, err error) {
	callers := make([]*caller, conns)
	for i := range callers {
		callers[i] = &caller{addr: addr, tls: tls, all: requests, next: i}
		defer callers[i].close()
	}
	if err := connect(callers); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d, errPaced)
	defer cancel()
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		gap   = time.Duration(float64(conns) / perSecond * float64(time.Second))
		began = time.Now()
	)
	for i, c := range callers {
		wg.Go(func() {
			mine, failed := c.keepPace(ctx, began.Add(gap*time.Duration(i)/time.Duration(conns)), gap)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if err == nil {
				err = failed
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took, err
}

// connect makes each caller's first request. It is not measured: where
// connections are kept, 512 that are opened at the same moment would be all that
// the 99th percentile of one second shows.
func connect(callers []*caller) error {
	var wg sync.WaitGroup
	failed := make([]error, len(callers))
	for i, c := range callers {
		wg.Go(func() { failed[i] = c.call() })
	}
	wg.Wait()
	return errors.Join(failed...)
}

var errPaced = errors.New("the measurement is over")

// caller is one connection's client.
type caller struct {
	addr string
	tls  bool
	all  []string // its requests
	next int
	conn net.Conn
	r    *bufio.Reader

	app string // that has answered last
}

func (c *caller) keepPace(ctx context.Context, due time.Time, gap time.Duration) (took []time.Duration, err error) {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return took, nil
		case <-timer.C:
		}
		from := time.Now()
		if late := from.Sub(due); late > gap { // by our own answer before, not by the timer
			from = due
		}
		if err := c.call(); err != nil {
			return took, fmt.Errorf("%s: %w", c.addr, err)
		}
		took = append(took, time.Since(from))
		due = due.Add(gap)
		timer.Reset(time.Until(due))
	}
}

// call makes one request and reads its answer.
func (c *caller) call() error {
	if c.conn == nil {
		if err := c.dial(); err != nil {
			return err
		}
	}
	c.next++
	if _, err := io.WriteString(c.conn, c.all[c.next%len(c.all)]); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	c.app = resp.Header.Get("X-App")
	if resp.Close {
		c.close()
	}
	return nil
}

func (c *caller) dial() (err error) {
	if c.conn, err = net.DialTimeout("tcp", c.addr, 10*time.Second); err != nil {
		c.conn = nil
		return err
	}
	c.conn.SetDeadline(time.Now().Add(10 * time.Minute))
	if c.tls {
		c.conn = tls.Client(c.conn, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}) // made for this run
	}
	c.r = bufio.NewReader(c.conn)
	return nil
}

func (c *caller) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// percentile of sorted times.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(float64(len(sorted))*p/100), len(sorted)-1)]
}
