package permit

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

const limit = 75 * time.Second

var quiet = slog.New(slog.DiscardHandler)

func TestPermit_CountsFromTheSendingOfWhatTheLeaderHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(journal.Memory("n1"), quiet)
		wantLeft := func(want time.Duration) {
			t.Helper()
			if got, grace := p.Left(time.Now()); got != want || grace != limit/5 {
				t.Errorf("%s left with %s grace, want %s", got, grace, want)
			}
		}
		p.Open(time.Now(), limit)
		wantLeft(30 * time.Second)
		p.Ask(7, time.Now())
		pass(10 * time.Second)
		p.Ask(8, time.Now())
		wantLeft(20 * time.Second)
		pass(5 * time.Second)
		p.Heard(6) // nothing we have asked
		wantLeft(15 * time.Second)
		p.Heard(8)
		wantLeft(25 * time.Second)
		p.Heard(7) // an old word changes nothing
		wantLeft(25 * time.Second)
		pass(time.Minute)
		for seq := range uint64(1000) { // a leader that has nothing to say for long
			p.Ask(9+seq, time.Now())
			pass(time.Second)
		}
		p.Heard(1008)
		wantLeft(29 * time.Second)
	})
}

func TestPermit_WithoutAnyWordNothingMayRun(t *testing.T) {
	p := New(journal.Memory("n1"), quiet)
	if left, _ := p.Left(time.Now()); left > 0 || p.Refuses(time.Now()) == "" {
		t.Errorf("%s left: %q", left, p.Refuses(time.Now()))
	}
	p.Open(time.Now(), 0) // a leader that names no limit
	if left, _ := p.Left(time.Now()); left > 0 {
		t.Errorf("%s left", left)
	}
}

// node is a permit over a set on a fake engine, whose agent can be killed.
type node struct {
	*Permit
	disk   *journal.Disk
	engine *fake.Engine
	set    *instance.Set
	kill   func()
}

func (n *node) start(t *testing.T) {
	j, err := journal.OpenOn(n.disk, "n1", quiet)
	if err != nil {
		t.Fatal(err)
	}
	n.Permit = New(j, quiet)
	n.set = instance.New(instance.Config{MemoryMiB: 1000, Permitted: n.Refuses}, instance.NewDriver(n.engine.Node("n1", "10.0.0.1")), j, func(string) {}, quiet)
	if err := n.set.Load(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.set.Run(ctx) }) // both end with ctx
	wg.Go(func() { _ = n.Run(ctx, n.set) })
	n.kill = sync.OnceFunc(func() { cancel(); wg.Wait() })
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func onNode(t *testing.T, f func(t *testing.T, n *node)) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{disk: journal.NewDisk(time.Now), engine: fake.NewEngine()}
		n.start(t)
		defer func() { n.kill() }()
		n.Open(time.Now(), limit)
		for id, singleton := range map[string]bool{"one": true, "many": false} {
			n.set.Start(runtime.Spec{InstanceID: id, Image: "img", MemoryMiB: 1, Singleton: singleton}, time.Now())
		}
		pass(time.Second)
		n.want(t, model.PhaseRunning)
		f(t, n)
	})
}

// want checks how the singleton is; the other instance always runs.
func (n *node) want(t *testing.T, phase model.Phase) {
	t.Helper()
	if o, _ := n.set.Find("one"); o.Phase != phase || !o.Singleton {
		t.Errorf("the singleton is %+v, want %s", o, phase)
	}
	if o, _ := n.set.Find("many"); o.Phase != model.PhaseRunning {
		t.Errorf("the other instance is %s", o.Phase)
	}
}

func TestSingleton_IsStoppedWhenNoLeaderHearsOfTheNode(t *testing.T) {
	onNode(t, func(t *testing.T, n *node) {
		pass(28 * time.Second)
		n.want(t, model.PhaseRunning)
		pass(2 * time.Second)
		n.want(t, model.PhaseGone)
		n.set.Start(runtime.Spec{InstanceID: "late", Image: "img", MemoryMiB: 1, Singleton: true}, time.Now())
		if o, _ := n.set.Find("late"); o.Gone != model.GoneRejected || o.Code != model.CodeCutOff {
			t.Errorf("a start that was long on its way: %+v", o)
		}
	})
}

func TestSingleton_RunsOnWhileTheLeaderHears(t *testing.T) {
	onNode(t, func(t *testing.T, n *node) {
		for seq := range uint64(20) {
			n.Ask(seq, time.Now())
			pass(14 * time.Second)
			n.Heard(seq)
		}
		n.want(t, model.PhaseRunning)
	})
}

func TestSingleton_IsStoppedAlsoByAnAgentThatWasAway(t *testing.T) {
	for name, c := range map[string]struct {
		away time.Duration
		want model.Phase
	}{"shortly": {20 * time.Second, model.PhaseRunning}, "for long": {time.Hour, model.PhaseGone}} {
		t.Run(name, func(t *testing.T) {
			onNode(t, func(t *testing.T, n *node) {
				n.kill()
				pass(c.away)
				n.start(t)
				pass(time.Second)
				n.want(t, c.want)
				pass(15 * time.Second)
				n.want(t, model.PhaseGone)
			})
		})
	}
}

func TestSingleton_BecomesOneAndIsSoAfterARestart(t *testing.T) {
	onNode(t, func(t *testing.T, n *node) {
		n.set.Start(runtime.Spec{InstanceID: "many", Image: "img", MemoryMiB: 1, Singleton: true}, time.Now())
		pass(time.Second)
		n.kill()
		n.start(t)
		if got := n.set.Singletons(); len(got) != 2 {
			t.Errorf("singletons %v", got)
		}
		pass(time.Minute)
		if o, _ := n.set.Find("many"); o.Phase != model.PhaseGone {
			t.Errorf("it is %s", o.Phase)
		}
	})
}
