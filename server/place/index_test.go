package place

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
)

// both is an index beside its brute-force model.
type both struct {
	x *Index
	w world
}

func newBoth() *both {
	return &both{x: New(), w: world{nodes: map[string]Node{}, memory: map[string]int64{}, cpu: map[string]int64{}, starting: map[string]int32{}, policies: map[string]Policy{}}}
}

func drawNode(t *rapid.T, id string) Node {
	return Node{
		ID: id, Name: id, Pool: rapid.SampledFrom([]string{"", "", "", DefaultPool, "big"}).Draw(t, "pool"), Zone: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "zone"),
		Labels:       rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"ssd", "gpu", "arm"}), 0, 2, rapid.ID).Draw(t, "labels"),
		Status:       rapid.SampledFrom([]model.NodeStatus{model.NodeReady, model.NodeReady, model.NodeReady, model.NodeReady, model.NodeUnknown, model.NodeLost, model.NodeDockerDown}).Draw(t, "status"),
		Availability: rapid.SampledFrom([]model.Availability{model.Active, model.Active, model.Active, model.Cordoned, model.Draining}).Draw(t, "availability"),
		Away:         rapid.IntRange(0, 9).Draw(t, "away") == 0, DiskPressure: rapid.IntRange(0, 9).Draw(t, "disk") == 0,
		MemoryMiB: int64(rapid.SampledFrom([]int{1024, 4096, 65536}).Draw(t, "memory")), CPUMilli: int64(rapid.SampledFrom([]int{1000, 8000}).Draw(t, "cpu")),
	}
}

func drawRequest(t *rapid.T, ids []string) Request {
	return Request{
		MemoryMiB: int64(rapid.SampledFrom([]int{16, 100, 256, 1000, 4096}).Draw(t, "need")), CPUMilli: int64(rapid.SampledFrom([]int{0, 0, 100, 1000}).Draw(t, "cores")),
		Avoid: rapid.SampledFrom(append([]string{""}, ids...)).Draw(t, "avoid"), Pool: rapid.SampledFrom([]string{"", "", "big", "none"}).Draw(t, "in pool"),
		Zone: rapid.SampledFrom([]string{"", "", "", "a", "z"}).Draw(t, "in zone"), Labels: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"ssd", "gpu", "tpu"}), 0, 1, rapid.ID).Draw(t, "with"),
		MaxPerNode: rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "most"), MaxFailures: rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "failures"),
		Seed: rapid.Uint64Range(0, 3).Draw(t, "seed"),
	}
}

// step changes both sides in one way.
func (b *both) step(t *rapid.T, id string) {
	i, known := b.x.Number(id)
	if !known || rapid.IntRange(0, 5).Draw(t, "what") == 0 {
		n := drawNode(t, id)
		b.w.nodes[id] = n
		b.x.Set(n)
		return
	}
	switch rapid.IntRange(0, 12).Draw(t, "change") {
	case 0:
		b.x.Remove(id)
		delete(b.w.nodes, id)
		delete(b.w.memory, id)
		delete(b.w.cpu, id)
		delete(b.w.starting, id)
	case 1:
		name, p := rapid.SampledFrom([]string{"", "big"}).Draw(t, "pool"), rapid.SampledFrom([]Policy{Spread, BinPack}).Draw(t, "policy")
		b.x.SetPolicy(name, p)
		b.w.policies[(&Request{Pool: name}).poolName()] = p
	case 2, 3, 4:
		n := rapid.IntRange(0, 3).Draw(t, "starting")
		b.x.Starting(i, n)
		b.w.starting[id] += int32(n)
	case 5:
		n := -int(b.w.starting[id])
		b.x.Starting(i, n)
		b.w.starting[id] = 0
	default:
		m, c := int64(rapid.IntRange(-200, 400).Draw(t, "memory")), int64(rapid.IntRange(-100, 300).Draw(t, "cpu"))
		b.x.Reserve(i, m, c)
		b.w.memory[id] += m
		b.w.cpu[id] += c
	}
}

