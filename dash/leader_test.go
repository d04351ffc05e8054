package dash

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
)

func TestLeader_IsFoundThroughFollowersAndDeadServers(t *testing.T) {
	t.Parallel()
	follower := newFakeLeader(t)
	r := newRig(t, storetest.SQLite(t), func(c *Config) { c.Servers = []string{"127.0.0.1:1", follower.addr} })
	follower.set(func() { follower.follows = "not the leader; the leader is at " + r.leads.addr })
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	if r.leads.nudges() == "" {
		t.Error("the leader was not nudged through a redirect")
	}
	if r.leader.order()[0] != r.leads.addr {
		t.Errorf("the leader is not asked first: %v", r.leader.order())
	}
	r.leads.set(func() { r.leads.follows = "not the leader; the leader is at " + follower.addr })
	follower.set(func() { follower.follows = ""; follower.roster = &pb.NodesReply{LeaderId: "s2", Epoch: 9} })
	if n := do[api.Nodes](r, 200, "GET", "/nodes", r.admin, nil); n.Leader != "s2" || n.Epoch != 9 {
		t.Errorf("after the leadership moved: %+v", n)
	}
}

func TestLeader_AwayLeavesTheDatabase(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		r := newRig(t, url)
		do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
		rel := r.release("shop", 1, model.DeploymentSucceeded)
		now := time.Now()
		if err := r.store.Apply(t.Context(), r.lease, store.Control{
			Nodes:  []model.Node{{ID: "n1", Name: "web1", Address: "10.0.0.1", MemoryMiB: 1024, SeenAt: now}},
			Insert: []model.Instance{{ID: "i1", AppID: rel.AppID, ReleaseID: rel.ID, Role: model.Primary, NodeID: "n1", CreatedAt: now}},
		}); err != nil {
			t.Fatal(err)
		}
		r.leads.set(func() { r.leads.follows = "not the leader; the leader is at " })
		if app := do[api.App](r, 200, "GET", "/apps/shop", r.admin, nil); app.State != liveUnavailable || app.Serving != "v1" {
			t.Errorf("app: %+v", app)
		}
		if p := do[api.Page[api.App]](r, 200, "GET", "/apps", r.admin, nil); p.Items[0].State != liveUnavailable {
			t.Errorf("apps: %+v", p)
		}
		in := do[api.Instances](r, 200, "GET", "/apps/shop/instances", r.admin, nil)
		if in.State != liveUnavailable || len(in.Items) != 1 || in.Items[0].Phase != "unknown" || in.Items[0].Node != "web1" || in.Items[0].Release != "v1" {
			t.Errorf("instances: %+v", in)
		}
		if n := do[api.Nodes](r, 200, "GET", "/nodes", r.admin, nil); len(n.Items) != 1 || n.Items[0].Status != "unknown" || n.Items[0].Message != liveUnavailable {
			t.Errorf("nodes: %+v", n)
		}
		if e := do[api.Explain](r, 200, "GET", "/apps/shop/explain", r.admin, nil); e.State != liveUnavailable || e.Next != "dinp nodes" {
			t.Errorf("explain: %+v", e)
		}
		if app := do[api.App](r, 200, "POST", "/apps/shop/scale", r.admin, `{"instances":2}`); app.Instances != 2 {
			t.Errorf("a write without a leader: %+v", app)
		}
		r.refused(model.CodeNoLeader, "GET", "/apps/shop/logs", r.admin, nil)
	})
}

func TestLeader_ErrorsAreSorted(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	for _, c := range []struct {
		err  error
		code model.Code
		says string
	}{
		{status.Error(codes.Unavailable, "the agent of node web1 is away; its logs are on its disk"), model.CodeUnavailable, "web1 is away"},
		{status.Error(codes.Unavailable, "this server has just stopped leading"), model.CodeNoLeader, "no server leads"},
		{status.Error(codes.Unavailable, `connection error: desc = "transport: dial tcp 127.0.0.1:1"`), model.CodeNoLeader, "no server leads"},
		{status.Error(codes.DeadlineExceeded, "slow"), model.CodeNoLeader, "no server leads"},
		{status.Error(codes.NotFound, "no such app"), model.CodeNotFound, "no such app"},
		{wire.Refuse(model.E(model.CodeUnavailable, "the leader has yet to read the release of shop")), model.CodeUnavailable, "yet to read"},
		{wire.Refuse(model.E(model.CodeNoRelease, "nothing is deployed")), model.CodeNoRelease, "nothing is deployed"},
		{status.Error(codes.Unauthenticated, "[D195] the caller shows no certificate"), model.CodeUnavailable, "cannot answer"},
	} {
		err := r.leader.call(t.Context(), func(context.Context, pb.PlatformClient) error { return c.err })
		if !model.IsCode(err, c.code) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: got %v", c.err, err)
		}
	}
	if to := redirect(status.Error(codes.Unavailable, "not the leader; the leader is at 10.0.0.7:1970")); to != "10.0.0.7:1970" {
		t.Errorf("redirect: %q", to)
	}
	for _, text := range []string{"", "not the leader; the leader is at ", "the leader is at nowhere", "transport: 10.0.0.7:1970", "at :1970"} {
		if to := redirect(status.Error(codes.Unavailable, text)); to != "" {
			t.Errorf("redirect of %q: %q", text, to)
		}
	}
	if redirect(errors.New("10.0.0.7:1970")) != "" {
		t.Error("a redirect out of no status")
	}
}

