package dash

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
)

// fleet is five nodes: three with disk=ssd in zone a, two with disk=hdd in zone b.
func fleet() []model.Node {
	var out []model.Node
	for i, id := range []string{"n1", "n2", "n3", "n4", "n5"} {
		n := model.Node{ID: id, Name: id, Zone: "a", Labels: []string{"disk=ssd"}, Availability: model.Active}
		if i >= 3 {
			n.Zone, n.Labels = "b", []string{"disk=hdd", "gpu"}
		}
		out = append(out, n)
	}
	return out
}

func TestPlacement_WarnsOfWhatConstraintsLeave(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		constraints string
		change      func(*placement)
		want        []string // parts of the warnings, one each
	}{
		"a node meets them":      {"zone==a label==disk=ssd", nil, nil},
		"a label that none has":  {"label==disk=sdd", nil, []string{"no node has label==disk=sdd; there is label==disk=ssd (3 nodes), label==disk=hdd (2 nodes)", "no node matches: instances that are placed from now on wait"}},
		"a word that none has":   {"label==fast", nil, []string{"there is label==disk=ssd (3 nodes), label==disk=hdd (2 nodes), label==gpu (2 nodes)", "no node matches"}},
		"a zone that none is in": {"zone==c", nil, []string{"no node has zone==c; there is zone==a (3 nodes), zone==b (2 nodes)", "no node matches"}},
		"a pool that none is in": {"pool==big", nil, []string{"no node has pool==big; there is pool==default (5 nodes)", "no node matches"}},
		"the pool not named": {"zone==b", func(p *placement) { p.nodes[3].Pool, p.nodes[4].Pool = "big", "big" },
			[]string{"no node has all of it at once: pool==default (3 nodes), zone==b (2 nodes)", "no node matches"}},
		"two that exclude each other": {"zone==a label==gpu", nil, []string{"no node has all of it at once: pool==default (5 nodes), zone==a (3 nodes), label==gpu (2 nodes)", "no node matches"}},
		"no node at all":              {"zone==a", func(p *placement) { p.nodes = nil }, []string{"there is no node yet", "no node matches"}},
		"only one that was given up": {"zone==b", func(p *placement) {
			p.nodes[3].Availability, p.nodes[4].Availability = model.Forgotten, model.Forgotten
		}, []string{"no node has zone==b", "no node matches"}},
		"instances that stay": {"zone==c", func(p *placement) { p.on = []string{"n1", "n4"} }, []string{"no node has zone==c", "its 2 instances stay where they are, and one that is lost is not replaced"}},
		"instances elsewhere": {"zone==b", func(p *placement) { p.on = []string{"n1", "n4"} }, []string{"on nodes that do not match: 1 of its 2 instances; what is there stays until it is replaced: dinp restart shop moves it"}},
		"nodes that take none": {"zone==b", func(p *placement) {
			p.nodes[3].Availability = model.Cordoned
			p.status = map[string]string{"n5": "unknown"}
		}, []string{"none takes instances now (1 cordoned, 1 unknown): instances"}},
		"nodes nobody can tell of":     {"zone==b", func(p *placement) { p.nodes[3].Availability = model.Cordoned }, nil},
		"too few for so many":          {"zone==a per-node==1", func(p *placement) { p.app.Instances = 5 }, []string{"per-node==1 on 3 nodes is room for 3 instances, and 5 are wanted: 2 wait"}},
		"too few for a rollout":        {"zone==a per-node==2", func(p *placement) { p.app.Instances = 6 }, []string{"per-node==2 on 3 nodes is room for 6 instances, all of them wanted: a deploy or restart"}},
		"room for a rollout":           {"zone==a per-node==1", func(p *placement) { p.app.Instances = 2 }, nil},
		"a singleton never has two":    {"label==gpu zone==b per-node==1", func(p *placement) { p.nodes, p.app.Instances, p.app.Singleton = p.nodes[:4], 1, true }, nil},
		"more values than one can see": {"zone==z", func(p *placement) { p.nodes = manyZones(11) }, []string{"zone==z01 (1 node), zone==z02 (1 node), zone==z03 (1 node), zone==z04 (1 node), zone==z05 (1 node), zone==z06 (1 node), zone==z07 (1 node), zone==z08 (1 node), 3 more", "no node matches"}},
	} {
		p := placement{app: model.App{Name: "shop", Instances: 1, Constraints: model.Constraints(c.constraints)}, nodes: fleet()}
		if c.change != nil {
			c.change(&p)
		}
		got := p.warnings()
		if !slices.EqualFunc(got, c.want, strings.Contains) {
			t.Errorf("%s: %s (-want +got):\n%s", name, c.constraints, cmp.Diff(c.want, got))
		}
	}
}

func manyZones(n int) (out []model.Node) {
	for i := range n {
		zone := "z" + string(rune('0'+(i+1)/10)) + string(rune('0'+(i+1)%10))
		out = append(out, model.Node{ID: zone, Name: zone, Zone: zone, Availability: model.Active})
	}
	return out
}

func TestEditApp_ConstraintThatNoNodeMeetsIsTakenWithAWarning(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	if err := r.store.Apply(t.Context(), r.lease, store.Control{Nodes: fleet()}); err != nil {
		t.Fatal(err)
	}
	edit := func(c ...string) api.App {
		c = append([]string{}, c...) // [] and not null, which names no setting
		return do[api.App](r, 200, "PATCH", "/apps/shop", r.admin, api.EditApp{Constraints: &c})
	}
	got := edit("label==disk=sdd")
	if len(got.Warnings) != 2 || !strings.Contains(got.Warnings[0], "label==disk=ssd (3 nodes)") || !slices.Equal(got.Constraints, []string{"label==disk=sdd"}) {
		t.Errorf("constraints %v with warnings %q", got.Constraints, got.Warnings)
	}
	if got := edit("label==disk=ssd", "per-node==1"); len(got.Warnings) != 0 {
		t.Errorf("three nodes match, and yet %q", got.Warnings)
	}
	four := 4
	if got := do[api.App](r, 200, "POST", "/apps/shop/scale", r.admin, api.Scale{Instances: &four}); len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "4 are wanted: 1 wait") {
		t.Errorf("four instances on three nodes, one on each: %q", got.Warnings)
	}
	r.leads.set(func() {
		for _, n := range fleet() {
			r.leads.roster.Nodes = append(r.leads.roster.Nodes, &pb.NodeState{Id: n.ID, Status: string(model.NodeLost)})
		}
	})
	if got := edit("zone==b"); len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "2 lost") {
		t.Errorf("all nodes are lost: %q", got.Warnings)
	}
	if got := do[api.App](r, 200, "GET", "/apps/shop", r.admin, nil); got.Warnings != nil {
		t.Errorf("whoever looks on is warned: %q", got.Warnings)
	}
	if got := edit(); len(got.Warnings) != 0 {
		t.Errorf("any node will do, and yet %q", got.Warnings)
	}
}
