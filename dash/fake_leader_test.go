package dash

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// fakeLeader is a server over real gRPC that answers what a test puts in.
type fakeLeader struct {
	pb.UnimplementedPlatformServer
	addr string

	mu        sync.Mutex // guards what follows
	follows   string     // refuses with this text when it is set
	apps      map[string]*pb.AppReply
	roster    *pb.NodesReply
	traffic   []*pb.AppTraffic
	safe      *pb.SafeModeReply
	questions []*pb.WhatIfRequest
	reasons   map[string]*pb.ExplainReply // by app
	logs      map[string][]*pb.LogChunk   // by instance
	nudged    []string                    // app IDs, and "nodes"
	asked     []*pb.LogsRequest
	hold      chan struct{} // closed to end followed logs
}

func newFakeLeader(t *testing.T) *fakeLeader {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeLeader{addr: l.Addr().String(), apps: map[string]*pb.AppReply{}, roster: &pb.NodesReply{}, reasons: map[string]*pb.ExplainReply{}, logs: map[string][]*pb.LogChunk{}, hold: make(chan struct{})}
	s := grpc.NewServer(cluster.Server()...)
	pb.RegisterPlatformServer(s, f)
	done := make(chan struct{})
	go func() { _ = s.Serve(l); close(done) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return f
}

func (f *fakeLeader) lock() (func(), error) {
	f.mu.Lock()
	if f.follows != "" {
		defer f.mu.Unlock()
		return nil, status.Error(codes.Unavailable, f.follows)
	}
	return f.mu.Unlock, nil
}

// set changes what the leader says.
func (f *fakeLeader) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeLeader) nudges() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.nudged, " ")
}

func (f *fakeLeader) Nudge(_ context.Context, r *pb.NudgeRequest) (*pb.NudgeReply, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	f.nudged = append(f.nudged, r.GetAppIds()...)
	if r.GetNodes() {
		f.nudged = append(f.nudged, "nodes")
	}
	return &pb.NudgeReply{}, nil
}

func (f *fakeLeader) App(_ context.Context, r *pb.AppRequest) (*pb.AppReply, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if a := f.apps[r.GetAppId()]; a != nil {
		return a, nil
	}
	return &pb.AppReply{State: "unknown to the leader yet"}, nil
}

func (f *fakeLeader) Apps(context.Context, *pb.AppsRequest) (*pb.AppsReply, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	out := &pb.AppsReply{}
	for id, a := range f.apps {
		out.Apps = append(out.Apps, &pb.AppCounts{AppId: id, Ready: a.GetReady(), State: a.GetState()})
	}
	return out, nil
}

func (f *fakeLeader) Nodes(context.Context, *pb.NodesRequest) (*pb.NodesReply, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return f.roster, nil
}

func (f *fakeLeader) Traffic(_ context.Context, r *pb.TrafficRequest) (*pb.TrafficReply, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	out := &pb.TrafficReply{OverMs: 60_000}
	for _, a := range f.traffic {
		if r.GetApp() == "" || r.GetApp() == a.GetApp() {
			out.Apps = append(out.Apps, a)
		}
	}
	return out, nil
}

func (f *fakeLeader) SafeMode(context.Context, *pb.SafeModeRequest) (*pb.SafeModeReply, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return f.safe, nil
}

func (f *fakeLeader) Explain(_ context.Context, r *pb.ExplainRequest) (*pb.ExplainReply, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if e := f.reasons[r.GetAppId()]; e != nil {
		return e, nil
	}
	return nil, status.Error(codes.NotFound, "the leader does not know the app yet")
}

func (f *fakeLeader) WhatIf(_ context.Context, r *pb.WhatIfRequest) (*pb.WhatIfReply, error) {
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	f.questions = append(f.questions, r)
	return &pb.WhatIfReply{
		Fits: false, Text: "it would not fit", Moved: 1, LeftOut: 1, Moves: []*pb.Move{{App: "shop", Slot: 1, From: "n1", To: "n2", Release: "v1"}},
		Misfits: []*pb.Misfit{{App: "blog", Code: "D140", Message: "0 of 2 nodes fit", Next: "add a node"}}, Before: &pb.Headroom{Nodes: 2, FreeMib: 512}, After: &pb.Headroom{Nodes: 1, More: 3},
	}, nil
}

func (f *fakeLeader) Logs(r *pb.LogsRequest, s pb.Platform_LogsServer) error {
	unlock, err := f.lock()
	if err != nil {
		return err
	}
	f.asked = append(f.asked, r)
	chunks, ok := f.logs[r.GetInstanceId()]
	hold := f.hold
	unlock()
	if !ok {
		return status.Error(codes.NotFound, "no node is known to have run it")
	}
	for _, c := range chunks {
		if err := s.Send(c); err != nil {
			return err
		}
	}
	if !r.GetFollow() {
		return nil
	}
	select {
	case <-hold:
		return nil
	case <-s.Context().Done():
		return s.Context().Err()
	}
}
