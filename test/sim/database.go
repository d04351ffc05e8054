package sim

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

// database is the model of the one database: serialisable, with a network
// before it. It can stall, lose answers of commits that it made or did not make,
// and fail over to a replica that has not got the last ones.
type database struct {
	w *World
	tables
	past    []tables // after each of the last commits, oldest first
	backups []backup // one each half minute, oldest first

	failedOver   time.Time // last, or when people last ended a safe mode: what was lost is felt from then on
	safeAgain    time.Time // when it last forgot that a safe mode had ended
	downUntil    time.Time
	stalledUntil time.Time
	unknown      int // of 100 commits, how many answer with an error all the same
	failing      int // of 100 questions, how many are answered by an error at once

	told map[holder]told // by who holds a lease

	// What the invariants need of the past, failovers included.
	everRows  map[string]model.Instance // every row ever committed, as last seen
	goneRows  map[string]time.Time      // when a row was deleted
	restored  time.Time                 // to a backup
	lostRows  map[string]time.Time      // touched by commits that a failover lost, then
	committed func(l store.Lease, c store.Control, before, after tables)
	taken     func(owner string)
}

// holder is who knows a lease: another process of the same server does not.
type holder struct {
	p     *process
	epoch int64
}

// told is what the holder of a lease knows of it.
type told struct {
	beat  int64     // the least that it must be
	began time.Time // of the term, by its own clock
	age   int64     // milliseconds of the term, at the last write that was acknowledged
}

func newDatabase(w *World) *database {
	return &database{
		w: w, everRows: map[string]model.Instance{}, goneRows: map[string]time.Time{}, lostRows: map[string]time.Time{}, told: map[holder]told{},
		tables: tables{
			lease: store.Lease{Name: "leader"}, apps: map[string]model.App{}, releases: map[string]model.Release{}, domains: map[string]model.Domain{}, avail: map[string]model.Availability{},
			instances: map[string]model.Instance{}, deployments: map[string]model.Deployment{}, slots: map[string]store.Slot{}, nodes: map[string]model.Node{},
		},
	}
}

var (
	errDatabaseAway = errors.New("the database does not answer")
	errUnknown      = errors.New("the connection broke during the commit")
)

// client is a process's connection to the database; its calls wait in the
// thread that makes them.
type dbClient struct {
	db *database
	p  *process
}

const dbTimeout = 10 * time.Second

// exchange carries a question there, lets do happen, and carries the answer back.
func (c dbClient) exchange(ctx context.Context, do func() error) error {
	t, net := c.p.s.cur, c.db.w.net
	wait := func(d time.Duration) error {
		t.sleep(d)
		return ctx.Err()
	}
	begin := c.p.s.now
	if err := wait(net.latency(c.p.name, "db")); err != nil {
		return err
	}
	for net.cut(c.p.name, "db") || c.p.s.now.Before(c.db.stalledUntil) {
		if c.p.s.now.Sub(begin) > dbTimeout {
			return errDatabaseAway
		}
		if err := wait(50 * time.Millisecond); err != nil {
			return err
		}
	}
	if c.p.s.now.Before(c.db.downUntil) {
		return errDatabaseAway
	}
	if c.db.failing > 0 && c.db.w.chance("db/failing", c.db.failing) {
		return errDatabaseAway
	}
	err := do()
	if e := wait(net.latency("db", c.p.name)); e != nil {
		return e
	}
	for net.cut("db", c.p.name) {
		if c.p.s.now.Sub(begin) > dbTimeout {
			return errDatabaseAway
		}
		if err := wait(50 * time.Millisecond); err != nil {
			return err
		}
	}
	return err
}

// commit carries a transaction: f works on a copy, which is in force if it
// returns nil. The answer may be lost either way.
func (c dbClient) commit(ctx context.Context, f func(t *tables) error) error {
	return c.exchange(ctx, func() error {
		lost := c.db.unknown > 0 && c.db.w.chance("db/unknown", c.db.unknown)
		if lost && c.db.w.chance("db/unknown", 50) {
			return errUnknown // and it was not made
		}
		if err := c.db.write(f); err != nil {
			return err
		}
		if lost {
			c.db.w.say("db", "committed, and the answer is lost")
			return errUnknown
		}
		return nil
	})
}

