package place

import (
	"testing"

	"github.com/dinp/dinp/common/model"
)

// ready is an index of nodes with so much memory each.
func ready(memoryMiB ...int64) *Index {
	x := New()
	for i, m := range memoryMiB {
		id := string(rune('a' + i))
		x.Set(Node{ID: id, Name: id, Status: model.NodeReady, Availability: model.Active, MemoryMiB: m, CPUMilli: 4000})
	}
	return x
}

func TestPick_AnExactFitFits(t *testing.T) {
	x, r := ready(512), Request{MemoryMiB: 256, CPUMilli: 2000}
	for n := range 2 {
		v := View{}
		i, why := x.Pick(&r, &v)
		if i < 0 {
			t.Fatalf("instance %d of two that fill the node to the last byte: %v", n, why)
		}
		x.Take(i, &r, &v)
	}
	if i, _ := x.Pick(&Request{MemoryMiB: 1}, &View{}); i >= 0 {
		t.Error("a full node took one more")
	}
}

// Nothing was reported by any agent in between: what was given away counts at once.
func TestPick_ARoomIsGivenOnce(t *testing.T) {
	x, r := ready(1024, 300, 300), Request{MemoryMiB: 300}
	on := map[int]int{}
	for range 5 {
		v := View{} // each of another app
		i, why := x.Pick(&r, &v)
		if i < 0 {
			t.Fatalf("after %v: %v", on, why)
		}
		x.Take(i, &r, &v)
		on[i]++
	}
	if on[0] != 3 || on[1] != 1 || on[2] != 1 {
		t.Errorf("placed %v, the nodes have room for 3, 1 and 1", on)
	}
	if i, _ := x.Pick(&r, &View{}); i >= 0 {
		t.Errorf("a sixth was placed on node %d", i)
	}
}

func TestRefused_SilentNodesThatWouldHaveRoomAreCounted(t *testing.T) {
	x := ready(100, 512, 512, 512, 512)
	for id, change := range map[string]func(*Node){
		"b": func(n *Node) { n.Status = model.NodeUnknown },
		"c": func(n *Node) { n.Away = true },
		"d": func(n *Node) { n.Status, n.Availability = model.NodeUnknown, model.Cordoned },
		"e": func(n *Node) { n.Status = model.NodeLost },
	} {
		i, _ := x.Number(id)
		n := x.Node(i)
		change(&n)
		x.Set(n)
	}
	_, why := x.Pick(&Request{MemoryMiB: 256}, &View{})
	if got := why.Silent(); got != 2 {
		t.Errorf("%d silent nodes would have room, want b and c: %v", got, why.Error("shop"))
	}
	_, why = x.Pick(&Request{MemoryMiB: 1024}, &View{})
	if got := why.Silent(); got != 0 {
		t.Errorf("%d silent nodes would have room for more than they have", got)
	}
}
