package publish

import (
	"maps"
	"slices"
	"strings"

	"github.com/dinp/dinp/common/route"
)

// backlog is what is to be written of the wanted table, key by key, in an order in
// which routers can take it in parts: backends, then the domains that point to
// them; what goes comes last, and there domains first.
type backlog struct {
	since  map[string]uint64 // key → the first revision that is not written of it
	waits  map[uint64]int    // how many keys are since a revision
	least  uint64            // none is since before this one
	fresh  map[string]bool   // came, or came again, since the last part
	queues [4][]string       // those before by what is to be done, and some that wait no more, or for something else
	stale  []string          // is in Redis and not wanted, and nobody has asked for its end
}

// What is to be done with a key, in order.
const (
	setBackend = iota
	setDomain
	dropDomain
	dropBackend
)

func newBacklog() backlog {
	return backlog{since: map[string]uint64{}, waits: map[uint64]int{}, least: 1, fresh: map[string]bool{}}
}

// part is what one write takes off the backlog.
type part struct {
	changes  []route.Change
	since    []uint64 // of the first of the changes; the others are stale
	meant    bool     // all that goes was asked to go
	last     bool     // the backlog is empty without it
	revision uint64   // all up to this one is written with it
}

// add puts a key into the backlog: what is wanted of it since a revision is not
// written.
func (b *backlog) add(key string, since uint64) {
	if was, there := b.since[key]; there {
		since = min(since, was)
		b.drop(key)
	}
	b.since[key], b.fresh[key] = since, true
	b.waits[since]++
	b.least = min(b.least, since)
}

// drop takes a key off: it is, or is being, written.
func (b *backlog) drop(key string) {
	since := b.since[key]
	delete(b.since, key)
	if b.waits[since]--; b.waits[since] == 0 {
		delete(b.waits, since)
	}
}

// anew forgets the order, and what is stale: the table was compared.
func (b *backlog) anew(stale []string) {
	b.queues = [len(b.queues)][]string{}
	clear(b.fresh)
	for k := range b.since {
		b.fresh[k] = true
	}
	slices.SortFunc(stale, domainsFirst)
	b.stale = stale
}

func (b *backlog) empty() bool { return len(b.since) == 0 && len(b.stale) == 0 }

// written is the highest revision, up to the present one, of which nothing waits.
func (b *backlog) written(present uint64) uint64 {
	for b.least <= present && b.waits[b.least] == 0 {
		b.least++
	}
	return b.least - 1
}

// join puts what came since the last part into the queues: backends in front,
// because requests may go astray until they are written, the others behind, where
// what they point to has been written before.
func (b *backlog) join(want map[string]string) {
	var first []string
	for _, k := range slices.Sorted(maps.Keys(b.fresh)) {
		if q := todo(k, want); q == setBackend {
			first = append(first, k)
		} else {
			b.queues[q] = append(b.queues[q], k)
		}
	}
	b.queues[setBackend] = append(first, b.queues[setBackend]...)
	clear(b.fresh)
}

// take takes the next part off the backlog: no more than so many bytes of keys and
// values, but one change at least. What nobody asked to go goes in one part,
// because routers judge by its size whether they believe it.
func (b *backlog) take(want map[string]string, limit int) part {
	b.join(want)
	p, size := part{meant: true}, 0
	for q := 0; q < len(b.queues); {
		if len(b.queues[q]) == 0 {
			q++
			continue
		}
		key := b.queues[q][0]
		if since, waits := b.since[key]; waits && todo(key, want) == q { // otherwise it is written, or in another queue as well
			c := change(key, want)
			n := weight(c)
			if len(p.changes) > 0 && size+n > limit {
				return p
			}
			p.changes, p.since, size = append(p.changes, c), append(p.since, since), size+n
			b.drop(key)
		}
		b.queues[q] = b.queues[q][1:]
	}
	b.takeStale(want, limit-size, &p)
	return p
}

func (b *backlog) takeStale(want map[string]string, room int, p *part) {
	var gone []route.Change
	for _, k := range b.stale {
		if _, wanted := want[k]; !wanted {
			gone = append(gone, route.Change{Key: k})
			room -= weight(gone[len(gone)-1])
		}
	}
	if len(p.changes) > 0 && len(gone) > 0 && room < 0 {
		return
	}
	p.changes = append(p.changes, gone...)
	p.meant, p.last = len(gone) == 0, true
	b.stale = nil
}

// giveBack undoes take, but for what is stale: the table is compared again.
func (b *backlog) giveBack(p part) {
	for n, since := range p.since {
		b.add(p.changes[n].Key, since)
	}
}

// todo is what is to be done with a key.
func todo(key string, want map[string]string) int {
	_, wanted := want[key]
	domain := strings.HasPrefix(key, route.DomainPrefix)
	switch {
	case wanted && domain:
		return setDomain
	case wanted:
		return setBackend
	case domain:
		return dropDomain
	}
	return dropBackend
}

func change(key string, want map[string]string) route.Change {
	if v, ok := want[key]; ok {
		return route.Change{Key: key, Value: &v}
	}
	return route.Change{Key: key}
}

// weight is about what a change takes besides what is the same for each batch.
func weight(c route.Change) int {
	n := len(c.Key) + 32
	if c.Value != nil {
		n += len(*c.Value)
	}
	return n
}

// domainsFirst orders keys that go.
func domainsFirst(a, b string) int {
	if x, y := todo(a, nil), todo(b, nil); x != y {
		return x - y
	}
	return strings.Compare(a, b)
}
