//go:build linux

package fast

import (
	"testing"
	"unsafe"
)

func TestSpare_ManyRequestsAtOnceTakeWhatThoseBeforeThemHadWhateverTheirHeads(t *testing.T) {
	t.Parallel()
	var s spare
	var held [maxExchanges]*exchange
	take := func(head int) {
		for i := range held {
			held[i] = s.takeExchange()
			held[i].head = s.take(head)
		}
	}
	take(smallBuffer)
	known := map[any]bool{}
	for _, x := range held {
		known[x], known[unsafe.SliceData(x.head)] = true, true
		s.give(x.head)
		s.giveExchange(x)
	}
	take(300)
	for i, x := range held {
		if !known[x] || !known[unsafe.SliceData(x.head)] {
			t.Fatalf("request no. %d of %d got what nobody had before", i, len(held))
		}
	}
}

func TestSpare_ABufferIsNoLargerThanItsUseAsks(t *testing.T) {
	t.Parallel()
	var s spare
	for _, c := range []struct{ ask, get int }{{1, 4 << 10}, {4 << 10, 4 << 10}, {5 << 10, 16 << 10}, {64 << 10, 64 << 10}, {65 << 10, 132 << 10}, {200 << 10, 200 << 10}} {
		for range 2 { // a new one, and one that was given back
			b := s.take(c.ask)
			if len(b) != 0 || cap(b) < c.ask || cap(b) != c.get {
				t.Errorf("for %d bytes: %d of %d", c.ask, len(b), cap(b))
			}
			s.give(append(b, 'x'))
		}
	}
}
