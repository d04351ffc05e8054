// Package traffic adds up what the routers count: requests, failures and
// latencies of each app and release, over all routers and over time. The leader
// feeds it with the routers' lines and answers dash from it; it lives in memory
// and begins anew with each term, because the routers' counts only grow and the
// next leader takes the differences from there.
package traffic

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/dinp/dinp/common/histogram"
	"github.com/dinp/dinp/common/route"
)

// Window is the time over which the present rates and latencies are told.
const Window = time.Minute

// History is how many minutes are kept of an app.
const History = 60

// forgetAfter is how long nobody asks for an app before it is forgotten, and for
// a release before its router's counts are.
const forgetAfter = (History + 1) * time.Minute

// Log is what is known of the traffic. The zero Log is ready.
type Log struct {
	mu      sync.Mutex
	routers map[string]*counter
	apps    map[string]*app
	watches map[string]map[int]*Tally // by app and release, see Watch
	minute  int64                     // up to which all apps' minutes are written
	since   time.Time                 // of the first line
}

// counter is what one router last said.
type counter struct {
	started time.Time
	at      time.Time
	apps    map[key]counted
	forgot  time.Time // when apps was last looked through
}

// counted is what a router last said of a release.
type counted struct {
	route.AppLine
	at time.Time // when
}

type key struct {
	app     string
	release int
}

type app struct {
	releases map[int]*release
	minutes  [History]Minute // by number
	last     time.Time       // of a request
}

type release struct {
	ring ring
	last time.Time // of a request
}

// Minute is one minute of an app, of all its releases.
type Minute struct {
	Number        int64 // minutes since 1970; 0: nothing was counted
	Requests      uint64
	Failed        uint64
	P50, P95, P99 time.Duration
}

// At is when the minute began.
func (m Minute) At() time.Time { return time.Unix(m.Number*60, 0).UTC() }

// Release is what was counted of a release in the last Window.
type Release struct {
	Release int // 0: answered before an instance was chosen
	Tally   Tally
}

// App is what was counted of an app in the last Window, by release, the newest first.
type App struct {
	Name     string
	Releases []Release
	Minutes  []Minute // of the last hour, oldest first; those without requests are left out
}

// Total adds the releases up.
func (a *App) Total() (t Tally) {
	for i := range a.Releases {
		t.Add(&a.Releases[i].Tally)
	}
	return t
}

// Observe takes the routers' lines. A line that has been seen counts nothing;
// a router's first line is where counting begins, as what it says may be old.
func (l *Log) Observe(lines []route.RouterLine, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.routers == nil {
		l.routers, l.apps, l.since = map[string]*counter{}, map[string]*app{}, now
	}
	l.closeMinutes(now)
	there := map[string]bool{}
	for i := range lines {
		there[lines[i].ID] = true
		l.observe(&lines[i], now)
	}
	for id := range l.routers {
		if !there[id] {
			delete(l.routers, id)
		}
	}
	l.forget(now)
}

func (l *Log) observe(line *route.RouterLine, now time.Time) {
	c := l.routers[line.ID]
	switch {
	case c == nil || !c.started.Equal(line.Started):
		fresh := c != nil || now.Sub(line.Started) < now.Sub(l.since) // all it says, it has counted since we watch
		c = &counter{started: line.Started, apps: map[key]counted{}, forgot: now}
		l.routers[line.ID] = c
		if !fresh {
			for _, a := range line.Apps {
				c.apps[key{a.App, a.Release}] = counted{a, now}
			}
		}
	case !line.At.After(c.at):
		return
	}
	c.at = line.At
	for _, a := range line.Apps {
		l.count(c, a, now)
	}
	c.forget(now)
}

// forget drops the counts of releases of which the router has said nothing for
// long: otherwise every release there ever was would stay. base knows one that
// comes back.
func (c *counter) forget(now time.Time) {
	if now.Sub(c.forgot) < Window {
		return
	}
	c.forgot = now
	for k, a := range c.apps {
		if now.Sub(a.at) > forgetAfter {
			delete(c.apps, k)
		}
	}
}

