package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
)

func TestServer_PlacesWhereTheConstraintsAllow(t *testing.T) {
	r := newRig(t, storetest.SQLite(t))
	s := r.server("s1")
	r.monitor(s.Addr(), healthy)
	for _, id := range []string{"n1", "n2", "n3"} {
		r.agent(id, s.Addr())
	}
	r.deploy("shop", 1)
	r.serving("shop", 1, 1)
	r.constrain("shop", "label==on=n2", "per-node==2")
	r.scale("shop", 4)
	r.wait("n2 is full of the app, and the rest says why it waits", func() error {
		reply, err := r.live(s.Addr(), "shop")
		if err != nil {
			return err
		}
		on := map[string]int{}
		for _, i := range r.rows("shop") {
			on[i.NodeID]++
		}
		if on["n2"] > 2 || on["n1"]+on["n3"] > 1 { // the first one stays where it was
			t.Fatalf("rows on %v in spite of the constraints", on)
		}
		for _, p := range reply.GetPending() {
			if p.GetCode() == string(model.CodeNoMatch) && strings.Contains(p.GetMessage(), "2 without the label") && on["n2"] == 2 {
				return nil
			}
		}
		return fmt.Errorf("rows on %v, pending %v", on, reply.GetPending())
	})
	r.constrain("shop")
	r.serving("shop", 1, 4)
}

func TestServer_ForgottenNodeIsReplacedAndKeptOut(t *testing.T) {
	eachDatabase(t, func(t *testing.T, r *rig) {
		s := r.server("s1", func(c *Config) { c.LostAfter = time.Hour }) // so that nothing but the person's word replaces
		r.monitor(s.Addr(), healthy)
		agents := map[string]*agent{}
		for _, id := range []string{"n1", "n2"} {
			agents[id] = r.agent(id, s.Addr())
		}
		r.deploy("shop", 2)
		r.serving("shop", 1, 2)
		agents["n1"].stop()
		r.want("n1", model.Forgotten)
		r.wait("n1 is gone", func() error {
			nodes, err := r.store.Nodes(t.Context())
			if err != nil || len(nodes) != 1 {
				return fmt.Errorf("%d nodes, %v", len(nodes), err)
			}
			for _, i := range r.rows("shop") {
				if i.NodeID == "n1" {
					return fmt.Errorf("instance %s is still on n1", i.ID)
				}
			}
			return nil
		})
		r.serving("shop", 1, 2)

		back := r.agent("n1", s.Addr())
		r.deploy("blog", 4)
		r.serving("blog", 1, 4)
		for _, i := range r.rows("blog") {
			if i.NodeID == "n1" {
				t.Errorf("instance %s was placed on a forgotten node", i.ID)
			}
		}
		if n := len(back.running()); n != 0 {
			t.Errorf("%d instances run on a forgotten node", n)
		}
		r.want("n1", model.Active)
		r.wait("n1 is a node again", func() error {
			nodes, err := r.store.Nodes(t.Context())
			if err != nil || len(nodes) != 2 {
				return fmt.Errorf("%d nodes, %v", len(nodes), err)
			}
			return nil
		})
	})
}

func (r *rig) want(node string, a model.Availability) {
	r.t.Helper()
	if err := r.store.SetAvailability(r.t.Context(), node, a, r.by); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) constrain(name string, list ...string) {
	r.t.Helper()
	c, err := model.ParseConstraints(list)
	if err != nil {
		r.t.Fatal(err)
	}
	app, err := r.store.App(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.store.EditApp(r.t.Context(), app.ID, 0, store.AppEdit{Constraints: &c}, r.by); err != nil {
		r.t.Fatal(err)
	}
}