func (b *both) drawView(t *rapid.T) (*View, standing) {
	v, s := &View{}, standing{map[string]int{}, map[string]int{}, map[string]bool{}}
	for _, n := range b.w.sorted() {
		i, _ := b.x.Number(n.ID)
		if k := rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2}).Draw(t, "instances"); k > 0 {
			v.Add(b.x, i, k)
			s.instances[n.ID] = k
		}
		if k := rapid.SampledFrom([]int{0, 0, 0, 0, 0, 1, 2}).Draw(t, "failed"); k > 0 {
			v.Fail(i, k)
			s.failures[n.ID] = k
		}
		if rapid.IntRange(0, 7).Draw(t, "image") == 0 {
			v.Image(i)
			s.images[n.ID] = true
		}
	}
	return v, s
}

func (b *both) pick(r Request, v *View) string {
	i, refused := b.x.Pick(&r, v)
	if (i < 0) != (refused != nil) {
		panic("a refusal is either there or not")
	}
	if i < 0 {
		return ""
	}
	return b.x.Node(i).ID
}

// The index agrees with its brute-force definition after any history, a clone
// of it does too, and so does an index that was told the same in another order.
func TestPick_AgreesWithTheNaiveDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBoth()
		ids := make([]string, rapid.IntRange(1, 40).Draw(t, "nodes"))
		for i := range ids {
			ids[i] = fmt.Sprintf("n%02d", i)
		}
		for _, id := range ids {
			b.step(t, id)
		}
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			for range rapid.IntRange(0, 6).Draw(t, "steps") {
				b.step(t, rapid.SampledFrom(ids).Draw(t, "node"))
			}
			v, s := b.drawView(t)
			r := drawRequest(t, ids)
			got, want := b.pick(r, v), b.w.pick(r, s)
			if got != want {
				t.Fatalf("index picks %q, definition %q for %+v", got, want, r)
			}
			clone := &both{x: b.x.Clone(), w: b.w}
			if again := clone.pick(r, v); again != got {
				t.Fatalf("a clone picks %q, the index %q", again, got)
			}
			if again := b.retold(t).pick(r, translate(b.x, v, b.retold(t).x, s)); again != got {
				t.Fatalf("another order of telling picks %q, this one %q", again, got)
			}
			if i, ok := b.x.Number(got); ok {
				b.x.Take(i, &r, v)
				b.w.memory[got] += r.MemoryMiB
				b.w.cpu[got] += r.CPUMilli
				b.w.starting[got]++
			}
		}
	})
}

// With more alike nodes than are looked at, the sixteen that the seed tells
// decide, and the nodes that have the image.
func TestPick_AgreesWithTheNaiveDefinitionAmongManyAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBoth()
		policy := rapid.SampledFrom([]Policy{Spread, BinPack}).Draw(t, "policy")
		b.x.SetPolicy("", policy)
		b.w.policies[DefaultPool] = policy
		for i := range rapid.IntRange(30, 200).Draw(t, "nodes") {
			id := fmt.Sprintf("n%03d", i)
			n := Node{ID: id, Name: id, Zone: []string{"a", "b"}[i%7/4], Status: model.NodeReady, Availability: model.Active, MemoryMiB: 65536, CPUMilli: 4000}
			b.w.nodes[id] = n
			m, c := int64(rapid.IntRange(0, 5).Draw(t, "used")), int64(rapid.SampledFrom([]int{0, 4000}).Draw(t, "cpu"))
			k := b.x.Set(n)
			b.x.Reserve(k, m, c)
			b.w.memory[id], b.w.cpu[id] = m, c
		}
		v, s := b.drawView(t)
		for range 8 {
			r := Request{MemoryMiB: 4, CPUMilli: rapid.SampledFrom([]int64{0, 1, 3}).Draw(t, "cores"), Seed: rapid.Uint64().Draw(t, "seed")}
			got, want := b.pick(r, v), b.w.pick(r, s)
			if got != want {
				t.Fatalf("index picks %q, definition %q", got, want)
			}
			if i, ok := b.x.Number(got); ok {
				b.x.Take(i, &r, v)
				s.instances[got]++
				b.w.memory[got] += r.MemoryMiB
				b.w.cpu[got] += r.CPUMilli
				b.w.starting[got]++
			}
		}
	})
}

