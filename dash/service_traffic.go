package dash

import (
	"context"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/histogram"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash/policy"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// Metrics tells what the routers counted of an app.
func (d *Dash) Metrics(ctx context.Context, actor model.Actor, name string) (api.Traffic, error) {
	app, err := d.appFor(ctx, actor, name, policy.ViewApp)
	if err != nil {
		return api.Traffic{}, err
	}
	r, err := d.leader.traffic(ctx, app.Name)
	if err != nil {
		return api.Traffic{}, err
	}
	for _, a := range r.GetApps() {
		if a.GetApp() == app.Name {
			return trafficOut(a, over(r)), nil
		}
	}
	return api.Traffic{App: app.Name, Releases: []api.ReleaseTraffic{}}, nil
}

// Traffic lists the apps with requests of late, the busiest first: all of them
// for admins, who also see what was for no app, else those that actor may see.
func (d *Dash) Traffic(ctx context.Context, actor model.Actor) (api.Page[api.Traffic], error) {
	out := api.Page[api.Traffic]{Items: []api.Traffic{}}
	if err := d.mayPlatform(ctx, actor, policy.ViewNodes); err != nil {
		return out, err
	}
	r, err := d.leader.traffic(ctx, "")
	if err != nil {
		return out, err
	}
	sees, err := d.seen(ctx, actor)
	if err != nil {
		return out, err
	}
	for _, a := range r.GetApps() {
		if sees == nil || sees[a.GetApp()] {
			out.Items = append(out.Items, trafficOut(a, over(r)))
		}
	}
	return out, nil
}

// seen are the names of the apps that actor may see; nil means all.
func (d *Dash) seen(ctx context.Context, actor model.Actor) (map[string]bool, error) {
	teams := visibleTeams(actor)
	if teams == nil {
		return nil, nil
	}
	names, after := map[string]bool{}, ""
	for {
		const page = 1000
		apps, err := d.store.Apps(ctx, teams, after, page)
		if err != nil {
			return nil, err
		}
		for _, a := range apps {
			names[a.Name], after = true, a.Name
		}
		if len(apps) < page {
			return names, nil
		}
	}
}

func over(r *pb.TrafficReply) time.Duration { return time.Duration(r.GetOverMs()) * time.Millisecond }

// trafficOut works out what follows from the counts.
func trafficOut(a *pb.AppTraffic, over time.Duration) api.Traffic {
	out := api.Traffic{App: a.GetApp(), OverSeconds: over.Seconds(), Releases: []api.ReleaseTraffic{}}
	var requests, failed uint64
	var seconds float64
	var all histogram.Counts
	for _, r := range a.GetReleases() {
		counts, err := histogram.Decode(r.GetLatency())
		if err != nil {
			counts = histogram.Counts{} // a server of another version: its numbers still count
		}
		all.Merge(&counts)
		requests, failed, seconds = requests+r.GetRequests(), failed+r.GetFailed(), seconds+r.GetSeconds()
		out.Releases = append(out.Releases, api.ReleaseTraffic{Release: int(r.GetRelease()), Rates: rates(r.GetRequests(), r.GetFailed(), r.GetSeconds(), &counts, over)})
	}
	out.Rates = rates(requests, failed, seconds, &all, over)
	for _, m := range a.GetMinutes() {
		out.Minutes = append(out.Minutes, api.MinuteTraffic{
			At: wire.Time(m.GetAtMs()), Requests: m.GetRequests(), Failed: m.GetFailed(),
			P50: float64(m.GetP50Us()) / 1e3, P95: float64(m.GetP95Us()) / 1e3, P99: float64(m.GetP99Us()) / 1e3,
		})
	}
	return out
}

func rates(requests, failed uint64, seconds float64, c *histogram.Counts, over time.Duration) api.Rates {
	ms := func(q float64) float64 { return float64(c.Quantile(q).Microseconds()) / 1e3 }
	out := api.Rates{Requests: requests, Failed: failed, P50: ms(.5), P95: ms(.95), P99: ms(.99)}
	if over > 0 {
		out.PerSecond, out.AtOnce = float64(requests)/over.Seconds(), seconds/over.Seconds()
	}
	return out
}
