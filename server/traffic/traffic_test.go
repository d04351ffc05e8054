package traffic

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/histogram"
	"github.com/dinp/dinp/common/route"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// router says lines as routers do: counts that only grow.
type router struct {
	line  route.RouterLine
	apps  map[string]*Tally
	since map[string]int64 // unix
	quiet map[string]bool  // not in the line, as nobody has asked for a minute
}

func newRouter(id string, started time.Time) *router {
	return &router{line: route.RouterLine{ID: id, Started: started}, apps: map[string]*Tally{}, since: map[string]int64{}, quiet: map[string]bool{}}
}

// serves counts n requests to release 1 of an app that took d each; failed of them failed.
func (r *router) serves(app string, n, failed uint64, d time.Duration) *router {
	if r.apps[app] == nil {
		r.apps[app] = &Tally{}
	}
	t := Tally{Requests: n, Failed: failed, Sum: time.Duration(n) * d}
	t.Latency.Add(d, n)
	r.apps[app].Add(&t)
	return r
}

func (r *router) says(now time.Time) route.RouterLine {
	r.line.At, r.line.Apps = now, nil
	for name, t := range r.apps {
		if r.since[name] == 0 {
			r.since[name] = now.Unix()
		}
		if r.quiet[name] {
			continue
		}
		r.line.Apps = append(r.line.Apps, route.AppLine{App: name, Release: 1, Since: r.since[name], Requests: t.Requests, Failed: t.Failed, Seconds: t.Sum.Seconds(), Latency: t.Latency.Encode()})
	}
	return r.line
}

func requests(l *Log, app string, now time.Time) uint64 {
	a := l.App(app, now)
	t := a.Total()
	return t.Requests
}

func TestLog_AddsRoutersUpAndCountsALineOnce(t *testing.T) {
	var l Log
	a, b := newRouter("a", noon.Add(-time.Hour)), newRouter("b", noon.Add(-time.Hour))
	a.serves("shop", 1000, 0, time.Millisecond) // long ago
	l.Observe([]route.RouterLine{a.says(noon), b.says(noon)}, noon)
	if n := requests(&l, "shop", noon); n != 0 {
		t.Errorf("%d requests from before the first line", n)
	}
	now := noon.Add(2 * time.Second)
	lines := []route.RouterLine{a.serves("shop", 30, 1, time.Millisecond).says(now), b.serves("shop", 70, 2, 100*time.Millisecond).says(now)}
	l.Observe(lines, now)
	l.Observe(lines, now.Add(2*time.Second))
	got := l.App("shop", now)
	total := got.Total()
	if total.Requests != 100 || total.Failed != 3 || len(got.Releases) != 1 || got.Releases[0].Release != 1 {
		t.Errorf("%+v", got)
	}
	if p50 := total.Latency.Quantile(.5); p50 < 90*time.Millisecond || p50 > 110*time.Millisecond {
		t.Errorf("p50 of both routers is %v", p50)
	}
	if want := 30*time.Millisecond + 7*time.Second; total.Sum.Round(time.Millisecond) != want {
		t.Errorf("sum %v, want %v", total.Sum, want)
	}
}

func TestLog_ARestartedRouterCountsFromNothing(t *testing.T) {
	var l Log
	l.Observe([]route.RouterLine{newRouter("a", noon).serves("shop", 500, 0, time.Millisecond).says(noon)}, noon)
	now := noon.Add(10 * time.Second)
	l.Observe([]route.RouterLine{newRouter("a", now).serves("shop", 7, 0, time.Millisecond).says(now)}, now)
	if n := requests(&l, "shop", now); n != 7 {
		t.Errorf("%d requests, want the 7 since the restart", n)
	}
	successor := newRouter("b", now.Add(time.Second)).serves("shop", 5, 0, time.Millisecond)
	now = now.Add(2 * time.Second)
	l.Observe([]route.RouterLine{successor.says(now)}, now)
	if n := requests(&l, "shop", now); n != 12 {
		t.Errorf("%d requests, want 12: a router that began while we watched has told us of nothing else", n)
	}
}

func TestLog_MinutesAreKeptForAnHourAndWhatIsOldIsForgotten(t *testing.T) {
	var l Log
	r := newRouter("a", noon)
	l.Observe([]route.RouterLine{r.says(noon)}, noon)
	now := noon
	for range 70 * 30 { // every two seconds, 70 minutes
		now = now.Add(2 * time.Second)
		l.Observe([]route.RouterLine{r.serves("shop", 2, 1, 20*time.Millisecond).says(now)}, now)
	}
	got := l.App("shop", now)
	if len(got.Minutes) != History-1 && len(got.Minutes) != History {
		t.Errorf("%d minutes", len(got.Minutes))
	}
	last := got.Minutes[len(got.Minutes)-1]
	if last.Requests < 58 || last.Requests > 62 || last.Failed*2 != last.Requests || last.P99 < 18*time.Millisecond || last.P99 > 22*time.Millisecond || !last.At().Before(now) {
		t.Errorf("the last minute: %+v", last)
	}
	total := got.Total()
	over := l.Over(now)
	if rate := float64(total.Requests) / over.Seconds(); rate < .8 || rate > 1.2 {
		t.Errorf("%d requests in %v", total.Requests, over)
	}
	for range 200 {
		now = now.Add(time.Minute)
		l.Observe([]route.RouterLine{r.says(now)}, now)
	}
	if len(l.Apps(now)) != 0 || len(l.apps) != 0 {
		t.Errorf("still known: %v", l.Apps(now))
	}
}

