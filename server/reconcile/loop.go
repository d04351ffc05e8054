package reconcile

import (
	"context"
	"errors"
	"sync"
	"time"

	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/sql/store"
)

// beginWithin is how long the routes in force may take to be read.
const beginWithin = 5 * time.Second

// Loop is the goroutine around a Core: it feeds events to it as they come, and
// rounds when they are due.
type Loop struct {
	*Core
	inbox    chan dispatch.Event
	debounce time.Duration
	tails    sync.WaitGroup
	ahead    *ahead
	term     context.Context // Run's: readers of output end with it
}

// NewLoop makes the loop of one term. inbox must be the channel that the term's
// events go to. deps.Tail and deps.Now are the loop's own.
func NewLoop(cfg Config, lease store.Lease, deps Deps, inbox chan dispatch.Event) *Loop {
	l := &Loop{inbox: inbox, debounce: cfg.Debounce, ahead: readAhead(deps.Store)}
	deps.Store, deps.Tail, deps.Now = l.ahead, l.tail, time.Now
	l.Core = New(cfg, lease, deps)
	return l
}

// Run reconciles until ctx ends or the lease is lost.
func (l *Loop) Run(ctx context.Context) error {
	l.term = ctx
	var reading sync.WaitGroup
	reading.Go(func() { l.ahead.read(ctx) })
	defer reading.Wait()
	defer l.tails.Wait()
	if !l.begin(ctx) {
		reading.Go(func() { l.beginLate(ctx) })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var took time.Duration // by the last round
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case e := <-l.inbox:
			l.Handle(ctx, e)
			l.gather(ctx, gatherFor(l.debounce, took))
		case <-timer.C:
		}
		began := time.Now()
		wait, err := l.Round(ctx)
		took = time.Since(began)
		if errors.Is(err, store.ErrLost) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			l.deps.Log.Warn("round not finished", "err", err)
		}
		timer.Reset(wait)
	}
}

func (l *Loop) begin(ctx context.Context) (ok bool) {
	ctx, cancel := context.WithTimeout(ctx, beginWithin)
	defer cancel()
	err := l.Begin(ctx)
	if err != nil {
		l.deps.Log.Warn("routes in force not read; apps serve on from the routers' own tables, and no route changes until they are", "err", err)
	}
	return err == nil
}

// RetryBegin is how long after a failure the routes in force are read again.
const RetryBegin = time.Second

// beginLate reads the routes in force, beside the loop, until it has them. It may
// take longer than begin: nothing waits for it but the routes.
func (l *Loop) beginLate(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(RetryBegin):
		}
		table, found, err := l.deps.Routes.Current(ctx)
		if err != nil {
			continue
		}
		select {
		case l.inbox <- dispatch.Do(func() { l.Learn(table, found) }):
			l.deps.Log.Info("routes in force read", "version", found.String(), "after", time.Since(l.began).Round(time.Millisecond))
		case <-ctx.Done():
		}
		return
	}
}

// longestGathering is how long an event waits at most for others.
const longestGathering = time.Second

// gatherFor is how long events are gathered after a round that took so long. Half
// as long as it: when very much comes at once, each round takes in much of it,
// where one after every few events would plan the same apps again and again.
func gatherFor(debounce, took time.Duration) time.Duration {
	return min(max(debounce, took/2), max(debounce, longestGathering))
}

// gather takes in what arrives within a time, so that one round serves all of it.
func (l *Loop) gather(ctx context.Context, d time.Duration) {
	end := time.NewTimer(d)
	defer end.Stop()
	for {
		select {
		case e := <-l.inbox:
			l.Handle(ctx, e)
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

const (
	tailLines  = 20
	tailWithin = 3 * time.Second
)

// tail reads an instance's last lines without holding the loop up.
func (l *Loop) tail(s dispatch.Session, instanceID string, done func([]string)) {
	l.tails.Go(func() {
		lines := readTail(l.term, s, instanceID)
		select {
		case l.inbox <- dispatch.Do(func() { done(lines) }):
		case <-l.term.Done():
		}
	})
}

func readTail(ctx context.Context, s dispatch.Session, instanceID string) []string {
	ctx, cancel := context.WithTimeout(ctx, tailWithin)
	defer cancel()
	var lines []string
	err := s.Logs(ctx, &pb.LogRequest{InstanceId: instanceID, Tail: tailLines}, func(c *pb.LogChunk) error {
		for _, line := range c.GetLines() {
			lines = append(lines, line.GetText())
		}
		return nil
	})
	switch {
	case err != nil && len(lines) == 0:
		return []string{"(its output could not be read: " + err.Error() + ")"}
	case len(lines) == 0:
		return []string{"(the instance has written nothing)"}
	}
	return lines
}
