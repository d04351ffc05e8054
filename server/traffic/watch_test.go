package traffic

import (
	"testing"
	"time"

	"github.com/dinp/dinp/common/route"
)

func TestWatch_CountsFromWhereItBeginsForAsLongAsItTakes(t *testing.T) {
	t.Parallel()
	var l Log
	r := newRouter("r1", noon.Add(-time.Hour))
	now := noon
	say := func() {
		now = now.Add(2 * time.Second)
		l.Observe([]route.RouterLine{r.says(now)}, now)
	}
	r.serves("shop", 1000, 10, time.Millisecond)
	say()
	l.Watch("shop")
	if got := l.Watched("shop", 1); got != (Tally{}) {
		t.Errorf("before anything was counted: %+v", got)
	}
	for range 300 { // ten minutes
		r.serves("shop", 10, 1, 20*time.Millisecond)
		r.serves("blog", 10, 1, 20*time.Millisecond)
		say()
	}
	got := l.Watched("shop", 1)
	if p := got.Latency.Quantile(.95); got.Requests != 3000 || got.Failed != 300 || p < 15*time.Millisecond || p > 25*time.Millisecond {
		t.Errorf("%d requests, %d failed, p95 %s", got.Requests, got.Failed, p)
	}
	if got := l.Watched("blog", 1); got.Requests != 0 {
		t.Error("an app that nobody watches is counted")
	}
	l.Watch("shop")
	if got := l.Watched("shop", 1); got.Requests != 0 {
		t.Errorf("a second watch begins with %d requests", got.Requests)
	}
	l.Unwatch("shop")
	r.serves("shop", 10, 1, time.Millisecond)
	say()
	if got := l.Watched("shop", 1); got.Requests != 0 {
		t.Error("counted after the end of the watch")
	}
}