// Every release that ever was served would stay otherwise.
func TestLog_ForgetsWhatRoutersNoLongerSpeakOf(t *testing.T) {
	var l Log
	r := newRouter("a", noon)
	l.Observe([]route.RouterLine{r.says(noon)}, noon)
	now := noon
	for i := range 100 {
		now = now.Add(2 * time.Second)
		l.Observe([]route.RouterLine{r.serves(fmt.Sprint("app-", i), 10, 0, time.Millisecond).says(now)}, now)
		r.quiet[fmt.Sprint("app-", i)] = true
	}
	for range forgetAfter/time.Minute + 5 {
		now = now.Add(time.Minute)
		l.Observe([]route.RouterLine{r.serves("shop", 1, 0, time.Millisecond).says(now)}, now)
	}
	if n := len(l.routers["a"].apps); n != 1 {
		t.Errorf("%d releases are kept, of which 1 is served", n)
	}
}

func TestLog_WhatWasForgottenIsNotCountedAgain(t *testing.T) {
	var l Log
	r := newRouter("a", noon)
	l.Observe([]route.RouterLine{r.says(noon)}, noon)
	now := noon.Add(2 * time.Second)
	l.Observe([]route.RouterLine{r.serves("shop", 1000, 0, time.Millisecond).says(now)}, now)
	r.quiet["shop"] = true
	for range 3 {
		now = now.Add(forgetAfter)
		l.Observe([]route.RouterLine{r.says(now)}, now)
	}
	delete(r.quiet, "shop")
	now = now.Add(2 * time.Second)
	l.Observe([]route.RouterLine{r.serves("shop", 1, 0, time.Millisecond).says(now)}, now)
	now = now.Add(2 * time.Second)
	l.Observe([]route.RouterLine{r.serves("shop", 5, 0, time.Millisecond).says(now)}, now)
	if n := requests(&l, "shop", now); n != 5 {
		t.Errorf("%d requests, want the 5 since it is followed again", n)
	}
}

func TestLog_AReleaseThatItsRouterCountsAnewBeginsAtNothing(t *testing.T) {
	var l Log
	r := newRouter("a", noon)
	l.Observe([]route.RouterLine{r.serves("shop", 10, 0, time.Millisecond).says(noon)}, noon)
	now := noon.Add(10 * time.Second)
	delete(r.apps, "shop") // its series made room for others
	delete(r.since, "shop")
	l.Observe([]route.RouterLine{r.serves("shop", 30, 0, time.Millisecond).says(now)}, now)
	if n := requests(&l, "shop", now); n != 30 {
		t.Errorf("%d requests, want 30", n)
	}
}

// However lines come, nothing is counted twice and, while every line is seen
// within a window, nothing is lost.
func TestLog_WindowHoldsWhatWasSaidInIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l Log
		now := noon
		routers := []*router{newRouter("a", noon), newRouter("b", noon)}
		said := func() (lines []route.RouterLine) {
			for _, r := range routers {
				lines = append(lines, r.says(now))
			}
			return lines
		}
		l.Observe(said(), now)
		type batch struct {
			at time.Time
			n  uint64
		}
		var all []batch
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 9000).Draw(t, "ms")) * time.Millisecond)
			n := rapid.Uint64Range(1, 50).Draw(t, "n")
			routers[rapid.IntRange(0, 1).Draw(t, "router")].serves("shop", n, 0, time.Millisecond)
			l.Observe(said(), now)
			all = append(all, batch{now, n})
		}
		var least, most uint64
		for _, b := range all {
			if age := now.Sub(b.at); age < Window {
				least += b.n
			}
			if age := now.Sub(b.at); age < Window+cellLength {
				most += b.n
			}
		}
		if n := requests(&l, "shop", now); n < least || n > most {
			t.Fatalf("%d requests in the window, want %d to %d", n, least, most)
		}
	})
}

func BenchmarkLog_500AppsOf3Routers(b *testing.B) {
	var l Log
	now := noon
	var routers []*router
	for i := range 3 {
		routers = append(routers, newRouter(fmt.Sprint("r", i), noon))
	}
	for b.Loop() {
		now = now.Add(2 * time.Second)
		var lines []route.RouterLine
		b.StopTimer()
		for _, r := range routers {
			for i := range route.MaxAppLines {
				r.serves(fmt.Sprint("app-", i), 10, 0, time.Duration(i+1)*time.Millisecond)
			}
			lines = append(lines, r.says(now))
		}
		b.StartTimer()
		l.Observe(lines, now)
	}
}

func TestBuckets_FitTheCell(t *testing.T) {
	var c cell
	want := Tally{Requests: 2}
	want.Latency.Add(0, 1)
	want.Latency[histogram.Buckets-1] = 1
	c.add(&want)
	if got := c.tally(); got != want {
		t.Errorf("%+v", got)
	}
}
