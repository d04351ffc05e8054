package place

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
)

// So many find room, whatever they ask for up to that and wherever each goes.
func TestSlots_SoManyFindRoom(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x, pools := New(), []string{"", "gpu"}
		for i := range rapid.IntRange(1, 8).Draw(t, "nodes") {
			x.Set(Node{
				ID: fmt.Sprint(i), Pool: rapid.SampledFrom(pools).Draw(t, "pool"), Status: model.NodeReady, DiskPressure: rapid.IntRange(0, 3).Draw(t, "disk") == 0,
				MemoryMiB: rapid.Int64Range(0, 600).Draw(t, "memory"), CPUMilli: rapid.Int64Range(-100, 900).Draw(t, "cpu"),
			})
		}
		pool, most, cpu := rapid.SampledFrom(pools).Draw(t, "asked"), rapid.Int64Range(1, 200).Draw(t, "most"), rapid.Int64Range(0, 300).Draw(t, "most-cpu")
		slots, parts := x.Slots(pool, most, cpu), 0
		for _, i := range x.All() {
			parts += x.SlotsOn(i, pool, most, cpu)
		}
		if parts != slots {
			t.Fatalf("%d slots in all, %d on each together", slots, parts)
		}
		for k := range slots {
			r := Request{Pool: pool, MemoryMiB: rapid.Int64Range(0, most).Draw(t, "asks"), CPUMilli: rapid.Int64Range(0, cpu).Draw(t, "asks-cpu"), Seed: uint64(k)}
			at, why := x.Pick(&r, &View{})
			if at < 0 {
				t.Fatalf("number %d of %d slots found no room: %v", k+1, slots, why.Error("shop"))
			}
			x.Take(at, &r, &View{})
		}
		if r := (Request{Pool: pool, MemoryMiB: most, CPUMilli: cpu}); slots == 0 {
			if at, _ := x.Pick(&r, &View{}); at >= 0 {
				t.Error("no slot was counted, and there is room")
			}
		}
	})
}
