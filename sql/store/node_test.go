package store

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
)

// An operator who repeats himself changes nothing; the audit log tells each change
// once, with the node's name and what was before.
func TestSetAvailability_RepeatedIsNoChange_AndEventsTellNameAndBefore(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		check(t, s.Apply(ctx, lead(t, s, "a"), Control{Nodes: []model.Node{{ID: "n1", Name: "web1", SeenAt: t0}}}))
		for _, a := range []model.Availability{model.Active, model.Cordoned, model.Cordoned, model.Draining, model.Draining, model.Active, model.Active, model.Forgotten} {
			check(t, s.SetAvailability(ctx, "n1", a, admin))
		}
		all, err := s.Events(ctx, EventFilter{})
		check(t, err)
		var got []string
		for _, e := range slices.Backward(all) {
			if e.Subject == "n1" {
				got = append(got, e.Message)
			}
		}
		want := []string{"node web1: active → cordoned", "node web1: cordoned → draining", "node web1: draining → active", "node web1: active → forgotten"}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}
