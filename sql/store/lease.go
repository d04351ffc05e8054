package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/dinp/dinp/common/model"
)

// Lease is the row by which servers agree on a leader. Epoch is the fencing
// token: it grows with each new leader, and is carried by all it does.
type Lease struct {
	Name    string
	Owner   string // server ID; "" when it was given back
	Address string // where the owner serves gRPC
	Epoch   int64
	Beat    int64 // grows while the owner lives
	Age     int64 // milliseconds from the beginning of its term to its last write

	// Before is the end of history as the owner found it when it took the lease; the
	// zero Moment when it was the first. It is known to the owner only.
	Before model.Moment
	// Below is the epoch of the owner's own term that this one goes on from, because it
	// was told of a higher one; 0: none. It is known to the owner only.
	Below int64
}

// Lease reads the lease; a zero Epoch says that there has never been one.
func (s *Store) Lease(ctx context.Context, name string) (Lease, error) {
	l := Lease{Name: name}
	err := s.db.QueryRowContext(ctx, `SELECT owner, address, epoch, beat, age_ms FROM lease WHERE name = ?`, name).Scan(&l.Owner, &l.Address, &l.Epoch, &l.Beat, &l.Age)
	if errors.Is(err, sql.ErrNoRows) {
		return l, nil
	}
	return l, err
}

// TakeLease makes owner the holder, iff the row still is what seen says. The new
// epoch is max(seen+1, floor); callers give the time in milliseconds as floor,
// so that a database restored from an old backup does not hand out epochs that
// agents have obeyed already.
func (s *Store) TakeLease(ctx context.Context, seen Lease, owner, address string, floor int64) (Lease, error) {
	began := time.Now() // before the write: an age is never told too young
	next := Lease{
		Name: seen.Name, Owner: owner, Address: address, Epoch: max(seen.Epoch+1, floor), Beat: seen.Beat + 1,
		Before: model.Moment{Epoch: seen.Epoch, Age: seen.Age},
	}
	if seen.Epoch == 0 {
		_, err := s.db.ExecContext(ctx, `INSERT INTO lease (name, owner, address, epoch, beat) VALUES (?,?,?,?,?)`, next.Name, next.Owner, next.Address, next.Epoch, next.Beat)
		if isDuplicate(err) {
			return Lease{}, ErrLost
		}
		return s.taken(next, began, err)
	}
	n, err := exec(ctx, s.db, `UPDATE lease SET owner = ?, address = ?, epoch = ?, beat = ?, age_ms = 0 WHERE name = ? AND epoch = ? AND beat = ? AND owner = ?`,
		next.Owner, next.Address, next.Epoch, next.Beat, next.Name, seen.Epoch, seen.Beat, seen.Owner)
	if err == nil && n != 1 {
		return Lease{}, ErrLost
	}
	return s.taken(next, began, err)
}

func (s *Store) taken(l Lease, began time.Time, err error) (Lease, error) {
	if err == nil {
		s.beats.begin(l.Epoch, l.Beat, began)
	}
	return l, err
}

// Written is how far the term of an epoch had come, in milliseconds, at its last
// write that the database has acknowledged; 0 when this process knows of none.
func (s *Store) Written(epoch int64) int64 { return s.beats.written(epoch) }

// RenewLease shows that the holder lives. ErrLost when it is not the holder, or
// the database has lost something that the holder has written.
func (s *Store) RenewLease(ctx context.Context, l Lease) error {
	return s.underLease(ctx, l, func(*tx) error { return nil })
}

// ReleaseLease gives the lease back, so that another server need not wait.
func (s *Store) ReleaseLease(ctx context.Context, l Lease) error {
	_, err := s.db.ExecContext(ctx, `UPDATE lease SET owner = '', beat = beat + 1 WHERE name = ? AND owner = ? AND epoch = ?`, l.Name, l.Owner, l.Epoch)
	return err
}

// Slot is what the leader remembers of a slot's failures.
type Slot struct {
	AppID     string
	Slot      int
	Failures  int
	NextStart int64  // unix milliseconds; nothing is started there before
	Node      string // ID of the node of the last failure
}

// World is all the leader needs to begin: read in one go at the start of its
// term, kept in memory from there on, because it alone writes it.
type World struct {
	Instances   []model.Instance
	Deployments []model.Deployment // that have not ended, or are an app's wanted one, or its last good one
	Slots       []Slot
	Nodes       []model.Node
}

