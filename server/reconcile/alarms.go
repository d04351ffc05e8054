package reconcile

import (
	"container/heap"
	"time"
)

// alarms keeps a time for each of many keys and finds those whose time has come,
// at a cost that does not grow with the others.
type alarms struct {
	at    map[string]time.Time
	queue alarmQueue // may hold entries that at no longer names
}

type alarm struct {
	key string
	at  time.Time
}

func newAlarms() *alarms { return &alarms{at: map[string]time.Time{}} }

// set calls key up at t instead of any earlier order; the zero time never does.
func (a *alarms) set(key string, t time.Time) {
	if t.IsZero() {
		delete(a.at, key)
		return
	}
	if old, ok := a.at[key]; !ok || !old.Equal(t) {
		a.at[key] = t
		heap.Push(&a.queue, alarm{key, t})
	}
}

// pop returns one whose time has come, in the order of times; it is set no more.
func (a *alarms) pop(now time.Time) (alarm, bool) {
	first, ok := a.first()
	if !ok || first.at.After(now) {
		return alarm{}, false
	}
	heap.Pop(&a.queue)
	delete(a.at, first.key)
	return first, true
}

// next is the earliest time; zero when there is none.
func (a *alarms) next() time.Time {
	first, _ := a.first()
	return first.at
}

// first drops entries that were set anew, and returns the earliest that was not.
func (a *alarms) first() (alarm, bool) {
	for len(a.queue) > 0 {
		if at, ok := a.at[a.queue[0].key]; ok && at.Equal(a.queue[0].at) {
			return a.queue[0], true
		}
		heap.Pop(&a.queue)
	}
	return alarm{}, false
}

// alarmQueue implements heap.Interface; keys break ties, so that the order does
// not depend on history.
type alarmQueue []alarm

func (q alarmQueue) Len() int { return len(q) }
func (q alarmQueue) Less(i, j int) bool {
	if q[i].at.Equal(q[j].at) {
		return q[i].key < q[j].key
	}
	return q[i].at.Before(q[j].at)
}
func (q alarmQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *alarmQueue) Push(x any)   { *q = append(*q, x.(alarm)) }
func (q *alarmQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}