func TestNodes_StoredAndObserved(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	if err := r.store.Apply(t.Context(), r.lease, store.Control{Nodes: []model.Node{{ID: "n1", Name: "web1"}, {ID: "n2", Name: "twin"}, {ID: "n3", Name: "twin"}}}); err != nil {
		t.Fatal(err)
	}
	r.leads.set(func() {
		r.leads.roster = &pb.NodesReply{LeaderId: "s1", Epoch: 4, Nodes: []*pb.NodeState{{Id: "n1", Status: "ready", MemoryMib: 2048, MemoryReservedMib: 256, Instances: 1, Version: "1.0"}},
			Routers: []*pb.RouterState{{Id: "r1", Addr: ":8080", Serves: "4.7", Live: true, Requests: 12}}}
	})
	n := do[api.Node](r, 200, "GET", "/nodes/web1", r.admin, nil)
	if n.Status != "ready" || n.MemoryReservedMiB != 256 || n.Availability != "active" || n.Message != "" {
		t.Errorf("node: %+v", n)
	}
	if all := do[api.Nodes](r, 200, "GET", "/nodes", r.user("vic", ""), nil); len(all.Items) != 3 || len(all.Routers) != 1 || all.Routers[0].Serves != "4.7" {
		t.Errorf("nodes: %+v", all)
	}
	if n := do[api.Node](r, 200, "PATCH", "/nodes/n1", r.admin, api.EditNode{Availability: "draining"}); n.Availability != "draining" {
		t.Errorf("drained: %+v", n)
	}
	if !strings.Contains(r.leads.nudges(), "nodes") {
		t.Error("the leader was not told")
	}
	r.refused(model.CodeBadRequest, "PATCH", "/nodes/n1", r.admin, api.EditNode{Availability: "gone"})
	r.refused(model.CodeNotFound, "PATCH", "/nodes/n9", r.admin, api.EditNode{Availability: "active"})
	r.refused(model.CodeConflict, "PATCH", "/nodes/twin", r.admin, api.EditNode{Availability: "active"})
}

func TestTraffic_IsToldToThoseWhoMaySeeTheApp(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	r.leads.set(func() {
		r.leads.traffic = []*pb.AppTraffic{
			{App: "shop", Releases: []*pb.ReleaseTraffic{{Release: 4, Requests: 120, Failed: 6, Seconds: 30, Latency: "80:114 120:6"}, {Release: 3, Requests: 480, Seconds: 30, Latency: "80:480"}},
				Minutes: []*pb.MinuteTraffic{{AtMs: 60_000, Requests: 9, P99Us: 1500}}},
			{App: "", Releases: []*pb.ReleaseTraffic{{Requests: 7}}},
		}
	})
	got := do[api.Traffic](r, 200, "GET", "/apps/shop/metrics", r.admin, nil)
	if got.Requests != 600 || got.Failed != 6 || got.PerSecond != 10 || got.AtOnce != 1 || got.P50 <= 0 || got.P99 < got.P50 || len(got.Releases) != 2 || got.Releases[0].PerSecond != 2 || len(got.Minutes) != 1 || got.Minutes[0].P99 != 1.5 {
		t.Errorf("%+v", got)
	}
	if all := do[api.Page[api.Traffic]](r, 200, "GET", "/traffic", r.admin, nil); len(all.Items) != 2 || all.Items[0].App != "shop" {
		t.Errorf("%+v", all)
	}
	stranger := r.user("vic", "")
	if some := do[api.Page[api.Traffic]](r, 200, "GET", "/traffic", stranger, nil); len(some.Items) != 0 {
		t.Errorf("a stranger sees %+v", some)
	}
	r.refused(model.CodeNotFound, "GET", "/apps/shop/metrics", stranger, nil)
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "quiet"})
	if quiet := do[api.Traffic](r, 200, "GET", "/apps/quiet/metrics", r.admin, nil); quiet.App != "quiet" || quiet.Requests != 0 || quiet.P99 != 0 {
		t.Errorf("%+v", quiet)
	}
}