const (
	keptCommits = 12
	backupEvery = 30 * time.Second
)

// backup is what was stored at a time.
type backup struct {
	at time.Time
	tables
}

func (d *database) write(f func(t *tables) error) error {
	next := d.clone()
	if err := f(&next); err != nil {
		return err
	}
	if n := len(d.backups); n == 0 || d.w.now.Sub(d.backups[n-1].at) >= backupEvery {
		d.backups = append(d.backups, backup{d.w.now, d.tables})
	}
	d.past = append(d.past, d.tables)
	if len(d.past) > keptCommits {
		d.past = d.past[1:]
	}
	d.tables = next
	return nil
}

// failover loses the last n commits of anybody; connections break for a while.
func (d *database) failover(n int, away time.Duration) {
	d.downUntil = d.w.now.Add(away)
	if n = min(n, len(d.past)); n == 0 {
		return
	}
	before := d.past[len(d.past)-n]
	d.past = d.past[:len(d.past)-n]
	d.setBack(before)
}

// restore sets the database back to the backup that is at least so old.
func (d *database) restore(age, away time.Duration) {
	at := len(d.backups) - 1
	for at >= 0 && d.w.now.Sub(d.backups[at].at) < age {
		at--
	}
	if at < 0 {
		return // there is none so old
	}
	d.downUntil = d.w.now.Add(away)
	b := d.backups[at]
	d.restored = d.w.now
	d.backups, d.past = d.backups[:at+1], nil
	d.w.say("db", "is restored to what it was %s ago", d.w.now.Sub(b.at).Round(time.Second))
	d.setBack(b.tables)
}

// setBack makes the database what it was once. Rows that are no more, or are
// again, and what people had changed meanwhile, are noted.
func (d *database) setBack(to tables) {
	was := d.tables
	d.failedOver = d.w.now
	d.tables = to.clone()
	for id, i := range was.instances {
		if j, ok := d.instances[id]; !ok || j != i {
			d.lostRows[id] = d.w.now
		}
	}
	for id := range d.instances {
		if _, ok := was.instances[id]; !ok {
			d.lostRows[id] = d.w.now
		}
	}
	for id, a := range was.apps {
		if b, ok := d.apps[id]; !ok || a.Generation != b.Generation {
			d.w.people.lost(id, ok)
		}
	}
	d.w.check.wished("")
	if d.safe != nil { // whoever ended it has to do so again
		d.safeAgain = d.w.now
		d.w.people.answer(*d.safe)
	}
}

// Lease reads the lease.
func (c dbClient) Lease(ctx context.Context) (l store.Lease, err error) {
	err = c.exchange(ctx, func() error { l = c.db.lease; return nil })
	return l, err
}

// TakeLease does what store.TakeLease does.
func (c dbClient) TakeLease(ctx context.Context, seen store.Lease, owner string, floor int64) (next store.Lease, err error) {
	began := c.p.now()
	next = store.Lease{Name: seen.Name, Owner: owner, Address: owner, Epoch: max(seen.Epoch+1, floor), Beat: seen.Beat + 1}
	err = c.commit(ctx, func(t *tables) error {
		if t.lease != seen {
			return store.ErrLost
		}
		t.lease = next
		c.db.taken(owner)
		return nil
	})
	if err == nil {
		c.db.told[holder{c.p, next.Epoch}] = told{beat: next.Beat, began: began}
	}
	next.Before = model.Moment{Epoch: seen.Epoch, Age: seen.Age}
	return next, err
}

// underLease does what store.underLease does.
func (c dbClient) underLease(ctx context.Context, l store.Lease, f func(t *tables) error) error {
	key, beat := holder{c.p, l.Epoch}, int64(0)
	age := c.p.now().Sub(c.db.told[key].began).Milliseconds()
	err := c.commit(ctx, func(t *tables) error {
		if err := t.beat(l, c.db.told[key].beat, age); err != nil {
			return err
		}
		beat = t.lease.Beat
		return f(t)
	})
	if err == nil {
		was := c.db.told[key]
		c.db.told[key] = told{max(was.beat, beat), was.began, max(was.age, age)}
	}
	return err
}

