package limit

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestSources_OneAddressGetsItsShareAndOthersTheirs(t *testing.T) {
	t.Parallel()
	s := New(Config{Connections: 2, Total: 4})
	a, _ := s.Open(addr("192.0.2.1"))
	s.Open(addr("192.0.2.1"))
	if _, why := s.Open(addr("192.0.2.1")); why != TooManyOfSource {
		t.Errorf("the third connection: %q", why)
	}
	if _, why := s.Open(addr("192.0.2.2")); why != "" {
		t.Errorf("another address: %q", why)
	}
	s.Open(addr("192.0.2.3"))
	if _, why := s.Open(addr("192.0.2.4")); why != TooManyConnections {
		t.Errorf("the fifth of all: %q", why)
	}
	s.Close(a)
	if _, why := s.Open(addr("192.0.2.1")); why != "" {
		t.Errorf("after one has left: %q", why)
	}
}

func TestSources_ASubscribersIPv6NetworkIsOneSource(t *testing.T) {
	t.Parallel()
	s := New(Config{Connections: 1})
	s.Open(addr("2001:db8:0:1::1"))
	if _, why := s.Open(addr("2001:db8:0:1:ffff::2")); why != TooManyOfSource {
		t.Errorf("the same /64: %q", why)
	}
	if _, why := s.Open(addr("2001:db8:0:2::1")); why != "" {
		t.Errorf("the next /64: %q", why)
	}
	s = New(Config{Connections: 1})
	s.Open(addr("192.0.2.1"))
	if _, why := s.Open(addr("::ffff:192.0.2.1")); why != TooManyOfSource {
		t.Errorf("the same IPv4 address in IPv6: %q", why)
	}
}

func TestSources_TheExceptedAreNotCounted(t *testing.T) {
	t.Parallel()
	s := New(Config{Connections: 1, Requests: 1, Except: func(a netip.Addr) bool { return a == addr("10.0.0.1") }})
	for range 10 {
		src, why := s.Open(addr("10.0.0.1"))
		if why != "" || !src.Allow(0) {
			t.Fatalf("%q", why)
		}
	}
}

// However requests come, a source never gets more than its burst and rate allow,
// and one that keeps to the rate is never refused.
func TestAllow_KeepsToTheRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate, burst := rapid.IntRange(1, 1000).Draw(t, "rate"), rapid.IntRange(1, 50).Draw(t, "burst")
		s := New(Config{Requests: float64(rate), Burst: burst})
		src, _ := s.Open(addr("192.0.2.1"))
		now, allowed := time.Duration(0), 0
		for _, gap := range rapid.SliceOfN(rapid.Int64Range(0, int64(50*time.Millisecond)), 1, 300).Draw(t, "gaps") {
			now += time.Duration(gap)
			if src.Allow(now) {
				allowed++
			}
		}
		if most := float64(burst) + now.Seconds()*float64(rate) + 1e-6; float64(allowed) > most {
			t.Fatalf("%d requests in %v, at most %.1f are allowed", allowed, now, most)
		}
		now += time.Duration(burst+1) * time.Second
		for range 100 {
			now += time.Second/time.Duration(rate) + time.Nanosecond
			if !src.Allow(now) {
				t.Fatal("refused at its rate")
			}
		}
	})
}

func TestSweep_ForgetsWhoHasLeftAndRemembersWhoOwes(t *testing.T) {
	t.Parallel()
	s := New(Config{Requests: 1, Burst: 5})
	gone, _ := s.Open(addr("192.0.2.1"))
	s.Close(gone)
	here, _ := s.Open(addr("192.0.2.2"))
	owes, _ := s.Open(addr("192.0.2.3"))
	for range 5 {
		owes.Allow(0)
	}
	s.Close(owes)
	s.Sweep(time.Second)
	if _, n := s.Connections(); n != 2 {
		t.Errorf("%d sources are known, want 2", n)
	}
	if again, _ := s.Open(addr("192.0.2.3")); again != owes {
		t.Error("a new connection clears the debt")
	}
	if again, _ := s.Open(addr("192.0.2.2")); again != here {
		t.Error("a source with a connection was forgotten")
	}
}

func TestSources_AFloodOfAddressesTakesBoundedMemory(t *testing.T) {
	t.Parallel()
	s := New(Config{Connections: 2})
	a := netip.MustParseAddr("2001:db8::").As16()
	for i := range maxSources + 1000 {
		a[5], a[6], a[7] = byte(i>>16), byte(i>>8), byte(i)
		src, _ := s.Open(netip.AddrFrom16(a))
		s.Close(src)
	}
	if _, n := s.Connections(); n > maxSources {
		t.Errorf("%d sources are known", n)
	}
	s.Sweep(0)
	if open, n := s.Connections(); n != 0 || open != 0 {
		t.Errorf("after all have left %d sources are known, %d connections open", n, open)
	}
}

func TestSources_CountRightlyUnderRaces(t *testing.T) {
	t.Parallel()
	s := New(Config{Connections: 3, Requests: 100})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 500 {
				src, why := s.Open(netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 3)}))
				if why == "" {
					src.Allow(0)
					s.Close(src)
				}
				s.Sweep(time.Hour)
			}
		})
	}
	wg.Wait()
	s.Sweep(time.Hour)
	if open, n := s.Connections(); open != 0 || n != 0 {
		t.Errorf("%d connections, %d sources", open, n)
	}
}

func BenchmarkAllow(b *testing.B) {
	s := New(Config{Requests: 1e9, Burst: 1 << 30})
	src, _ := s.Open(addr("192.0.2.1"))
	for i := 0; b.Loop(); i++ {
		src.Allow(time.Duration(i))
	}
}