// retold is an index that was told the present state from the last node to the
// first.
func (b *both) retold(_ *rapid.T) *both {
	o := &both{x: New(), w: b.w}
	for name, p := range b.w.policies {
		o.x.SetPolicy(name, p)
	}
	all := b.w.sorted()
	slices.Reverse(all)
	for _, n := range all {
		i := o.x.Set(n)
		o.x.Reserve(i, b.w.memory[n.ID], b.w.cpu[n.ID])
		o.x.Starting(i, int(b.w.starting[n.ID]))
	}
	return o
}

func translate(_ *Index, _ *View, to *Index, s standing) *View {
	v := &View{}
	for _, i := range to.All() {
		id := to.Node(i).ID
		if n := s.instances[id]; n > 0 {
			v.Add(to, i, n)
		}
		if n := s.failures[id]; n > 0 {
			v.Fail(i, n)
		}
		if s.images[id] {
			v.Image(i)
		}
	}
	return v
}

func TestRefused_CountsAreThoseOfTheDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBoth()
		ids := []string{"n0", "n1", "n2", "n3", "n4"}
		for _, id := range ids {
			b.step(t, id)
		}
		v, s := b.drawView(t)
		r := drawRequest(t, ids)
		_, refused := b.x.Pick(&r, v)
		if refused == nil {
			return
		}
		out := map[string]bool{}
		for _, n := range b.w.sorted() {
			if b.w.fits(n, r, s) {
				t.Fatalf("%s fits, and was refused: %+v", n.ID, refused)
			}
			out[n.ID] = true
		}
		only, all := 0, 0
		for _, c := range refused.Counts {
			if c.Only > c.Nodes || c.Nodes > refused.Nodes {
				t.Fatalf("count %+v of %d nodes", c, refused.Nodes)
			}
			only, all = only+c.Only, all+c.Nodes
		}
		if all < refused.Nodes || only > refused.Nodes || len(out) != refused.Nodes || len(refused.Misses) != min(3, refused.Nodes) {
			t.Fatalf("%d nodes, counts %+v, misses %+v", refused.Nodes, refused.Counts, refused.Misses)
		}
	})
}

func TestPick_AllocatesNothingWhenItFinds(t *testing.T) {
	x, v := New(), &View{}
	for i := range 1000 {
		x.Set(Node{ID: fmt.Sprint("n", i), Zone: fmt.Sprint(i % 3), Labels: []string{"ssd"}, Status: model.NodeReady, Availability: model.Active, MemoryMiB: 1 << 20, CPUMilli: 1 << 20})
	}
	r := Request{MemoryMiB: 64, CPUMilli: 10, Avoid: "n7", Labels: []string{"ssd"}}
	v.Add(x, 0, 1)
	x.Pick(&r, v)
	if n := testing.AllocsPerRun(100, func() {
		v.Reset()
		for range 5 {
			i, _ := x.Pick(&r, v)
			x.Take(i, &r, v)
		}
	}); n != 0 {
		t.Errorf("%v allocations in five decisions", n)
	}
}

func TestPolicy_PackedPoolsKeepNodesEmpty(t *testing.T) {
	for policy, want := range map[Policy]int{Spread: 10, BinPack: 2} {
		x := New()
		x.SetPolicy("", policy)
		for i := range 10 {
			x.Set(Node{ID: fmt.Sprint("n", i), Status: model.NodeReady, MemoryMiB: 1024})
		}
		used := map[int]bool{}
		for app := range 8 { // eight apps of one instance: two nodes hold them
			i, _ := x.Pick(&Request{MemoryMiB: 256, Seed: uint64(app)}, &View{})
			x.Take(i, &Request{MemoryMiB: 256}, &View{})
			x.Starting(i, -1)
			used[i] = true
		}
		if policy == BinPack && len(used) != want || policy == Spread && len(used) < 8 {
			t.Errorf("policy %d uses %d nodes, want %d", policy, len(used), want)
		}
	}
}
