package dash

import (
	"math"
	"sync"
	"time"

	"github.com/dinp/dinp/common/model"
)

// How many logins may be tried in a window, before one succeeds.
const (
	throttleWindow    = 5 * time.Minute
	attemptsPerUser   = 10 // from one address
	attemptsPerAddr   = 60 // for any user
	throttleMaxTracks = 10_000
)

// throttle counts login attempts per user and address, and per address. It
// counts before the password is checked, so that many at once gain nothing.
type throttle struct {
	mu     sync.Mutex // guards counts
	counts map[throttleKey]*attempts
}

type throttleKey struct{ user, from string } // user "" counts the address alone

type attempts struct {
	n     int
	until time.Time // end of the window
}

func newThrottle() *throttle { return &throttle{counts: map[throttleKey]*attempts{}} }

// attempt counts one, or refuses it with CodeTooMany.
func (t *throttle) attempt(user, from string, now time.Time) error {
	if len(user) > 64 {
		user = user[:64]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	mine, addr := t.track(throttleKey{"u" + user, from}, now), t.track(throttleKey{"", from}, now)
	until := mine.until
	if mine.n < attemptsPerUser {
		until = addr.until
	}
	if mine.n >= attemptsPerUser || addr.n >= attemptsPerAddr {
		wait := int(math.Ceil(until.Sub(now).Seconds()))
		return model.E(model.CodeTooMany, "too many login attempts: %d in %s", max(mine.n, addr.n), throttleWindow).WithNext("wait %d s and try again", wait)
	}
	mine.n++
	addr.n++
	return nil
}

// succeeded forgets what was counted of the user; the attempt was not a guess.
func (t *throttle) succeeded(user, from string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.counts, throttleKey{"u" + user, from})
	if a := t.counts[throttleKey{"", from}]; a != nil {
		a.n--
	}
}

func (t *throttle) track(k throttleKey, now time.Time) *attempts {
	a := t.counts[k]
	if a == nil || !now.Before(a.until) {
		t.prune(now)
		a = &attempts{until: now.Add(throttleWindow)}
		t.counts[k] = a
	}
	return a
}

// prune keeps the map bounded: strangers choose its keys. It makes room for many
// at once, so that a flood of names costs each attempt little.
func (t *throttle) prune(now time.Time) {
	if len(t.counts) < throttleMaxTracks {
		return
	}
	for k, a := range t.counts {
		if !now.Before(a.until) {
			delete(t.counts, k)
		}
	}
	// Counts of single users go first: that of an address survives a flood of names.
	for _, users := range []bool{true, false} {
		for k := range t.counts {
			if len(t.counts) <= throttleMaxTracks/2 {
				return
			}
			if (k.user != "") == users {
				delete(t.counts, k)
			}
		}
	}
}
