package monitor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/hm/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world answers probes as a test says.
type world struct {
	*Monitor
	t *testing.T

	mu      sync.Mutex // guards all below
	up      map[string]bool
	took    time.Duration
	probes  map[string]int  // by address
	ill     map[string]bool // those that are not up, and answer
	now     int
	peak    int
	changes []string // ids, as noted
}

func in(t *testing.T, f func(*testing.T, *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, up: map[string]bool{}, ill: map[string]bool{}, probes: map[string]int{}}
		w.Monitor = New(w.answer, func(id string) { w.changes = append(w.changes, id) })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { _ = w.Run(ctx); close(done) }() // ends with ctx
		f(t, w)
		cancel()
		<-done
	})
}

func (w *world) answer(ctx context.Context, t probe.Target) probe.Result {
	w.mu.Lock()
	w.probes[t.Addr]++
	w.now++
	w.peak = max(w.peak, w.now)
	up, ill, took := w.up[t.Addr], w.ill[t.Addr], w.took
	w.mu.Unlock()
	pause(ctx, took)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now--
	switch {
	case up:
		return probe.Result{OK: true, Answered: true, Evidence: "GET / → 200"}
	case ill:
		return probe.Result{Answered: true, Evidence: "GET / → 503"}
	}
	return probe.Result{Evidence: "GET /: connect: refused"}
}

func (w *world) set(addr string, up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up[addr] = up
}

func (w *world) count(addr string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.probes[addr]
}

func (w *world) pass(d time.Duration) {
	pause(context.Background(), d)
	synctest.Wait()
}

func (w *world) want(id string, healthy bool) model.Verdict {
	w.t.Helper()
	v := w.Verdicts([]string{id})
	if len(v) != 1 || v[0].Healthy != healthy || v[0].Evidence == "" {
		w.t.Fatalf("%s: %+v, want healthy %v", id, v, healthy)
	}
	return v[0]
}

func target(id string) Target { return Target{ID: id, Target: probe.Target{Addr: "addr-" + id}} }

// DEFECTS 49: slow starters never came up.
func TestMonitor_SlowStarter_IsReadyAsSoonAsItAnswers(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.Replace([]Target{target("a")})
		w.pass(5 * time.Minute)
		w.want("a", false)
		w.set("addr-a", true)
		w.pass(startingEvery)
		w.want("a", true)
	})
}

func TestMonitor_FirstAnswer_IsTold_HoweverBadItIs_AndStaysTheFirst(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.Replace([]Target{target("a")})
		w.pass(time.Minute)
		if v := w.want("a", false); v.Answers != 0 {
			t.Fatalf("it has not answered, and is told to %s ago", v.Answers)
		}
		w.mu.Lock()
		w.ill["addr-a"], w.changes = true, nil
		w.mu.Unlock()
		w.pass(startingEvery)
		begun := time.Now()
		if v := w.want("a", false); v.Answers < time.Millisecond || v.Answers > startingEvery || len(w.changes) == 0 {
			t.Errorf("it answered %s ago; told %v", v.Answers, w.changes)
		}
		w.pass(time.Minute)
		w.set("addr-a", true)
		w.pass(startingEvery)
		w.set("addr-a", false)
		w.pass(time.Minute)
		w.Replace([]Target{target("a")}) // another leader
		if v := w.want("a", false); v.Answers < time.Since(begun) || v.Answers > time.Since(begun)+startingEvery {
			t.Errorf("%s after its first answer that is told to be %s ago", time.Since(begun), v.Answers)
		}
	})
}

func TestMonitor_Pace_QuickWhileStartingThenCalm(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.Replace([]Target{target("a")})
		w.pass(time.Second)
		if n := w.count("addr-a"); n < 4 || n > 5 {
			t.Errorf("%d probes in the first second", n)
		}
		w.set("addr-a", true)
		w.pass(time.Second)
		before := w.count("addr-a")
		w.pass(time.Minute)
		if n := w.count("addr-a") - before; n < 12 || n > 14 {
			t.Errorf("%d probes in a minute", n)
		}
	})
}

func TestMonitor_OneFailure_ChangesNothing(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.set("addr-a", true)
		w.Replace([]Target{target("a")})
		w.pass(time.Second)
		since := w.want("a", true).Since
		w.set("addr-a", false)
		w.pass(2 * runningEvery)
		w.set("addr-a", true)
		w.pass(time.Minute)
		if v := w.want("a", true); v.Since != since || len(w.changes) != 1 {
			t.Errorf("since %v, was %v; changes %v", v.Since, since, w.changes)
		}
	})
}