func TestForgetNode_OnlyOneThatIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	if err := r.store.Apply(t.Context(), r.lease, store.Control{Nodes: []model.Node{{ID: "n1", Name: "web1"}, {ID: "n2", Name: "web2", Pool: "big", Labels: []string{"ssd"}}}}); err != nil {
		t.Fatal(err)
	}
	r.leads.set(func() {
		r.leads.roster = &pb.NodesReply{Nodes: []*pb.NodeState{{Id: "n1", Status: "unknown", Connected: true}, {Id: "n2", Status: "lost"}}}
	})
	r.refused(model.CodeConflict, "DELETE", "/nodes/web1", r.admin, nil)
	do[any](r, 204, "DELETE", "/nodes/web2", r.admin, nil)
	if n := do[api.Node](r, 200, "GET", "/nodes/web2", r.admin, nil); n.Availability != "forgotten" || n.Pool != "big" || len(n.Labels) != 1 {
		t.Errorf("forgotten: %+v", n)
	}
	if n := do[api.Node](r, 200, "GET", "/nodes/web1", r.admin, nil); n.Availability != "active" || n.Pool != "default" || !n.Connected {
		t.Errorf("refused, and yet: %+v", n)
	}
	// Once nothing is left of it, its ID takes it back, and nothing else.
	if err := r.store.Apply(t.Context(), r.lease, store.Control{Forget: []string{"n2"}}); err != nil {
		t.Fatal(err)
	}
	r.refused(model.CodeNotFound, "PATCH", "/nodes/n2", r.admin, api.EditNode{Availability: "draining"})
	r.refused(model.CodeNotFound, "PATCH", "/nodes/web2", r.admin, api.EditNode{Availability: "active"})
	if n := do[api.Node](r, 200, "PATCH", "/nodes/n2", r.admin, api.EditNode{Availability: "active"}); n.ID != "n2" || n.Availability != "active" {
		t.Errorf("taken back: %+v", n)
	}
	r.refused(model.CodeNotFound, "PATCH", "/nodes/n2", r.admin, api.EditNode{Availability: "active"}) // it has yet to come
	r.leads.set(func() { r.leads.follows = "not the leader; the leader is at " })
	r.refused(model.CodeNoLeader, "DELETE", "/nodes/web1", r.admin, nil) // nobody can tell whether it is connected
}

func TestPools_AreThoseOfNodesAndPeople(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	if err := r.store.Apply(t.Context(), r.lease, store.Control{Nodes: []model.Node{{ID: "n1", Name: "web1"}, {ID: "n2", Name: "web2", Pool: "big"}}}); err != nil {
		t.Fatal(err)
	}
	if p := do[api.Pool](r, 200, "PUT", "/pools/big", r.admin, api.Pool{Policy: "binpack"}); p.Nodes != 1 || p.Policy != "binpack" {
		t.Errorf("set: %+v", p)
	}
	r.refused(model.CodeBadRequest, "PUT", "/pools/big", r.admin, api.Pool{Policy: "random"})
	all := do[api.Page[api.Pool]](r, 200, "GET", "/pools", r.user("vic", ""), nil)
	if len(all.Items) != 2 || all.Items[0] != (api.Pool{Name: "big", Policy: "binpack", Nodes: 1}) || all.Items[1] != (api.Pool{Name: "default", Policy: "spread", Nodes: 1}) {
		t.Errorf("pools: %+v", all)
	}
	if !strings.Contains(r.leads.nudges(), "nodes") {
		t.Error("the leader was not told")
	}
}

func TestPatchApp_ConstraintsAndSingleton(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	a := do[api.App](r, 200, "PATCH", "/apps/shop", r.admin, `{"constraints":["zone==a","label==ssd"],"singleton":true}`)
	if len(a.Constraints) != 2 || a.Constraints[0] != "label==ssd" || !a.Singleton {
		t.Errorf("patched: %+v", a)
	}
	r.refused(model.CodeBadConstraint, "PATCH", "/apps/shop", r.admin, `{"constraints":["colour==red"]}`)
	r.refused(model.CodeBadSize, "POST", "/apps/shop/scale", r.admin, `{"instances":2}`)
	if a = do[api.App](r, 200, "PATCH", "/apps/shop", r.admin, `{"constraints":[]}`); a.Constraints == nil || len(a.Constraints) != 0 {
		t.Errorf("dropped: %+v", a.Constraints)
	}
}
