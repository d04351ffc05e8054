package place

import (
	"strings"
	"testing"

	"github.com/dinp/dinp/common/model"
)

// Of two nodes, one is full; the other would do but for one thing, and what is
// advised is about that.
func TestRefused_AdvisesWhatWouldMakeANodeFit(t *testing.T) {
	for why, c := range map[string]struct {
		spoil func(*Node)
		want  string
	}{
		"cordoned":        {func(n *Node) { n.Availability = model.Cordoned }, "dinp node web2 uncordon"},
		"draining":        {func(n *Node) { n.Availability = model.Draining }, "dinp node web2 uncordon"},
		"short of disk":   {func(n *Node) { n.DiskPressure = true }, "dinp node web2 "},
		"without Docker":  {func(n *Node) { n.Status = model.NodeDockerDown }, "dinp node web2 "},
		"unknown":         {func(n *Node) { n.Status = model.NodeUnknown }, "when 1 silent node is back"},
		"lost":            {func(n *Node) { n.Status = model.NodeLost }, "bring 1 lost node back"},
		"in another zone": {func(n *Node) { n.Zone = "b" }, "dinp place shop any"},
		"in another pool": {func(n *Node) { n.Pool = "big" }, "dinp place shop any"},
		"short of memory": {func(n *Node) { n.MemoryMiB = 100 }, "--memory"},
	} {
		x := New()
		x.Set(Node{ID: "1", Name: "web1", Zone: "a", Status: model.NodeReady, Availability: model.Cordoned, MemoryMiB: 100})
		n := Node{ID: "2", Name: "web2", Zone: "a", Status: model.NodeReady, Availability: model.Active, MemoryMiB: 1024}
		c.spoil(&n)
		x.Set(n)
		x.Set(Node{ID: "3", Name: "web3", Zone: "a", Status: model.NodeReady, Availability: model.Cordoned, MemoryMiB: 1024, Away: true})
		_, refused := x.Pick(&Request{MemoryMiB: 256, Zone: "a"}, &View{})
		if refused == nil {
			t.Fatalf("%s: a node was found", why)
		}
		if e := refused.Error("shop"); !strings.Contains(e.Next, c.want) {
			t.Errorf("%s: the advice is %q, want %q in it", why, e.Next, c.want)
		}
	}
}

// An app that names no pool runs in the default one: there is no constraint to be
// dropped when nodes of other pools are all that would have room.
func TestRefused_AppWithoutConstraintsIsNotToldToDropThem(t *testing.T) {
	for name, c := range map[string]struct {
		memory int64 // of the node in the default pool; 0: there is none
		want   string
	}{
		"the default pool is full":       {100, "ask for less memory"},
		"no node is in the default pool": {0, "dinp place shop pool==POOL"},
	} {
		x := New()
		if c.memory > 0 {
			x.Set(Node{ID: "1", Name: "web1", Status: model.NodeReady, Availability: model.Active, MemoryMiB: c.memory})
		}
		x.Set(Node{ID: "2", Name: "web2", Pool: "big", Status: model.NodeReady, Availability: model.Active, MemoryMiB: 1024})
		_, refused := x.Pick(&Request{MemoryMiB: 256}, &View{})
		if refused == nil {
			t.Fatalf("%s: a node was found", name)
		}
		if e := refused.Error("shop"); !strings.Contains(e.Next, c.want) || strings.Contains(e.Next, "any drops") {
			t.Errorf("%s: the advice is %q, want %q in it", name, e.Next, c.want)
		}
	}
}
