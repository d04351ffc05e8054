package reconcile

import "github.com/dinp/dinp/server/place"

// roomy knows how much room a pass's index has. Where there is enough for all that
// a node's loss moves, wherever each of it goes, it need not be tried: a cluster
// that is not nearly full is looked through in a time that its instances give, and
// not each of them times those of its app.
type roomy struct {
	slots map[need]int // of the whole index
}

// need is the most that instances of a pool ask for.
type need struct {
	pool                string
	memoryMiB, cpuMilli int64
}

// loss tells what the loss of a node would bring on which all apps are steady, if there
// is plenty of room; ok is false when it has to be tried, or an app's constraints
// leave it not all nodes of its pool.
func (m *roomy) loss(c *Core, x *place.Index, n *node) (out outcome, ok bool) {
	on, counts := map[*app]int{}, map[string]int{} // instances by app; those that move, by pool
	for _, r := range n.rows {
		on[r.app]++
	}
	needs := map[string]need{}
	for a, k := range on {
		if k == len(a.rows) {
			out.interrupted = append(out.interrupted, a.Name)
		}
		if a.Paused || a.Singleton {
			continue
		}
		r := place.For(a.App, c.releases[a.ReleaseID].Spec, "")
		if r.Zone != "" || len(r.Labels) > 0 || r.MaxPerNode > 0 {
			return outcome{}, false
		}
		was := needs[r.Pool]
		needs[r.Pool] = need{r.Pool, max(was.memoryMiB, r.MemoryMiB), max(was.cpuMilli, r.CPUMilli)}
		counts[r.Pool] += k
		out.placed += k
	}
	for pool, k := range counts {
		if m.without(x, n, needs[pool]) < k {
			return outcome{}, false
		}
	}
	return out, true
}

// without is how many of a need the nodes but this one have room for.
func (m *roomy) without(x *place.Index, n *node, of need) int {
	all, known := m.slots[of]
	if !known {
		all = x.Slots(of.pool, of.memoryMiB, of.cpuMilli)
		m.slots[of] = all
	}
	if at, there := x.Number(n.ID); there {
		all -= x.SlotsOn(at, of.pool, of.memoryMiB, of.cpuMilli)
	}
	return all
}
