// Package routes builds the route table's entries for one app from what is
// known of its instances. It is pure; publish writes what it returns.
package routes

import (
	"slices"
	"strings"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
)

// Instance is a placement as routing sees it.
type Instance struct {
	ID        string
	Addr      string // ip:port; "" until it runs
	Release   int
	Running   bool // observed running, and not being stopped
	Ready     bool // running, and the health monitor's last word is good
	Assured   bool // what is known of it is fresh: its node has synced and it was judged, or it is known not to run
	WasRouted bool
	Drain     model.Duration // of its release
}

// Build returns an app's backend set. ok is false while too little is known to
// replace the set that routers have: nothing is withdrawn on missing
// information.
//
// When no instance is ready, those that were routed and still run stay: a
// failed probe is a weaker proof than a request, and an app whose instances all
// fail their probes at once more likely has a sick database, or a sick monitor.
//
// Settings that cannot be read, as after an edit by hand, put the app into
// maintenance: they may be what keeps strangers out.
func Build(app model.App, instances []Instance, split Split) (b route.Backend, ok bool) {
	b = route.Backend{App: app.Name, Maintenance: app.Maintenance, Endpoints: []route.Endpoint{}}
	settings, err := app.Routing.Routing()
	if b.Settings = settings; err != nil {
		b.Maintenance = true
	}
	if slices.ContainsFunc(instances, func(i Instance) bool { return !i.Assured }) {
		return b, false
	}
	b.Endpoints = endpoints(instances, func(i Instance) bool { return i.Ready })
	if len(b.Endpoints) == 0 {
		b.Endpoints = endpoints(instances, func(i Instance) bool { return i.Running && i.WasRouted })
	}
	b.Endpoints = split.weigh(b.Endpoints)
	b.Drain = drain(instances)
	return b, true
}

// drain is the longest of the app's releases, and 0 where that is the default.
func drain(instances []Instance) model.Duration {
	var out model.Duration
	for _, i := range instances {
		out = max(out, i.Drain)
	}
	if out == model.DefaultDrain {
		return 0
	}
	return out
}

func endpoints(instances []Instance, take func(Instance) bool) []route.Endpoint {
	out := []route.Endpoint{}
	for _, i := range instances {
		if i.Addr != "" && i.Running && take(i) {
			out = append(out, route.Endpoint{Addr: i.Addr, Instance: i.ID, Release: i.Release, Weight: route.NormalWeight})
		}
	}
	slices.SortFunc(out, func(a, b route.Endpoint) int { return strings.Compare(a.Instance, b.Instance) })
	return out
}
