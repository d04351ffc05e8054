package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

func TestApp_KeepsItsConstraintsAndItsBeingASingleton(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		a := newApp(t, s, "shop")
		c, on, two := model.Placement{Zone: "a", Labels: []string{"ssd"}, MaxPerNode: 1}.Constraints(), true, 2
		_, err := s.EditApp(ctx, a.ID, 0, AppEdit{Constraints: &c, Singleton: &on}, admin)
		check(t, err)
		w, err := s.Wish(ctx)
		check(t, err)
		if len(w.Apps) != 1 || w.Apps[0].Constraints != c || !w.Apps[0].Singleton {
			t.Errorf("the wish has %+v", w.Apps)
		}
		_, err = s.EditApp(ctx, a.ID, 0, AppEdit{Instances: &two}, admin)
		wantCode(t, err, model.CodeBadSize) // a singleton has one instance
		events, err := s.Events(ctx, EventFilter{AppID: a.ID})
		check(t, err)
		if events[0].Verb != "app.singleton" {
			t.Errorf("the last event is %+v", events[0])
		}
		none := model.Constraints("")
		_, err = s.EditApp(ctx, a.ID, 0, AppEdit{Constraints: &none}, admin)
		check(t, err)
		events, err = s.Events(ctx, EventFilter{AppID: a.ID})
		check(t, err)
		if want := "constraints label==ssd zone==a per-node==1 → none"; events[0].Verb != "app.place" || events[0].Message != want {
			t.Errorf("the event is %+v, want %q", events[0], want)
		}
	})
}

func TestPool_RoundTrip(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		for _, p := range []Pool{{"big", model.PoolSpread}, {"big", model.PoolBinPack}, {"arm", model.PoolSpread}} {
			check(t, s.SetPool(ctx, p, admin))
		}
		w, err := s.Wish(ctx)
		check(t, err)
		if d := cmp.Diff([]Pool{{"arm", model.PoolSpread}, {"big", model.PoolBinPack}}, w.Pools); d != "" {
			t.Error(d)
		}
		wantCode(t, s.SetPool(ctx, Pool{"big", "random"}, admin), model.CodeBadRequest)
		wantCode(t, s.SetPool(ctx, Pool{"no good", model.PoolSpread}, admin), model.CodeBadConstraint)
	})
}

func TestControl_ForgetsANodeButNotThatItWasForgotten(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		l := lead(t, s, "a")
		n := model.Node{ID: "n1", Name: "web1", Pool: "big", Labels: []string{"ssd", "disk=fast"}, SeenAt: t0}
		i := placed(1, "app1", 0, model.Primary)
		i.NodeID = n.ID
		check(t, s.Apply(ctx, l, Control{Nodes: []model.Node{n}, Insert: []model.Instance{i}}))
		check(t, s.SetAvailability(ctx, n.ID, model.Forgotten, admin))
		got, err := s.Nodes(ctx)
		check(t, err)
		n.CreatedAt, n.Availability = got[0].CreatedAt, model.Forgotten
		if d := cmp.Diff([]model.Node{n}, got); d != "" {
			t.Error(d)
		}
		c := Control{Forget: []string{n.ID}, Delete: []string{i.ID}}
		if c.Empty() {
			t.Error("forgetting a node is something to write")
		}
		check(t, s.Apply(ctx, l, c))
		world, err := s.World(ctx)
		check(t, err)
		w, err := s.Wish(ctx)
		check(t, err)
		if len(world.Nodes)+len(world.Instances) != 0 || w.Availabilities[n.ID] != model.Forgotten {
			t.Errorf("left: %+v, wanted of it %q", world, w.Availabilities[n.ID])
		}
	})
}

func TestControl_CordonsOnlyWhatIsActive(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		l := lead(t, s, "a")
		check(t, s.SetAvailability(ctx, "n2", model.Active, admin))
		check(t, s.SetAvailability(ctx, "n3", model.Draining, admin))
		for range 2 { // the second time changes nothing
			check(t, s.Apply(ctx, l, Control{Cordon: []string{"n1", "n2", "n3"}}))
		}
		w, err := s.Wish(ctx)
		check(t, err)
		want := map[string]model.Availability{"n1": model.Cordoned, "n2": model.Cordoned, "n3": model.Draining}
		if d := cmp.Diff(want, w.Availabilities); d != "" {
			t.Error(d)
		}
		check(t, s.SetAvailability(ctx, "n1", model.Active, admin))
		w, err = s.Wish(ctx)
		check(t, err)
		if is := w.Availabilities["n1"]; is != model.Active && is != "" {
			t.Errorf("a person's word left it %q", is)
		}
	})
}
