package reconcile

import (
	"slices"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// An agent whose disk is full cannot leave a tombstone for an instance of which it
// has never heard, and obeys no stop of it (seed 230709: the row was stopping for ever).
func TestStop_IsSentAgainWhenItsAgentShowsNoTraceOfTheInstance(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.node("n1", 1024)
	r.deploy("shop", 1)
	r.round()
	a.todo = nil // the start never arrives
	a.leave()
	r.edit("shop", func(a *model.App) { a.DeletedAt = r.now })
	r.round()
	a.connect()
	r.step()
	r.round()
	for n := range 3 {
		if !slices.ContainsFunc(a.todo, isStop) {
			t.Fatalf("it is told %v after %d stops that it could not obey", a.todo, n)
		}
		a.todo = nil
		r.round()
		if slices.ContainsFunc(a.todo, isStop) {
			t.Fatal("it is told to stop it again at once")
		}
		r.pass(30 * time.Second)
		r.round()
	}
	r.settle()
	if len(r.instances) > 0 {
		t.Errorf("still there: %v", r.instances)
	}
}

func TestStop_OfAnInstanceThatItsAgentHasIsSentOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.node("n1", 1024)
	r.deploy("shop", 1)
	r.settle()
	r.edit("shop", func(a *model.App) { a.DeletedAt = r.now })
	r.round()
	r.step()
	a.hold = true // it drains
	r.round()
	r.pass(time.Minute)
	r.round()
	if stops := len(a.todo) - len(slices.DeleteFunc(slices.Clone(a.todo), isStop)); stops != 1 {
		t.Errorf("it is told to stop it %d times: %v", stops, a.todo)
	}
}

func isStop(m any) bool { _, is := m.(*pb.Stop); return is }
