package gate

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/router/rules"
)

func addr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func TestBucket_LetsPassTheBurstAndThenTheRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := &model.Rate{PerSecond: rapid.Float64Range(0.5, 500).Draw(t, "rate"), Burst: rapid.IntRange(0, 50).Draw(t, "burst")}
		var b bucket
		now, passed := time.Hour, 0
		for range rapid.IntRange(1, 300).Draw(t, "requests") {
			now += time.Duration(rapid.IntRange(0, 200).Draw(t, "ms")) * time.Millisecond
			wait := b.take(r, now)
			if wait == 0 {
				passed++
			} else if again := b.take(r, now+wait); again != 0 {
				t.Fatalf("told to wait %v, and then %v more", wait, again)
			} else {
				now, passed = now+wait, passed+1
			}
		}
		if most := float64(burst(r)) + r.PerSecond*(now-time.Hour).Seconds() + 1; float64(passed) > most {
			t.Fatalf("%d passed in %v, at most %.1f may", passed, now-time.Hour, most)
		}
	})
}

func TestSources_AreBoundedAndDoNotStarveEachOther(t *testing.T) {
	t.Parallel()
	var s sources
	r := &model.Rate{PerSecond: 0.001, Burst: 2}
	for i := range maxSources + 100 {
		s.take(addr(i), r, time.Second)
	}
	if len(s.of) != maxSources {
		t.Errorf("%d sources are kept, the bound is %d", len(s.of), maxSources)
	}
	if s.take(addr(maxSources+500), r, time.Second) == 0 {
		t.Error("newcomers beyond the bound share one bucket, and that was used up")
	}
	if s.take(addr(7), r, time.Second) != 0 {
		t.Error("a source within its rate was refused for the others")
	}
	if s.take(addr(maxSources+500), r, 3000*time.Second) != 0 || len(s.of) != 1 {
		t.Errorf("%d sources are kept after all have recovered", len(s.of))
	}
}

func TestGroup_OneIPv6SubscriberIsOneSource(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"2001:db8::1", "2001:db8::ffff"}, {"::ffff:10.0.0.1", "10.0.0.1"}, {"fe80::1%a", "fe80::1%b"}} {
		if a, b := group(netip.MustParseAddr(c[0])), group(netip.MustParseAddr(c[1])); a != b {
			t.Errorf("%v: %s and %s", c, a, b)
		}
	}
	if group(netip.MustParseAddr("2001:db8::1")) == group(netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Error("two /64 are one source")
	}
}

func TestGate_ASourceThatAsksTooMuchDoesNotUseUpTheRateOfAll(t *testing.T) {
	t.Parallel()
	var gates Gates
	g := gates.Of("shop.local")
	r := rules.Compile("shop", &model.Routing{Rate: &model.Rate{PerSecond: 0.001, Burst: 3}, SourceRate: &model.Rate{PerSecond: 0.001, Burst: 1}})
	for i := range 50 {
		if why, _ := g.Rate(r, addr(1), time.Second); why != "" != (i > 0) {
			t.Errorf("request %d: %q", i, why)
		}
	}
	if why, _ := g.Rate(r, addr(2), time.Second); why != "" {
		t.Errorf("another source was refused: %q", why)
	}
	if g.Rate(r, addr(3), time.Second); gates.Of("shop.local") != g {
		t.Error("the counts do not outlive a look-up")
	}
	if why, wait := g.Rate(r, addr(4), time.Second); why != TooFast || wait <= 0 {
		t.Errorf("the fourth source got %q, wait %v", why, wait)
	}
	if gates.Forget("shop.local"); gates.Of("shop.local") == g {
		t.Error("an app that left is remembered")
	}
}

func TestPasswords_RememberWhatSucceededAndBoundTheRest(t *testing.T) {
	t.Parallel()
	h, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPasswords()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if ok, err := p.Matches(t.Context(), string(h), "secret"); !ok || err != nil {
				t.Errorf("right password: %v, %v", ok, err)
			}
			if ok, err := p.Matches(t.Context(), string(h), "wrong"); ok || err != nil {
				t.Errorf("wrong password: %v, %v", ok, err)
			}
		})
	}
	wg.Wait()
	if len(p.good) != 1 {
		t.Errorf("%d remembered, want the one that succeeded", len(p.good))
	}
	p.turn <- struct{}{} // somebody compares, and goes on doing so
	if ok, err := p.Matches(t.Context(), string(h), "secret"); !ok || err != nil {
		t.Errorf("a known password waited: %v, %v", ok, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Matches(ended, string(h), "other"); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that left: %v", err)
	}
	p.waiting.Store(maxWaiting)
	if _, err := p.Matches(t.Context(), string(h), "other"); !errors.Is(err, ErrBusy) {
		t.Errorf("beyond the queue: %v", err)
	}
}