// base is what has been counted of a release already: nothing, if it is new to
// the router or has begun anew there; all of it, if it has been counted for so
// long that it must have been forgotten.
func (c *counter) base(k key, a route.AppLine) route.AppLine {
	before, known := c.apps[k]
	switch {
	case !known && a.Since > 0 && c.at.Sub(time.Unix(a.Since, 0)) > forgetAfter:
		return a
	case a.Since != before.Since || a.Requests < before.Requests:
		return route.AppLine{}
	}
	return before.AppLine
}

// count adds what a router counted of a release since its last line.
func (l *Log) count(c *counter, a route.AppLine, now time.Time) {
	k := key{a.App, a.Release}
	before := c.base(k, a)
	c.apps[k] = counted{a, now}
	if a.Requests == before.Requests {
		return
	}
	counts, err := histogram.Decode(a.Latency)
	old, err2 := histogram.Decode(before.Latency)
	if err != nil || err2 != nil {
		counts, old = histogram.Counts{}, histogram.Counts{} // a router of another version: its numbers still count
	}
	t := Tally{
		Requests: a.Requests - before.Requests, Failed: a.Failed - min(before.Failed, a.Failed),
		Sum: time.Duration(max(a.Seconds-before.Seconds, 0) * float64(time.Second)), Latency: counts.Since(&old),
	}
	owner, r := l.release(k)
	r.ring.add(&t, now)
	l.watched(k, &t)
	owner.last, r.last = now, now
}

func (l *Log) release(k key) (*app, *release) {
	a := l.apps[k.app]
	if a == nil {
		a = &app{releases: map[int]*release{}}
		l.apps[k.app] = a
	}
	r := a.releases[k.release]
	if r == nil {
		r = &release{}
		a.releases[k.release] = r
	}
	return a, r
}

// closeMinutes writes the minutes that have ended, while the cells of the last
// one are still there.
func (l *Log) closeMinutes(now time.Time) {
	this := now.Unix() / 60
	if l.minute == 0 || l.minute > this {
		l.minute = this
	}
	if l.minute == this {
		return
	}
	l.minute = this
	const perMinute = int64(time.Minute / cellLength)
	for _, a := range l.apps {
		var t Tally
		for _, r := range a.releases {
			part := r.ring.between((this-1)*perMinute, this*perMinute)
			t.Add(&part)
		}
		if t.Requests > 0 {
			a.minutes[(this-1)%History] = Minute{
				Number: this - 1, Requests: t.Requests, Failed: t.Failed,
				P50: t.Latency.Quantile(.5), P95: t.Latency.Quantile(.95), P99: t.Latency.Quantile(.99),
			}
		}
	}
}

// forget drops what has had no request for long.
func (l *Log) forget(now time.Time) {
	for name, a := range l.apps {
		for n, r := range a.releases {
			if now.Sub(r.last) > 2*Window {
				delete(a.releases, n)
			}
		}
		if len(a.releases) == 0 && now.Sub(a.last) > forgetAfter {
			delete(l.apps, name)
		}
	}
}

// App tells of one app; the zero App, but for its name, when it has had no traffic.
func (l *Log) App(name string, now time.Time) App {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := App{Name: name}
	a := l.apps[name]
	if a == nil {
		return out
	}
	out.Releases = a.present(now)
	for _, m := range a.minutes {
		if m.Number > now.Unix()/60-History {
			out.Minutes = append(out.Minutes, m)
		}
	}
	slices.SortFunc(out.Minutes, func(a, b Minute) int { return cmp.Compare(a.Number, b.Number) })
	return out
}

// Apps tells of all apps with traffic in the last Window, without their
// minutes, in no order.
func (l *Log) Apps(now time.Time) (out []App) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, a := range l.apps {
		if rs := a.present(now); len(rs) > 0 {
			out = append(out, App{Name: name, Releases: rs})
		}
	}
	return out
}

// Over is the time that the tallies told at now cover: Window, or less when the
// counting has begun since.
func (l *Log) Over(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.routers == nil {
		return 0
	}
	begun := time.Unix(0, (numberOf(now)-int64(cells)+1)*int64(cellLength))
	if l.since.After(begun) {
		begun = l.since
	}
	return now.Sub(begun)
}

func (a *app) present(now time.Time) (out []Release) {
	n := numberOf(now)
	for number, r := range a.releases {
		one := Release{Release: number, Tally: r.ring.between(n-int64(cells)+1, n+1)}
		if one.Tally.Requests > 0 {
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b Release) int { return cmp.Compare(b.Release, a.Release) })
	return out
}
