// Package publish writes the route table to Redis, for the leader only, and
// learns from the routers' own lines which version each of them serves. The
// keys and values are package route's.
//
// The table that is wanted is kept here as key → value. What is to be written goes
// in parts of a bounded size, each one atomic and fenced by (epoch, seq) in a script,
// so that Redis is never busy for long, and what was written stays so however long the
// rest takes; what Redis has lost is found at the next write or re-publication and
// written again.
package publish

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/dinp/dinp/common/route"
)

// Config are the publisher's times.
type Config struct {
	Republish time.Duration // the whole table is compared and mended so often
	Watch     time.Duration // routers' lines are read so often while a write is on its way to them
	Idle      time.Duration // and so often otherwise
	Patience  time.Duration // a router that has not taken a write after so long is waited for no more
	Part      int           // bytes of keys and values in one write, unless a single one has more; 0: the default
}

// DefaultConfig returns the defaults of DESIGN §4.
func DefaultConfig() Config {
	return Config{Republish: 30 * time.Second, Watch: 20 * time.Millisecond, Idle: 2 * time.Second, Patience: 5 * time.Second, Part: 256 << 10}
}

// Publisher writes one leader's routes. Set and Complete may be called by any
// goroutine; Run does the writing.
type Publisher struct {
	cfg    Config
	table  Table
	epoch  int64
	now    func() time.Time
	log    *slog.Logger
	served func() // called when Served or Routers may tell something new

	// Newer is called, from Run, with the epoch of a leader above ours that has written
	// routes; nil: nobody asks. It is set before Run.
	Newer func(epoch int64)

	mu       sync.Mutex
	want     map[string]string
	backlog  backlog
	complete bool   // want is the whole table: what is not in it may be deleted
	cleared  uint64 // the revision at which that is so; 0: it is not complete
	held     bool   // nothing is written
	revision uint64 // of want; grows with each Set that changes it, and with Complete
	doneRev  uint64 // the revision every live router serves
	routers  []route.RouterLine

	wake chan struct{}

	// Owned by Run.
	seq      int64
	lines    map[string]seenLine // of routers, by ID
	inFlight []write             // written, not yet served by all live routers
	synced   bool                // the backlog is all in which Redis differs from the wanted table
	settled  bool                // … which was complete when that was found
	owed     bool                // the version in Redis is not one that says what the table there is
	anew     bool                // Redis has lost some of the table, or all
	mendDue  bool                // the whole table is to be compared once the backlog is empty
	after    *route.Version      // what the next write builds on; nil: whatever there is
	written  route.Version       // the last write that Redis has acknowledged; zero: none
	whole    bool                // the table in Redis is said to be the whole of ours
	begun    route.Version       // what Redis holds is of our term, or was begun anew in it, from here on
}

// write is a batch on its way to the routers.
type write struct {
	revision uint64
	version  route.Version
	at       time.Time
}

// New makes a publisher for the leader of epoch. served is called, from Run,
// whenever routers have moved on; now is the clock.
func New(cfg Config, table Table, epoch int64, now func() time.Time, log *slog.Logger, served func()) *Publisher {
	if cfg.Part <= 0 {
		cfg.Part = DefaultConfig().Part
	}
	return &Publisher{
		cfg: cfg, table: table, epoch: epoch, now: now, log: log, served: served, want: map[string]string{}, backlog: newBacklog(),
		wake: make(chan struct{}, 1), begun: route.Version{Epoch: epoch},
	}
}

// Current reads the table in force, as an earlier leader left it, and its head.
// That is zero when there is none: Redis is new or was flushed.
func (p *Publisher) Current(ctx context.Context) (table map[string]string, h route.Head, err error) {
	if h, err = p.table.Head(ctx); err != nil {
		return nil, h, err
	}
	table, err = p.table.Read(ctx)
	return table, h, err
}

// Set changes keys of the wanted table; a nil value deletes. It returns the
// revision at which the change is served once Served reaches it.
func (p *Publisher) Set(changes []route.Change) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := false
	for _, c := range changes {
		old, had := p.want[c.Key]
		switch {
		case c.Value == nil && (had || !p.complete):
			delete(p.want, c.Key)
			p.backlog.add(c.Key, p.revision+1)
			changed = changed || had
		case c.Value != nil && (!had || old != *c.Value):
			p.want[c.Key] = *c.Value
			p.backlog.add(c.Key, p.revision+1)
			changed = true
		}
	}
	if changed || len(p.backlog.since) > 0 {
		p.revision++
		p.kick()
	}
	return p.revision
}

// Complete says that everything was Set: what Redis holds besides is stale, and gone
// at a revision of its own.
func (p *Publisher) Complete() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.complete {
		p.revision++
		p.complete, p.cleared = true, p.revision
		p.kick()
	}
}

// Hold stops writing, whatever waits, or goes on with it. A write that is under way is
// finished.
func (p *Publisher) Hold(held bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held = held; !held {
		p.kick()
	}
}

// Revision is the one at which all that was Set, and Complete, is served.
func (p *Publisher) Revision() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revision
}

// Served is the highest revision that every live router serves.
func (p *Publisher) Served() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doneRev
}

// Routers returns every router's last line.
func (p *Publisher) Routers() []route.RouterLine {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.routers)
}

func (p *Publisher) kick() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run publishes until ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	republish := time.NewTicker(p.cfg.Republish)
	defer republish.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-republish.C:
			p.Mend()
		case <-p.wake:
		case <-timer.C:
		}
		timer.Reset(p.Round(ctx))
	}
}

// Mend makes a round compare the whole table with Redis, once nothing else is to be
// written.
func (p *Publisher) Mend() { p.mendDue = true }

// Round writes what is to be written, a few parts of it if that is much, looks at
// the routers, and returns when to look again. Only one goroutine may call it, and Mend.
func (p *Publisher) Round(ctx context.Context) time.Duration {
	more, err := true, error(nil)
	for began := p.now(); more && err == nil; {
		more, err = p.write(ctx)
		if p.now().Sub(began) >= p.cfg.Watch {
			break
		}
	}
	if err != nil {
		p.log.Warn("routes not written", "err", err)
		return 500 * time.Millisecond
	}
	if err := p.watch(ctx); err != nil {
		p.log.Warn("routers' lines not read", "err", err)
	}
	switch {
	case more:
		return 0
	case len(p.inFlight) > 0:
		return p.cfg.Watch
	}
	return p.cfg.Idle
}
