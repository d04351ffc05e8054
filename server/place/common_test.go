package place

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/dinp/dinp/common/model"
)

// refusedByAll is the definition of a refusal: each node is looked at, with all
// that the view knows of it.
func refusedByAll(x *Index, r *Request, v *View) *Refused {
	out := &Refused{Request: *r, Nodes: len(x.numbers)}
	all, only := make([]int, len(constraints)), make([]int, len(constraints))
	for i := range x.hot {
		f := x.failing(int32(i), r, v.of(int32(i)))
		for rest := f; rest != 0; rest &= rest - 1 {
			k := bits.TrailingZeros32(uint32(rest))
			all[k]++
			if f == 1<<k {
				only[k]++
			}
		}
		if x.nodes[i].Status == model.NodeReady {
			out.Largest = max(out.Largest, x.nodes[i].MemoryMiB)
		}
		if f != 0 {
			out.Misses = append(out.Misses, x.miss(int32(i), r, f))
		}
	}
	slices.SortFunc(out.Misses, compareMisses)
	out.Misses = out.Misses[:min(3, len(out.Misses))]
	for k, c := range constraints {
		if all[k] > 0 {
			out.Counts = append(out.Counts, Count{Why: c.name, Nodes: all[k], Only: only[k]})
		}
	}
	return out
}

// crowded is an index of n nodes of all kinds.
func crowded(rnd *rand.Rand, n int) *Index {
	x := New()
	for i := range n {
		x.Set(Node{
			ID: fmt.Sprintf("n%d", i), Name: fmt.Sprintf("n%d", i), Zone: string(rune('a' + rnd.IntN(3))), MemoryMiB: int64(rnd.IntN(6)) * 100, CPUMilli: 1000,
			Status:       []model.NodeStatus{model.NodeReady, model.NodeReady, model.NodeUnknown, model.NodeLost}[rnd.IntN(4)],
			Availability: []model.Availability{model.Active, model.Active, model.Cordoned}[rnd.IntN(3)], DiskPressure: rnd.IntN(5) == 0,
		})
	}
	return x
}

func TestCommon_RefusesAsALookAtEveryNodeDoes(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 100 {
		n := 1 + rnd.IntN(120)
		x, v := crowded(rnd, n), &View{}
		r := Request{MemoryMiB: int64(rnd.IntN(8)) * 100, CPUMilli: int64(rnd.IntN(2)) * 2000, MaxPerNode: rnd.IntN(3), MaxFailures: rnd.IntN(2)}
		c := x.Common(&r) // of no app in particular
		if rnd.IntN(2) == 0 {
			r.Avoid = fmt.Sprintf("n%d", rnd.IntN(n))
		}
		for range rnd.IntN(n) {
			v.Add(x, rnd.IntN(n), 1)
			v.Fail(rnd.IntN(n), 1)
		}
		got, want := c.Refuse(x, &r, v), refusedByAll(x, &r, v)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d, %d nodes, the app on %d:\ngot  %+v\nwant %+v", round, n, v.used, got, want)
		}
		if at, _ := x.Pick(&r, v); at >= 0 && !c.Fits() {
			t.Fatalf("round %d: nothing fits, and node %d was picked", round, at)
		}
	}
}

// It is not parallel: it counts the looks of all.
func TestCommon_ARefusalCostsTheAppsOwnNodes_HoweverManyOthersThereAre(t *testing.T) {
	looks := 0
	real := constraints[0].fails
	constraints[0].fails = func(x *Index, i int32, r *Request, e *stand) bool { looks++; return real(x, i, r, e) }
	defer func() { constraints[0].fails = real }()
	cost := map[int]int{}
	for _, n := range []int{100, 10_000} {
		x, v, r := crowded(rand.New(rand.NewPCG(3, 4)), n), &View{}, Request{MemoryMiB: 1 << 20}
		for k := range 5 {
			v.Add(x, k*7, 1)
		}
		c := x.Common(&r)
		looks = 0
		c.Refuse(x, &r, v)
		cost[n] = looks
	}
	if cost[100] != 10 || cost[10_000] != 10 { // each of five nodes, with the app and without
		t.Errorf("nodes looked at: %v, want 10 of each", cost)
	}
}
