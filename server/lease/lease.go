// Package lease decides which server leads. The lease is a row; see sql/store.
// A server may act as leader only while the context that Hold gives it lives,
// and every write carries the epoch besides, because contexts are late.
package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/sql/store"
)

// Config are the lease's times.
type Config struct {
	ID      string        // of this server
	Address string        // where its gRPC is reached by agents and dashes
	TTL     time.Duration // a lease that stood still so long may be taken
	Renew   time.Duration
	Margin  time.Duration // stop acting so long before the lease could be taken
	Looked  func()        // is called after each look of a server that waits; nil: nobody asks
}

// Lease elects. One goroutine runs it; Leader may be called by any.
type Lease struct {
	cfg    Config
	store  *store.Store
	log    *slog.Logger
	leader atomic.Pointer[store.Lease]
	vacant atomic.Bool

	history History // owned by Run
}

// ErrLost is the cause of a leader's context that ended because its lease did.
var ErrLost = errors.New("the lease was lost")

const name = "leader"

// looks is how often a server that waits reads the lease, in the time between
// two renewals: a lease that was given back is to be taken well within a second.
const looks = 6

// New makes a Lease; nothing happens before Run.
func New(cfg Config, st *store.Store, log *slog.Logger) *Lease {
	return &Lease{cfg: cfg, store: st, log: log}
}

// Leader is the lease as last seen; its Owner may be this server. It is nil
// before the first look.
func (l *Lease) Leader() *store.Lease { return l.leader.Load() }

// Vacant reports whether nobody else leads, as far as this server knows, and it has
// just looked: then somebody will soon.
func (l *Lease) Vacant() bool { return l.vacant.Load() }

// Run takes the lease whenever it is free and then calls lead with a context
// that ends with the lease; it returns when ctx ends, having given the lease back.
func (l *Lease) Run(ctx context.Context, lead func(context.Context, store.Lease) error) error {
	for ctx.Err() == nil {
		held, since, err := l.acquire(ctx)
		if err != nil {
			return nil // ctx ended
		}
		l.log.Info("lease taken", "epoch", held.Epoch)
		err = l.hold(ctx, held, since, lead)
		l.vacant.Store(false) // not known before the next look
		l.log.Info("lease ended", "epoch", held.Epoch, "err", err)
		l.history.Ended(held, err)
	}
	return nil
}

// acquire waits until the lease is ours. It returns the moment before the
// write that took it: our right is counted from there.
func (l *Lease) acquire(ctx context.Context) (store.Lease, time.Time, error) {
	candidate := NewCandidate(l.cfg)
	tick := time.NewTicker(l.cfg.Renew / looks)
	defer tick.Stop()
	for {
		now, err := l.read(ctx)
		may := err == nil && candidate.May(now, time.Now())
		l.vacant.Store(err == nil && candidate.Vacant(time.Now()))
		if err == nil {
			l.leader.Store(&now)
			if may {
				before := time.Now()
				held, err := l.take(ctx, now, before)
				if err == nil {
					held = l.history.Took(held)
					l.leader.Store(&held)
					return held, before, nil
				}
			}
		} else if ctx.Err() == nil {
			l.log.Warn("lease not readable", "err", err)
		}
		if l.cfg.Looked != nil {
			l.cfg.Looked()
		}
		select {
		case <-ctx.Done():
			return store.Lease{}, time.Time{}, ctx.Err()
		case <-tick.C:
		}
	}
}

// hold leads while the lease lasts, and gives it back; but not to step over an
// epoch: another server does not know of it and would take too low a one again.
func (l *Lease) hold(ctx context.Context, held store.Lease, since time.Time, lead func(context.Context, store.Lease) error) error {
	err := l.lead(ctx, held, since, lead)
	if o := (*Overtaken)(nil); !errors.As(err, &o) {
		l.release(held)
	}
	return err
}

// lead runs a term while renewing the lease.
func (l *Lease) lead(ctx context.Context, held store.Lease, since time.Time, lead func(context.Context, store.Lease) error) error {
	term, end := context.WithCancelCause(ctx)
	defer end(nil)
	done := make(chan error, 1)
	go func() { done <- lead(term, held) }()
	tick := time.NewTicker(l.cfg.Renew)
	defer tick.Stop()
	until := l.cfg.Right(since)
	right := time.NewTimer(time.Until(until))
	defer right.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-right.C:
			end(ErrLost)
			return errors.Join(ErrLost, <-done)
		case <-tick.C:
			before := time.Now()
			err := l.renew(ctx, held, until)
			if errors.Is(err, store.ErrLost) {
				end(ErrLost)
				return errors.Join(ErrLost, <-done)
			}
			if err == nil {
				until = l.cfg.Right(before)
				right.Reset(time.Until(until))
			}
		}
	}
}

// read looks at the lease. A database that does not answer must not keep the
// next look, at one that does again, waiting for the driver's own patience.
func (l *Lease) read(ctx context.Context) (store.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.TTL)
	defer cancel()
	return l.store.Lease(ctx, name)
}

func (l *Lease) take(ctx context.Context, seen store.Lease, now time.Time) (store.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.TTL)
	defer cancel()
	return l.store.TakeLease(ctx, seen, l.cfg.ID, l.cfg.Address, l.history.Floor(seen, now))
}

// renew waits for the database no longer than the right lasts: while it waits
// nobody looks at the time.
func (l *Lease) renew(ctx context.Context, held store.Lease, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, sooner(until, time.Now().Add(l.cfg.Renew)))
	defer cancel()
	return l.store.RenewLease(ctx, held)
}

func sooner(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// release gives the lease back, also when the server is stopping: the next one
// need not wait. The part that led has returned by then.
func (l *Lease) release(held store.Lease) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := l.store.ReleaseLease(ctx, held); err != nil {
		l.log.Warn("lease not given back", "err", err)
	}
}