// RenewLease does what store.RenewLease does.
func (c dbClient) RenewLease(ctx context.Context, l store.Lease) error {
	return c.underLease(ctx, l, func(*tables) error { return nil })
}

// ReleaseLease does what store.ReleaseLease does.
func (c dbClient) ReleaseLease(ctx context.Context, l store.Lease) error {
	return c.commit(ctx, func(t *tables) error {
		if t.beat(l, 0, 0) == nil {
			t.lease.Owner = ""
		}
		return nil
	})
}

// Wish implements reconcile.Store.
func (c dbClient) Wish(ctx context.Context) (out store.Wish, err error) {
	err = c.exchange(ctx, func() error {
		out = store.Wish{Availabilities: maps.Clone(c.db.avail), Safe: c.db.safe}
		used := map[string]bool{}
		for _, i := range c.db.instances {
			used[i.AppID] = true
		}
		for _, a := range sorted(c.db.apps) {
			if a.DeletedAt.IsZero() || used[a.ID] {
				out.Apps = append(out.Apps, a)
			}
		}
		out.Domains = sorted(c.db.domains)
		return nil
	})
	return out, err
}

// World implements reconcile.Store.
func (c dbClient) World(ctx context.Context) (out store.World, err error) {
	err = c.exchange(ctx, func() error {
		out = store.World{Instances: sorted(c.db.instances), Deployments: sorted(c.db.deployments), Slots: sorted(c.db.slots), Nodes: sorted(c.db.nodes)}
		slices.SortFunc(out.Deployments, func(a, b model.Deployment) int {
			return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.ReleaseID, b.ReleaseID))
		})
		return nil
	})
	return out, err
}

// ReleasesByID implements reconcile.Store.
func (c dbClient) ReleasesByID(ctx context.Context, ids []string) (map[string]model.Release, error) {
	out := map[string]model.Release{}
	err := c.exchange(ctx, func() error {
		for _, id := range ids {
			if r, ok := c.db.releases[id]; ok {
				out[id] = r
			}
		}
		return nil
	})
	return out, err
}

// AppByID implements reconcile.Store.
func (c dbClient) AppByID(ctx context.Context, id string) (out model.App, err error) {
	err = c.exchange(ctx, func() error {
		a, ok := c.db.apps[id]
		if !ok {
			return model.E(model.CodeNotFound, "there is no app %q", id)
		}
		out = a
		return nil
	})
	return out, err
}

// Domains implements reconcile.Store.
func (c dbClient) Domains(ctx context.Context, appID string) (out []model.Domain, err error) {
	err = c.exchange(ctx, func() error {
		for _, d := range sorted(c.db.domains) {
			if d.AppID == appID {
				out = append(out, d)
			}
		}
		return nil
	})
	return out, err
}

// HasInstance implements reconcile.Store.
func (c dbClient) HasInstance(ctx context.Context, id string) (has bool, err error) {
	err = c.exchange(ctx, func() error { _, has = c.db.instances[id]; return nil })
	return has, err
}

// Apply implements reconcile.Store as store.Apply does it.
func (c dbClient) Apply(ctx context.Context, l store.Lease, ctl store.Control) error {
	return c.underLease(ctx, l, func(t *tables) error {
		if err := t.control(ctl); err != nil {
			return err
		}
		c.db.note(ctl, *t)
		if ctl.Safe != nil {
			c.db.w.people.answer(*ctl.Safe)
		}
		c.db.committed(l, ctl, c.db.tables, *t)
		return nil
	})
}

// note keeps what invariants ask about the past.
func (d *database) note(c store.Control, t tables) {
	for _, i := range c.Insert {
		d.everRows[i.ID] = i
	}
	for _, i := range c.Stop {
		if row, ok := t.instances[i.ID]; ok {
			d.everRows[i.ID] = row
		}
	}
	for _, id := range c.Delete {
		d.goneRows[id] = d.w.now
	}
}
