package place

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/dinp/dinp/common/model"
)

// sizes are what apps ask for, in MiB and thousandths of a core.
var sizes = [][2]int64{{64, 0}, {128, 50}, {256, 100}, {256, 0}, {512, 250}, {1024, 500}, {128, 0}, {2048, 500}}

// fleet is a cluster of n nodes in five zones whose memory holds about 100
// instances a node at 90 %.
func fleet(n int) *Index {
	x := New()
	for i := range n {
		x.Set(Node{
			ID: fmt.Sprintf("node%05d", i), Name: fmt.Sprintf("node%05d", i), Zone: string(rune('a' + i%5)),
			Status: model.NodeReady, Availability: model.Active, MemoryMiB: []int64{45056, 61440, 61440, 77824}[i%4], CPUMilli: 64000,
		})
	}
	return x
}

// fill places apps of 1 to 400 instances, but no more than nodes, until 90 % of the memory is reserved
// or the given number of instances is placed. What an agent starts at once is
// done after so many further placements.
func fill(x *Index, instances int, done func(node int)) int {
	v := &View{}
	placed := 0
	for app := uint64(1); placed < instances; app++ {
		h := mix(app)
		size := sizes[app%uint64(len(sizes))]
		r := Request{MemoryMiB: size[0], CPUMilli: size[1], Seed: h}
		v.Reset()
		for k := int(1 + h>>32%uint64(min(400, x.Len()))); k > 0 && placed < instances; k-- {
			i, _ := x.Pick(&r, v)
			if i < 0 {
				break
			}
			x.Take(i, &r, v)
			x.Starting(i, -1)
			placed++
			if done != nil {
				done(i)
			}
		}
	}
	return placed
}

func usedShare(x *Index) float64 {
	var all, free int64
	for i := range x.hot {
		all, free = all+x.nodes[i].MemoryMiB, free+x.hot[i].memory
	}
	return float64(all-free) / float64(all)
}

func BenchmarkPlace_OneMillionInstances(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			total, full := 0, 0.0
			for b.Loop() {
				b.StopTimer()
				x := fleet(n)
				x.settle()
				b.StartTimer()
				placed := fill(x, 100*n, nil)
				total += placed
				full = usedShare(x)
			}
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "decisions/s")
			b.ReportMetric(100*full, "%full")
		})
	}
}

// The same million decisions give the same bytes.
func TestPick_TheSamePlanTwiceIsByteEqual(t *testing.T) {
	plan := func() []byte {
		h := sha256.New()
		var b [4]byte
		fill(fleet(2000), 200_000, func(node int) {
			binary.LittleEndian.PutUint32(b[:], uint32(node))
			h.Write(b[:])
		})
		return h.Sum(nil)
	}
	if a, b := plan(), plan(); !bytes.Equal(a, b) {
		t.Errorf("two plans of the same differ: %x and %x", a, b)
	}
}
