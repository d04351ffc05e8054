package lease

import (
	"testing"
	"time"

	"github.com/dinp/dinp/sql/store"
)

func TestCandidate_NobodyLeadsWhenTheLeaseIsFreeOrShouldHaveBeenRenewed(t *testing.T) {
	c := NewCandidate(Config{ID: "b", TTL: 10 * time.Second, Renew: 3 * time.Second})
	now := time.Unix(1_800_000_000, 0)
	if c.Vacant(now) {
		t.Error("before the first look")
	}
	for _, v := range []struct {
		after  time.Duration
		row    store.Lease
		vacant bool
		what   string
	}{
		{0, store.Lease{Owner: "a", Epoch: 1}, false, "it may have been renewed just now"},
		{3400 * time.Millisecond, store.Lease{Owner: "a", Epoch: 1}, false, "its holder may be a little late"},
		{100 * time.Millisecond, store.Lease{Owner: "a", Epoch: 1}, true, "its holder should have renewed it"},
		{time.Second, store.Lease{Owner: "a", Epoch: 1, Beat: 2}, false, "it was renewed after all"},
		{time.Second, store.Lease{Epoch: 1}, true, "it was given back"},
		{time.Second, store.Lease{Owner: "c", Epoch: 2}, false, "another has taken it"},
		{time.Second, store.Lease{Owner: "b", Epoch: 3}, true, "its holder is the process before us"},
	} {
		now = now.Add(v.after)
		c.May(v.row, now)
		if got := c.Vacant(now); got != v.vacant {
			t.Errorf("%s: vacant is %v", v.what, got)
		}
	}
}
