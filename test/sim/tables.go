package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

// tables are all that is stored; values are replaced, never changed.
type tables struct {
	lease       store.Lease
	apps        map[string]model.App
	releases    map[string]model.Release
	domains     map[string]model.Domain
	avail       map[string]model.Availability
	instances   map[string]model.Instance
	deployments map[string]model.Deployment // by release
	slots       map[string]store.Slot
	nodes       map[string]model.Node
	safe        *model.SafeMode // that nobody has ended
	safeOf      int64           // epoch of the last that began
}

func (t tables) clone() tables {
	return tables{t.lease, maps.Clone(t.apps), maps.Clone(t.releases), maps.Clone(t.domains), maps.Clone(t.avail), maps.Clone(t.instances), maps.Clone(t.deployments), maps.Clone(t.slots), maps.Clone(t.nodes), t.safe, t.safeOf}
}

// beat is the first statement of all that a leader writes.
func (t *tables) beat(l store.Lease, least, age int64) error {
	if t.lease.Owner != l.Owner || t.lease.Epoch != l.Epoch || t.lease.Beat < least {
		return store.ErrLost
	}
	t.lease.Beat++
	t.lease.Age = max(t.lease.Age, age)
	return nil
}

func sorted[T any](m map[string]T) []T {
	out := make([]T, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

// stored is a time as columns hold it: of the wall clock, in milliseconds.
func stored(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}

// control is store's control over maps.
func (t *tables) control(c store.Control) error {
	for _, i := range c.Stop {
		if old, ok := t.instances[i.ID]; ok {
			old.Stopping, old.Reason, old.StoppedAt = true, i.Reason, stored(i.StoppedAt)
			t.instances[i.ID] = old
		}
	}
	for _, id := range c.Delete {
		delete(t.instances, id)
	}
	for _, i := range c.Role {
		if old, ok := t.instances[i.ID]; ok {
			old.Role = i.Role
			t.instances[i.ID] = old
			if err := t.unique(old); err != nil {
				return err
			}
		}
	}
	for _, i := range c.Insert {
		if _, ok := t.instances[i.ID]; ok {
			return fmt.Errorf("duplicate instance %s", i.ID)
		}
		i.CreatedAt, i.StoppedAt = stored(i.CreatedAt), stored(i.StoppedAt)
		t.instances[i.ID] = i
		if err := t.unique(i); err != nil {
			return err
		}
	}
	for _, d := range c.Deployments {
		d.StartedAt, d.Deadline, d.EndedAt = stored(d.StartedAt), stored(d.Deadline), stored(d.EndedAt)
		if old, ok := t.deployments[d.ReleaseID]; ok {
			old.Status, old.Error, old.Deadline, old.EndedAt = d.Status, d.Error, d.Deadline, d.EndedAt
			d = old
		}
		t.deployments[d.ReleaseID] = d
	}
	for _, v := range c.Slots {
		key := fmt.Sprintf("%s/%04d", v.AppID, v.Slot)
		if delete(t.slots, key); v.Failures > 0 {
			t.slots[key] = v
		}
	}
	for _, n := range c.Nodes {
		n.SeenAt = stored(n.SeenAt)
		t.nodes[n.ID] = n
	}
	for _, id := range c.Cordon {
		if v := t.avail[id]; v == "" || v == model.Active {
			t.avail[id] = model.Cordoned
		}
	}
	for _, id := range c.Forget {
		delete(t.nodes, id)
	}
	if c.Safe != nil && c.Safe.Epoch != t.safeOf { // once ended, that of an epoch does not begin again
		t.safe, t.safeOf = c.Safe, c.Safe.Epoch
	}
	return nil
}

var errDuplicate = errors.New("a slot has one live instance of a role at most")

// unique is the UNIQUE(app_id, slot, role, live) of the table.
func (t *tables) unique(i model.Instance) error {
	for id, j := range t.instances {
		if id != i.ID && !i.Stopping && !j.Stopping && j.AppID == i.AppID && j.Slot == i.Slot && j.Role == i.Role {
			return fmt.Errorf("%w: %s and %s", errDuplicate, i.ID, id)
		}
	}
	return nil
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