// DEFECTS 50: a monitor that was cut off killed everything it watched. Ours
// tells verdicts, each once, and has nothing to kill with.
func TestMonitor_EverythingFails_OnlyVerdictsChange(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		var all []Target
		for i := range 1000 {
			id := fmt.Sprint(i)
			w.set("addr-"+id, true)
			all = append(all, target(id))
		}
		w.Replace(all)
		w.pass(time.Minute)
		w.mu.Lock()
		w.up = map[string]bool{}
		w.mu.Unlock()
		w.pass(10 * time.Minute)
		if n, healthy := w.Count(); n != 1000 || healthy != 0 || len(w.changes) != 2000 {
			t.Errorf("%d targets, %d healthy, %d changes told", n, healthy, len(w.changes))
		}
	})
}

// DEFECTS 51: dead containers were probed for ever.
func TestMonitor_RemovedTarget_IsProbedNoMore(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.Replace([]Target{target("a"), target("b"), target("c")})
		w.Change([]Target{target("d")}, []string{"b", "never-was"})
		w.pass(time.Second)
		w.Replace([]Target{target("d")})
		w.pass(0)
		before := [3]int{w.count("addr-a"), w.count("addr-b"), w.count("addr-d")}
		w.pass(time.Minute)
		after := [3]int{w.count("addr-a"), w.count("addr-b"), w.count("addr-d")}
		if after[0] != before[0] || before[1] != 0 || after[1] != 0 || after[2] == before[2] {
			t.Errorf("probes before %v, after %v", before, after)
		}
		if got := w.Verdicts([]string{"a", "b"}); len(got) != 0 {
			t.Errorf("verdicts of removed ones: %+v", got)
		}
	})
}

// DEFECTS 51: one slow check held up all others.
func TestMonitor_SlowTargets_DoNotHoldUpOthers(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.mu.Lock()
		w.took = probe.Timeout
		w.mu.Unlock()
		var all []Target
		for i := range lanes * 4 {
			all = append(all, target(fmt.Sprint(i)))
		}
		w.Replace(all)
		w.pass(time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.peak != lanes {
			t.Errorf("%d probes at once, want %d", w.peak, lanes)
		}
		for _, x := range all {
			if w.probes[x.Addr] == 0 {
				t.Fatalf("%s was never probed", x.ID)
			}
		}
	})
}

func TestMonitor_KnownTarget_StartsFromItsVerdict(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		a := target("a")
		a.Known, a.Healthy = true, true
		w.Replace([]Target{a})
		w.want("a", true)
		w.pass(8 * time.Second) // at most two failures: the third comes after 9s or later
		w.want("a", true)
		w.pass(2 * runningEvery)
		w.want("a", false)
	})
}

// A verdict that never changes is a vote, too.
func TestMonitor_KnownTarget_IsToldThoughNothingChanges(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.set("addr-a", true)
		a := target("a")
		a.Known, a.Healthy = true, true
		w.Change([]Target{a}, nil)
		w.pass(time.Minute)
		w.want("a", true)
		w.Change([]Target{a}, nil) // once is enough
		if !slices.Equal(w.changes, []string{"a"}) {
			t.Errorf("told of %v, want a once", w.changes)
		}
	})
}

func TestMonitor_SetAgain_KeepsWhatWasObserved(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.set("addr-a", true)
		w.Replace([]Target{target("a")})
		w.pass(time.Second)
		told := target("a")
		told.Known = true // the leader remembers it as unhealthy
		w.Replace([]Target{told})
		w.want("a", true)
		moved := target("a")
		moved.Addr = "elsewhere"
		w.Change([]Target{moved}, nil)
		if got := w.Verdicts([]string{"a"}); len(got) != 0 {
			t.Errorf("a verdict of another address was kept: %+v", got)
		}
	})
}

func TestMonitor_UnhealthyForAnotherReason_IsToldAgain(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		w.Replace([]Target{target("a")})
		w.pass(time.Minute)
		if len(w.changes) != 1 {
			t.Fatalf("changes %v", w.changes)
		}
		wt := w.watches["a"]
		w.note(wt, probe.Result{Evidence: "GET /: no answer within 2s"}, time.Now())
		if v := w.want("a", false); len(w.changes) != 2 || v.Evidence != "GET /: no answer within 2s" {
			t.Errorf("%+v, changes %v", v, w.changes)
		}
	})
}

func TestMonitor_AnyOrderOfChanges_EndsWithTheLastSet(t *testing.T) {
	in(t, func(t *testing.T, w *world) {
		for range 200 {
			id := fmt.Sprint(rand.IntN(5))
			if rand.IntN(2) == 0 {
				w.Change([]Target{target(id)}, nil)
			} else {
				w.Change(nil, []string{id})
			}
			w.pass(time.Duration(rand.IntN(300)) * time.Millisecond)
		}
		w.Replace([]Target{target("last")})
		if n, _ := w.Count(); n != 1 {
			t.Errorf("%d targets", n)
		}
	})
}
