package sim

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"time"
)

// epoch is when every run begins; any date does.
var epoch = time.Date(2030, 3, 1, 8, 0, 0, 0, time.UTC)

// scheduler runs everything of a run in one order: events by (time, draw,
// number). Nothing else makes things happen, so the seed decides all.
type scheduler struct {
	seed  uint64
	now   time.Time
	queue eventQueue
	count uint64 // events so far, also their numbers
	draws map[string]*rand.Rand
	cur   *thread // that runs now
}

func newScheduler(seed uint64) *scheduler {
	return &scheduler{seed: seed, now: epoch, draws: map[string]*rand.Rand{}}
}

// rnd is the source of draws for one purpose. Each purpose has its own, so that
// leaving a fault out changes as little as possible of the rest.
func (s *scheduler) rnd(purpose string) *rand.Rand {
	r := s.draws[purpose]
	if r == nil {
		h := fnv.New64a()
		h.Write([]byte(purpose))
		r = rand.New(rand.NewPCG(s.seed, h.Sum64()))
		s.draws[purpose] = r
	}
	return r
}

// between draws a duration.
func (s *scheduler) between(purpose string, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(s.rnd(purpose).Int64N(int64(hi-lo)+1))
}

// chance draws true in p of 100 cases.
func (s *scheduler) chance(purpose string, p int) bool { return s.rnd(purpose).IntN(100) < p }

// event is something that happens at a time.
type event struct {
	at   time.Time
	draw uint32 // orders what happens at the same time
	n    uint64
	p    *process // nil: the world's
	do   func()
	dead bool
}

type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	a, b := q[i], q[j]
	switch {
	case !a.at.Equal(b.at):
		return a.at.Before(b.at)
	case a.draw != b.draw:
		return a.draw < b.draw
	}
	return a.n < b.n
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return e
}

// after lets f happen in d, as an act of p: not when p has died by then, and
// later when it is paused.
func (s *scheduler) after(p *process, d time.Duration, f func()) *event {
	s.count++
	e := &event{at: s.now.Add(max(0, d)), draw: s.rnd("order").Uint32(), n: s.count, p: p, do: f}
	heap.Push(&s.queue, e)
	return e
}

// step lets the next event happen; false when there is none before end.
func (s *scheduler) step(end time.Time) bool {
	for len(s.queue) > 0 && !s.queue[0].at.After(end) {
		e := heap.Pop(&s.queue).(*event)
		if e.dead || e.p != nil && !e.p.alive {
			continue
		}
		if e.p != nil && e.at.Before(e.p.pausedUntil) {
			e.at, e.draw = e.p.pausedUntil, s.rnd("order").Uint32() // what waited is taken in any order
			heap.Push(&s.queue, e)
			continue
		}
		s.now = e.at
		e.do()
		return true
	}
	return false
}

// process is one run of a program: a restart makes a new one.
type process struct {
	s           *scheduler
	name        string // of the host or part: s1, n2, r1
	alive       bool
	pausedUntil time.Time
	host        *clock // its wall clock
	threads     map[*thread]bool
	order       []*thread
}

func (s *scheduler) process(name string, host *clock) *process {
	return &process{s: s, name: name, alive: true, host: host, threads: map[*thread]bool{}}
}

func (p *process) after(d time.Duration, f func()) *event { return p.s.after(p, d, f) }

// kill ends the process at once, wherever it is.
func (p *process) kill() {
	p.alive = false
	for _, t := range p.order {
		if p.threads[t] && t != p.s.cur {
			t.stop()
		}
	}
	p.threads = map[*thread]bool{}
}

// pause stops the process for d; what comes meanwhile waits.
func (p *process) pause(d time.Duration) { p.pausedUntil = p.s.now.Add(d) }

// thread is code that waits: a coroutine, so that it runs alone, and in the
// scheduler's order only.
type thread struct {
	p     *process
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool
	parks uint64 // parkings so far: a wake-up is for one of them
}

// killed unwinds a thread whose process is dead.
type killed struct{}

// spawn starts a thread. f must wait by the thread's own means only.
func (p *process) spawn(f func(t *thread)) {
	t := &thread{p: p}
	t.next, t.stop = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		defer func() {
			delete(p.threads, t)
			if r := recover(); r != nil {
				if _, ok := r.(killed); !ok {
					panic(r)
				}
			}
		}()
		f(t)
	})
	p.threads[t] = true
	p.order = append(p.order, t)
	p.after(0, t.run)
}

func (t *thread) run() {
	s := t.p.s
	was := s.cur
	s.cur = t
	t.next()
	s.cur = was
}

// park gives way until wake is called for this parking.
func (t *thread) park() {
	if !t.p.alive || !t.yield(struct{}{}) || !t.p.alive {
		panic(killed{})
	}
}

// waker returns a function that ends the parking to come, once, when it is
// called, in d.
func (t *thread) waker() func(d time.Duration) *event {
	t.parks++
	mine := t.parks
	return func(d time.Duration) *event {
		return t.p.after(d, func() {
			if t.parks == mine {
				t.parks++
				t.run()
			}
		})
	}
}

// sleep waits for d.
func (t *thread) sleep(d time.Duration) {
	t.waker()(d)
	t.park()
}

// signal wakes a waiting thread; set before the wait it is not lost.
type signal struct {
	set  bool
	wake func(time.Duration) *event
}

func (s *signal) raise() {
	s.set = true
	if s.wake != nil {
		s.wake(0)
		s.wake = nil
	}
}

// wait waits for the signal, at most d, and reports whether it came.
func (t *thread) wait(s *signal, d time.Duration) bool {
	if !s.set {
		wake := t.waker()
		timer := wake(d)
		s.wake = wake
		t.park()
		s.wake, timer.dead = nil, true
	}
	came := s.set
	s.set = false
	return came
}

// label makes a short id of a long one, for people.
func label(id string) string {
	if len(id) > 8 {
		return id[:8]
	}
	return id
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3fs", d.Seconds()) }
