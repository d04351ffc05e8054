package agent

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/runtime/fake"
	"github.com/dinp/dinp/common/model"
)

// bench is a watch over a fake engine with one running instance, i1.
type bench struct {
	*watch
	t      *testing.T
	engine *fake.Engine

	mu   sync.Mutex
	hook func(fake.Op) fake.Fault
}

func watched(t *testing.T, f func(*testing.T, *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, engine: fake.NewEngine()}
		rt := &fake.Faulty{Runtime: b.engine.Node("n1", "10.0.0.1"), Hook: b.fault}
		log := slog.New(slog.DiscardHandler)
		set := instance.New(instance.Config{MemoryMiB: 1000}, instance.NewDriver(rt), journal.Memory("n1"), func(string) {}, log)
		b.watch = newWatch(rt, set, log)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = set.Run(ctx) }) // both end with ctx
		wg.Go(func() { _ = b.Run(ctx) })
		set.Start(runtime.Spec{InstanceID: "i1", Image: "img", MemoryMiB: 1}, time.Now())
		b.pass(time.Second)
		f(t, b)
		cancel()
		wg.Wait()
	})
}

func (b *bench) fault(op fake.Op, _ string) fake.Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hook == nil {
		return fake.Fault{}
	}
	return b.hook(op)
}

func (b *bench) engineIs(f fake.Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook = func(fake.Op) fake.Fault { return f }
}

func (b *bench) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (b *bench) want(phase model.Phase, ok bool) {
	b.t.Helper()
	if o, _ := b.set.Find("i1"); o.Phase != phase || b.Docker().OK != ok {
		b.t.Fatalf("instance %s, docker %+v; want %s and %v", o.Phase, b.Docker(), phase, ok)
	}
}

func TestWatch_EventOfAnExit_IsTakenUpAtOnce(t *testing.T) {
	watched(t, func(t *testing.T, b *bench) {
		b.engine.Exit("i1", 1, false)
		synctest.Wait()
		b.want(model.PhaseGone, true)
	})
}

func TestWatch_LostEvent_IsMadeUpForByTheList(t *testing.T) {
	watched(t, func(t *testing.T, b *bench) {
		b.engine.Vanish("i1", true)
		synctest.Wait()
		b.want(model.PhaseRunning, true)
		b.pass(relistEvery + 2*relistPause) // the lists that the start asked for may end as late as that
		b.want(model.PhaseGone, true)
	})
}

// DEFECTS 35, 36: one failed list evicted a healthy node.
func TestWatch_EngineDown_ConcludesNothingAndRecovers(t *testing.T) {
	for name, f := range map[string]fake.Fault{"refuses": {Err: runtime.ErrAway}, "hangs": {Hang: true}} {
		t.Run(name, func(t *testing.T) {
			watched(t, func(t *testing.T, b *bench) {
				b.engineIs(f)
				b.engine.Restart() // its events break too
				b.engineIs(f)
				b.pass(5 * time.Minute)
				b.want(model.PhaseRunning, false)
				b.engineIs(fake.Fault{})
				b.pass(2 * listTimeout)
				b.want(model.PhaseGone, true) // the restart ended it: now that is known
			})
		})
	}
}

func TestWatch_EngineSlowOnce_IsNoCondition(t *testing.T) {
	watched(t, func(t *testing.T, b *bench) {
		b.mu.Lock()
		once := true
		b.hook = func(op fake.Op) fake.Fault {
			if op == fake.OpInfo && once {
				once = false
				return fake.Fault{Err: runtime.ErrAway}
			}
			return fake.Fault{}
		}
		b.mu.Unlock()
		for range 20 {
			b.pass(time.Second)
			b.want(model.PhaseRunning, true)
		}
	})
}

func TestWatch_RefreshBehindAHangingList_KeepsItsDeadline(t *testing.T) {
	watched(t, func(t *testing.T, b *bench) {
		b.engineIs(fake.Fault{Hang: true})
		b.due()
		b.pass(2 * time.Second) // the list hangs now, for as long as its context lives
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		b.Refresh(ctx) // must return: else the bubble deadlocks
		b.want(model.PhaseRunning, false)
	})
}
