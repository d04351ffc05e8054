package actual

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A leader asks again at the very time it was told: were there no more then, it
// would be told the same time again, and ask for ever.
func TestBreaker_WhenALossWillBeBelievedItIs(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		var b breaker
		now := time.Unix(1_900_000_000, r.Int64N(1e9))
		for n := 0; n < 6; {
			ok, retry := b.spend(now)
			switch {
			case ok:
				n++
				now = now.Add(time.Duration(r.Int64N(int64(time.Second))))
			case !retry.After(now):
				t.Fatalf("%d losses are believed, and the next is to be asked for %s after %s", n, retry.Sub(now), now)
			default:
				now = retry
				if again, _ := b.spend(now); !again {
					t.Fatalf("%d losses are believed, and the next is not when it was promised", n)
				}
				n++
			}
		}
	}
}
