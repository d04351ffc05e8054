// Package publish writes the route table to Redis, for the leader only, and
// learns from the routers' own lines which version each of them serves. The
// keys and values are package route's.
//
// The table that is wanted is kept here as key → value. Writes are batches, each
// one atomic and fenced by (epoch, seq) in a script; what Redis has lost is found
// at the next write or re-publication and written again.
package publish

import (
	"context"
	"errors"
	"log/slog"
	"maps"
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
}

// DefaultConfig returns the defaults of DESIGN §4.
func DefaultConfig() Config {
	return Config{Republish: 30 * time.Second, Watch: 20 * time.Millisecond, Idle: 2 * time.Second, Patience: 5 * time.Second}
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
	dirty    map[string]bool
	complete bool   // want is the whole table: what is not in it may be deleted
	revision uint64 // of want; grows with each Set that changes it
	doneRev  uint64 // the revision every live router serves
	routers  []route.RouterLine

	wake chan struct{}

	// Owned by Run.
	seq      int64
	lines    map[string]seenLine // of routers, by ID
	inFlight []write             // written, not yet served by all live routers
	synced   bool                // Redis is known to hold what we last wrote
	written  route.Version       // the last write that Redis has acknowledged; zero: none
	whole    bool                // that one made the table in Redis the whole of ours
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
	return &Publisher{cfg: cfg, table: table, epoch: epoch, now: now, log: log, served: served, want: map[string]string{}, dirty: map[string]bool{}, wake: make(chan struct{}, 1)}
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
			p.dirty[c.Key], changed = true, changed || had
		case c.Value != nil && (!had || old != *c.Value):
			p.want[c.Key] = *c.Value
			p.dirty[c.Key], changed = true, true
		}
	}
	if changed || len(p.dirty) > 0 {
		p.revision++
		p.kick()
	}
	return p.revision
}

// Complete says that everything was Set: what Redis holds besides is stale.
func (p *Publisher) Complete() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.complete {
		p.complete = true
		p.kick()
	}
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

// Mend makes the next round compare the whole table with Redis.
func (p *Publisher) Mend() { p.synced = false }

// Round writes what is to be written, looks at the routers, and returns when to
// look again. Only one goroutine may call it, and Mend.
func (p *Publisher) Round(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := p.write(ctx); err != nil {
		p.log.Warn("routes not written", "err", err)
		return 500 * time.Millisecond
	}
	if err := p.watch(ctx); err != nil {
		p.log.Warn("routers' lines not read", "err", err)
	}
	if len(p.inFlight) > 0 {
		return p.cfg.Watch
	}
	return p.cfg.Idle
}

// write brings Redis to the wanted table.
func (p *Publisher) write(ctx context.Context) error {
	if !p.synced || p.isComplete() && !p.whole {
		return p.mend(ctx)
	}
	batch, rev := p.takeDirty()
	if len(batch) == 0 {
		return p.checkLoss(ctx)
	}
	err := p.send(ctx, route.Batch{Changes: batch, Meant: true, Partial: !p.whole}, rev, &route.Version{Epoch: p.epoch, Seq: p.seq})
	if err != nil {
		p.giveBack(batch)
		p.synced = false
	}
	if errors.Is(err, ErrGap) {
		return p.mend(ctx)
	}
	return err
}

// checkLoss notices between writes that Redis lost the table, or the last writes
// of it in a failover: no router would ever take those, and after our patience an
// instance would be stopped that they still send to.
func (p *Publisher) checkLoss(ctx context.Context) error {
	if p.seq == 0 {
		return nil
	}
	h, err := p.table.Head(ctx)
	if err != nil || h != (route.Head{}) && !h.Less(p.written) {
		return err
	}
	p.log.Warn("redis has lost routes; writing them anew", "version", h.String(), "written", p.written.String())
	p.synced = false
	return p.mend(ctx)
}

func (p *Publisher) takeDirty() (batch []route.Change, revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(p.dirty)) {
		batch = append(batch, p.change(k))
	}
	clear(p.dirty)
	return batch, p.revision
}

func (p *Publisher) change(key string) route.Change {
	if v, ok := p.want[key]; ok {
		return route.Change{Key: key, Value: &v}
	}
	return route.Change{Key: key}
}

func (p *Publisher) giveBack(batch []route.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range batch {
		p.dirty[c.Key] = true
	}
}

// mend compares the whole table with Redis and writes the difference. Before the
// table is complete it writes nothing where Redis has lost all that the part of it
// could be a part of: routers must not take the beginning of a table for the whole
// of it.
func (p *Publisher) mend(ctx context.Context) error {
	h, err := p.table.Head(ctx)
	found := h != (route.Head{})
	if err != nil || p.bare(h.Version, found) && !p.isComplete() {
		return err
	}
	there, err := p.table.Read(ctx)
	if err != nil {
		return err
	}
	b, rev := p.mending(there)
	if len(b.Changes) == 0 && found && p.written != (route.Version{}) && !h.Less(p.written) && p.whole == !b.Partial {
		p.synced = true
		return nil
	}
	var after *route.Version
	if found { // what the difference is from
		after = &h.Version
	}
	if err := p.send(ctx, b, rev, after); err != nil {
		p.giveBack(b.Changes)
		return err
	}
	p.synced = true
	return nil
}

// bare reports whether Redis, at v, lacks the table on which this term began, or
// may lack it: it was flushed, or has lost all that the term wrote.
func (p *Publisher) bare(v route.Version, found bool) bool {
	return !found || p.seq > 0 && v.Epoch < p.epoch
}

func (p *Publisher) isComplete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.complete
}

// mending takes what turns the table that is there into the wanted one.
func (p *Publisher) mending(there map[string]string) (b route.Batch, revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b.Changes, b.Partial = p.difference(there), !p.complete
	b.Meant = p.asked(b.Changes)
	clear(p.dirty)
	return b, p.revision
}

// asked reports whether every deletion in a batch was asked for by Set. What is
// deleted only because it is not in our table might be our mistake: routers look
// twice at such a batch when it takes away much.
func (p *Publisher) asked(batch []route.Change) bool {
	for _, c := range batch {
		if c.Value == nil && !p.dirty[c.Key] {
			return false
		}
	}
	return true
}

// difference lists what turns there into the wanted table. What an earlier
// leader published and we have no say on yet stays.
func (p *Publisher) difference(there map[string]string) []route.Change {
	var batch []route.Change
	for _, k := range slices.Sorted(maps.Keys(p.want)) {
		if v, ok := there[k]; !ok || v != p.want[k] {
			batch = append(batch, p.change(k))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(there)) {
		if _, ok := p.want[k]; !ok && (p.complete || p.dirty[k]) {
			batch = append(batch, route.Change{Key: k})
		}
	}
	return batch
}
