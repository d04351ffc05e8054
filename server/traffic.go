package server

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/server/publish"
	"github.com/dinp/dinp/server/traffic"
)

// observeEvery is how often the routers' counts are taken; routers write them
// every two seconds.
const observeEvery = time.Second

// observe feeds a term's log of the traffic until ctx ends.
func observe(ctx context.Context, seen *traffic.Log, pub *publish.Publisher) error {
	tick := time.NewTicker(observeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			seen.Observe(pub.Routers(), now)
		}
	}
}

// Traffic implements pb.PlatformServer.
func (p *platform) Traffic(_ context.Context, r *pb.TrafficRequest) (*pb.TrafficReply, error) {
	t := p.s.term.Load()
	if t == nil {
		return nil, status.Error(codes.Unavailable, "not the leader; the leader is at "+p.s.leaderAddress())
	}
	now := time.Now()
	out := &pb.TrafficReply{OverMs: t.seen.Over(now).Milliseconds()}
	if r.GetApp() != "" {
		a := t.seen.App(r.GetApp(), now)
		out.Apps = []*pb.AppTraffic{appTraffic(&a)}
		return out, nil
	}
	apps := t.seen.Apps(now)
	for i := range apps {
		out.Apps = append(out.Apps, appTraffic(&apps[i]))
	}
	slices.SortFunc(out.Apps, func(a, b *pb.AppTraffic) int {
		return cmp.Or(cmp.Compare(requestsOf(b), requestsOf(a)), strings.Compare(a.GetApp(), b.GetApp()))
	})
	return out, nil
}

func requestsOf(a *pb.AppTraffic) (n uint64) {
	for _, r := range a.GetReleases() {
		n += r.GetRequests()
	}
	return n
}

func appTraffic(a *traffic.App) *pb.AppTraffic {
	out := &pb.AppTraffic{App: a.Name}
	for i := range a.Releases {
		r := &a.Releases[i]
		out.Releases = append(out.Releases, &pb.ReleaseTraffic{
			Release: int32(r.Release), Requests: r.Tally.Requests, Failed: r.Tally.Failed, Seconds: r.Tally.Sum.Seconds(), Latency: r.Tally.Latency.Encode(),
		})
	}
	for _, m := range a.Minutes {
		out.Minutes = append(out.Minutes, &pb.MinuteTraffic{
			AtMs: wire.Millis(m.At()), Requests: m.Requests, Failed: m.Failed, P50Us: m.P50.Microseconds(), P95Us: m.P95.Microseconds(), P99Us: m.P99.Microseconds(),
		})
	}
	return out
}
