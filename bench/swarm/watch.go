package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Looking is to be a small part of what the machine does: the router is asked
// often only once all instances answer.
const (
	lookEvery = 50 * time.Millisecond
	askEvery  = 50 * time.Millisecond
	thenEvery = 5 * time.Millisecond
)

// watch looks for the moment at which so many instances answer, and are in the
// routes.
type watch struct {
	answers, routes chan end
	sent, failed    int // requests through the router; read after routed
	why             string
}

type end struct {
	at  time.Time
	err error
}

// watch begins to look; without names a container that does not count.
func (s *platform) watch(ctx context.Context, n int, without string) *watch {
	w := &watch{answers: make(chan end, 1), routes: make(chan end, 1)}
	all := make(chan struct{})
	go func() {
		w.answers <- ended(s.answer(ctx, n, without))
		close(all)
	}()
	if s.url != "" {
		go func() { w.routes <- ended(w.route(ctx, s.url, n, without, all)) }()
	}
	return w
}

func ended(err error) end { return end{time.Now(), err} }

func (w *watch) answering() (time.Time, error) { e := <-w.answers; return e.at, e.err }
func (w *watch) routed() (time.Time, error)    { e := <-w.routes; return e.at, e.err }

// answer waits until n containers answer at their own addresses. One that has
// answered is not asked again.
func (s *platform) answer(ctx context.Context, n int, without string) error {
	good := map[string]bool{}
	return until(ctx, func() (bool, error) {
		all, err := s.engine.list(ctx, s.label)
		if err != nil {
			return false, err
		}
		now := 0
		for _, c := range all {
			if c.ID == without {
				continue
			}
			if !good[c.ID] && c.address() != "" {
				_, err := get(ctx, "http://"+c.address()+"/healthz")
				good[c.ID] = err == nil
			}
			if good[c.ID] {
				now++
			}
		}
		return now >= n, nil
	})
}

// askers ask the router side by side in the end: to meet each of twenty instances
// takes seventy requests.
const askers = 4

// route waits until n instances were met through the router, one that is gone
// apart. Requests that fail after the first that did not are counted: an instance
// in the routes was ready.
func (w *watch) route(ctx context.Context, url string, n int, without string, all <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answers := make(chan answer)
	ask := func(every time.Duration, until <-chan struct{}) {
		for ctx.Err() == nil {
			name, err := get(ctx, url)
			select {
			case answers <- answer{name, err}:
			case <-until:
				return
			case <-ctx.Done():
			}
			pause(ctx, every)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { ask(askEvery, all) })
	for range askers {
		wg.Go(func() {
			select {
			case <-all:
				ask(thenEvery, nil)
			case <-ctx.Done():
			}
		})
	}
	defer wg.Wait()
	defer cancel()
	met := map[string]bool{}
	for serves := without != ""; len(met) < n; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d instances are in the routes after %s", len(met), n, patience)
		case a := <-answers:
			if serves = serves || a.err == nil; !serves {
				continue
			}
			if w.sent++; a.err != nil {
				w.failed, w.why = w.failed+1, a.err.Error()
			} else if without == "" || !strings.HasPrefix(without, a.name) {
				met[a.name] = true
			}
		}
	}
	return nil
}

type answer struct {
	name string
	err  error
}

// client makes a connection for each request, as many people do. Names under
// localhost are this machine, whatever it has for a resolver.
var client = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
	if host, port, err := net.SplitHostPort(addr); err == nil && strings.HasSuffix(host, ".localhost") {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}}}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.100s", res.Status, body)
	}
	return strings.TrimSpace(string(body)), err
}

func until(ctx context.Context, so func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ok, err := so()
		if ok || err != nil {
			return err
		}
		if pause(ctx, lookEvery); ctx.Err() != nil {
			return fmt.Errorf("not so after %s", patience)
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
