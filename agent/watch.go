package agent

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/session"
)

// watch keeps an eye on the engine: whether it is there, what its events hint
// at, and what it lists. A list that fails is a condition of the node, never
// "no containers".
type watch struct {
	rt  runtime.Runtime
	set *instance.Set
	log *slog.Logger

	relist chan struct{} // size 1: a list is due
	first  chan struct{} // closed after the first list, however it went

	listing chan struct{} // size 1: full while a list is under way

	mu      sync.Mutex // guards all below
	docker  session.Docker
	version string
	misses  int // pings without an answer, in a row
}

// How often the engine is asked, and how long it may take.
const (
	pingEvery    = 5 * time.Second
	pingTimeout  = 5 * time.Second
	maxMisses    = 2 // a busy engine may be slow once
	relistEvery  = time.Minute
	listTimeout  = 40 * time.Second
	relistPause  = time.Second // between lists that events ask for
	eventsPause  = time.Second
	relistJitter = 10 * time.Second
)

func newWatch(rt runtime.Runtime, set *instance.Set, log *slog.Logger) *watch {
	return &watch{
		rt: rt, set: set, log: log, relist: make(chan struct{}, 1), first: make(chan struct{}), listing: make(chan struct{}, 1),
		docker: session.Docker{Error: notAsked},
	}
}

// notAsked is the condition of an engine that was not looked at yet.
const notAsked = "not asked yet"

// Docker returns the engine's condition as last seen.
func (w *watch) Docker() session.Docker {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.docker
}

// Version returns the engine's version; "" until it has answered.
func (w *watch) Version() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.version
}

// Run watches until ctx ends.
func (w *watch) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	w.begin(ctx)
	close(w.first)
	wg.Go(func() { w.pings(ctx) })
	wg.Go(func() { w.events(ctx) })
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.relist:
		case <-time.After(relistEvery - rand.N(relistJitter)):
		}
		w.bounded(ctx, listTimeout)
		sleep(ctx, relistPause)
	}
}

// begin takes the first look, bounded: without an engine there is still a
// leader to be told so.
func (w *watch) begin(ctx context.Context) {
	w.ping(ctx)
	w.bounded(ctx, 2*pingTimeout)
}

func (w *watch) bounded(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	w.Refresh(ctx)
}

// Refresh compares the set with the engine's list.
func (w *watch) Refresh(ctx context.Context) {
	select {
	case w.listing <- struct{}{}:
		defer func() { <-w.listing }()
	case <-ctx.Done():
		w.outcome(ctx, errBusy)
		return
	}
	list, err := w.rt.List(ctx)
	if err == nil {
		err = w.set.Reconcile(ctx, list)
	}
	w.outcome(ctx, err)
}

// errBusy is said to a leader whose sync cannot be fresh.
var errBusy = errors.New("docker has not answered an earlier request for its list")

// outcome notes how a list went, unless it was us who gave up.
func (w *watch) outcome(ctx context.Context, err error) {
	if err == nil || !errors.Is(ctx.Err(), context.Canceled) {
		w.note(err)
	}
}

func (w *watch) pings(ctx context.Context) {
	for sleep(ctx, pingEvery) {
		w.ping(ctx)
	}
}

func (w *watch) ping(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	info, err := w.rt.Info(ctx)
	if err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return
		}
		w.missed(err)
		return
	}
	w.mu.Lock()
	w.version, w.misses = info.Version, 0
	back := !w.docker.OK
	w.mu.Unlock()
	if back {
		w.due() // it answers again: what happened meanwhile, the list tells
	}
}

func (w *watch) missed(err error) {
	w.mu.Lock()
	w.misses++
	down := w.misses >= maxMisses
	w.mu.Unlock()
	if down {
		w.note(err)
	}
}

// note keeps the engine's condition and logs its changes.
func (w *watch) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	was := w.docker
	w.docker = session.Docker{OK: err == nil, Turns: was.Turns}
	if err != nil {
		w.docker.Error = err.Error()
	}
	switch {
	case err != nil && (was.OK || was.Error == notAsked): // it is away, or was never there
		w.log.Error("docker does not answer; containers are left as they are", "err", err)
	case !was.OK && err == nil:
		w.log.Info("docker answers", "version", w.version)
	}
}

// due asks for a list.
func (w *watch) due() {
	select {
	case w.relist <- struct{}{}:
	default:
	}
}

// events follows the engine's events. Each subscription begins with a list:
// what happened between two of them was not heard. One that broke is the only sign
// of a restart that is over before the next ping.
func (w *watch) events(ctx context.Context) {
	for {
		err := w.rt.Events(ctx, func(e runtime.Event) {
			if e.InstanceID == "" {
				w.due()
			} else {
				w.set.Poke(e.InstanceID)
			}
		})
		w.log.Debug("events ended", "err", err)
		w.mu.Lock()
		w.docker.Turns++
		w.mu.Unlock()
		if !sleep(ctx, eventsPause) {
			return
		}
	}
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