// Control is one batch of the leader's writes.
type Control struct {
	Stop        []model.Instance // Reason and StoppedAt are set; written first, so that roles are free
	Role        []model.Instance // Role is set anew
	Insert      []model.Instance
	Delete      []string // instance IDs
	Deployments []model.Deployment
	Slots       []Slot // Failures 0 deletes
	Nodes       []model.Node
	Forget      []string        // node IDs; their instances go with Delete
	Cordon      []string        // node IDs; those that people have said nothing else of
	Safe        *model.SafeMode // begins; written once for each epoch
	Events      []model.Event
}

// Empty reports whether there is nothing to write.
func (c Control) Empty() bool {
	return len(c.Stop)+len(c.Role)+len(c.Insert)+len(c.Delete)+len(c.Deployments)+len(c.Slots)+len(c.Nodes)+len(c.Forget)+len(c.Cordon)+len(c.Events) == 0 && c.Safe == nil
}

// Apply writes a batch, or nothing: its first statement is the lease, so that a
// leader that was replaced, or whose earlier writes the database has lost, writes
// nothing any more (ErrLost).
func (s *Store) Apply(ctx context.Context, l Lease, c Control) error {
	return s.underLease(ctx, l, func(t *tx) error { return t.control(ctx, c) })
}

func (t *tx) control(ctx context.Context, c Control) error {
	for _, i := range c.Stop {
		if _, err := t.ExecContext(ctx, `UPDATE instances SET live = NULL, reason = ?, stopped_ms = ? WHERE id = ?`, string(i.Reason), ms(i.StoppedAt), i.ID); err != nil {
			return err
		}
	}
	if err := t.deleteInstances(ctx, c.Delete); err != nil { // before roles: who is gone may still hold one
		return err
	}
	for _, i := range c.Role {
		if _, err := t.ExecContext(ctx, `UPDATE instances SET role = ? WHERE id = ?`, string(i.Role), i.ID); err != nil {
			return err
		}
	}
	if err := t.insertInstances(ctx, c.Insert); err != nil {
		return err
	}
	for _, d := range c.Deployments {
		if err := t.putDeployment(ctx, d); err != nil {
			return err
		}
	}
	for _, v := range c.Slots {
		if err := t.putSlot(ctx, v); err != nil {
			return err
		}
	}
	for _, n := range c.Nodes {
		if err := t.putNode(ctx, n); err != nil {
			return err
		}
	}
	if c.Safe != nil {
		if err := t.beginSafeMode(ctx, *c.Safe); err != nil {
			return err
		}
	}
	for _, id := range c.Forget {
		if err := t.dropNode(ctx, id); err != nil {
			return err
		}
	}
	for _, id := range c.Cordon {
		if err := t.cordon(ctx, id); err != nil {
			return err
		}
	}
	for _, e := range c.Events {
		if err := t.addEvent(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) putDeployment(ctx context.Context, d model.Deployment) error {
	n, err := exec(ctx, t, `UPDATE deployments SET status = ?, error = ?, deadline_ms = ?, ended_ms = ?, stage = ?, stage_ms = ?, judgement = ?, held = ? WHERE release_id = ?`,
		string(d.Status), encodeError(d.Error), ms(d.Deadline), ms(d.EndedAt), d.Stage, ms(d.StageAt), d.Judgement, b2i(d.Held), d.ReleaseID)
	if err != nil || n > 0 {
		return err
	}
	_, err = t.ExecContext(ctx, `INSERT INTO deployments (`+deploymentColumns+`) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)`,
		d.ReleaseID, d.AppID, d.FromReleaseID, string(d.Status), encodeError(d.Error), ms(d.StartedAt), ms(d.Deadline), ms(d.EndedAt), d.Stage, ms(d.StageAt), d.Judgement, b2i(d.Held))
	return err
}

func (t *tx) putSlot(ctx context.Context, v Slot) error {
	if _, err := t.ExecContext(ctx, `DELETE FROM slots WHERE app_id = ? AND slot = ?`, v.AppID, v.Slot); err != nil || v.Failures == 0 {
		return err
	}
	_, err := t.ExecContext(ctx, `INSERT INTO slots (app_id, slot, failures, next_start_ms, node_id) VALUES (?,?,?,?,?)`, v.AppID, v.Slot, v.Failures, v.NextStart, v.Node)
	return err
}
