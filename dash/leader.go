package dash

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/proto/wire"
)

// How long the leader may take. Reads of pages and API wait for it, so it is short.
const (
	leaderTimeout = 2 * time.Second // for one server
	nudgeTimeout  = time.Second     // the sweep is the safety net
	leaderHops    = 6               // servers asked for one call, redirects included
)

// leaderClient asks whichever server leads.
type leaderClient struct {
	servers  []string
	identity *pki.Keeper
	log      *slog.Logger

	mu    sync.Mutex // guards what follows
	conns map[string]*grpc.ClientConn
	last  string // the server that last answered as the leader
}

func newLeaderClient(servers []string, identity *pki.Keeper, log *slog.Logger) *leaderClient {
	return &leaderClient{servers: servers, identity: identity, log: log, conns: map[string]*grpc.ClientConn{}}
}

// nudge says that apps, or the nodes' availabilities, were changed. A failure is
// only logged: the leader's sweep finds the change a little later.
func (l *leaderClient) nudge(ctx context.Context, nodes bool, appIDs ...string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), nudgeTimeout)
	defer cancel()
	err := l.call(ctx, func(ctx context.Context, c pb.PlatformClient) error {
		_, err := c.Nudge(ctx, &pb.NudgeRequest{AppIds: appIDs, Nodes: nodes})
		return err
	})
	if err != nil {
		l.log.Warn("leader not nudged", "err", err)
	}
}

// app tells the live state of an app.
func (l *leaderClient) app(ctx context.Context, id string) (out *pb.AppReply, err error) {
	err = l.call(ctx, func(ctx context.Context, c pb.PlatformClient) (err error) {
		out, err = c.App(ctx, &pb.AppRequest{AppId: id})
		return err
	})
	return out, err
}

// safeMode tells whether the leader changes nothing, and what it would do.
func (l *leaderClient) safeMode(ctx context.Context) (out *pb.SafeModeReply, err error) {
	err = l.call(ctx, func(ctx context.Context, c pb.PlatformClient) (err error) {
		out, err = c.SafeMode(ctx, &pb.SafeModeRequest{})
		return err
	})
	return out, err
}

// apps tells the live counts of all apps, by app ID.
func (l *leaderClient) apps(ctx context.Context) (map[string]*pb.AppCounts, error) {
	out := map[string]*pb.AppCounts{}
	err := l.call(ctx, func(ctx context.Context, c pb.PlatformClient) error {
		r, err := c.Apps(ctx, &pb.AppsRequest{})
		for _, a := range r.GetApps() {
			out[a.GetAppId()] = a
		}
		return err
	})
	return out, err
}

// nodes tells the live state of nodes and routers.
func (l *leaderClient) nodes(ctx context.Context) (out *pb.NodesReply, err error) {
	err = l.call(ctx, func(ctx context.Context, c pb.PlatformClient) (err error) {
		out, err = c.Nodes(ctx, &pb.NodesRequest{})
		return err
	})
	return out, err
}

// traffic tells what the routers counted of an app; of all apps when name is "".
func (l *leaderClient) traffic(ctx context.Context, name string) (out *pb.TrafficReply, err error) {
	err = l.call(ctx, func(ctx context.Context, c pb.PlatformClient) (err error) {
		out, err = c.Traffic(ctx, &pb.TrafficRequest{App: name})
		return err
	})
	return out, err
}

// explain says why an app is as it is.
func (l *leaderClient) explain(ctx context.Context, id string) (out *pb.ExplainReply, err error) {
	err = l.call(ctx, func(ctx context.Context, c pb.PlatformClient) (err error) {
		out, err = c.Explain(ctx, &pb.ExplainRequest{AppId: id})
		return err
	})
	return out, err
}

// whatIfTimeout is for a question about many instances.
const whatIfTimeout = 20 * time.Second

// whatIf says what a change would bring.
func (l *leaderClient) whatIf(ctx context.Context, r *pb.WhatIfRequest) (out *pb.WhatIfReply, err error) {
	err = l.try(ctx, whatIfTimeout, func(ctx context.Context, c pb.PlatformClient) (err error) {
		out, err = c.WhatIf(ctx, r)
		return err
	})
	return out, err
}

// logs reads an instance's output until its end, or that of ctx.
func (l *leaderClient) logs(ctx context.Context, req *pb.LogsRequest, each func([]*pb.AppLogLine)) error {
	return l.try(ctx, 0, func(ctx context.Context, c pb.PlatformClient) error {
		stream, err := c.Logs(ctx, req)
		if err != nil {
			return err
		}
		for begun := false; ; begun = true {
			chunk, err := stream.Recv()
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil && begun: // another server must not begin from the beginning
				return model.E(model.CodeUnavailable, "the log broke off").WithCause(err)
			case err != nil:
				return err
			case chunk.GetError() != "":
				return model.E(model.CodeUnavailable, "the log cannot be read: %s", chunk.GetError())
			}
			each(chunk.GetLines())
			if chunk.GetEnd() {
				return nil
			}
		}
	})
}

func (l *leaderClient) call(ctx context.Context, f func(context.Context, pb.PlatformClient) error) error {
	return l.try(ctx, leaderTimeout, f)
}

// try asks the server that led last, then each other, and follows redirects,
// until one answers as the leader. timeout bounds each attempt; 0 does not.
func (l *leaderClient) try(ctx context.Context, timeout time.Duration, f func(context.Context, pb.PlatformClient) error) error {
	queue, asked := l.order(), map[string]bool{}
	var last, word error
	for hops := 0; len(queue) > 0 && hops < leaderHops && ctx.Err() == nil; {
		addr := queue[0]
		queue = queue[1:]
		if asked[addr] {
			continue
		}
		asked[addr] = true
		hops++
		err := l.ask(ctx, addr, timeout, f)
		if err == nil {
			l.answered(addr)
			return nil
		}
		if !isAway(err) {
			return asLeaderError(err)
		}
		last = err
		if to := redirect(err); to != "" {
			queue = slices.Insert(queue, 0, to)
		} else if word == nil && isWord(err) {
			word = err
		}
	}
	if word != nil {
		if e := wire.Refused(word); e != nil {
			return e
		}
		return model.E(model.CodeUnavailable, "%s", status.Convert(word).Message())
	}
	return model.E(model.CodeNoLeader, "no server leads at the moment").WithCause(errors.Join(last, ctx.Err())).
		WithStill("what runs keeps running and being served; changes are kept and carried out later").
		WithNext("start a server, or look at its log: dinp server")
}

func (l *leaderClient) ask(ctx context.Context, addr string, timeout time.Duration, f func(context.Context, pb.PlatformClient) error) error {
	conn, err := l.dial(addr)
	if err != nil {
		return err
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return f(ctx, pb.NewPlatformClient(conn))
}

func (l *leaderClient) order() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == "" {
		return slices.Clone(l.servers)
	}
	return append([]string{l.last}, l.servers...)
}

func (l *leaderClient) answered(addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = addr
}

// dial returns the one connection to addr; it connects when first used. A
// server that comes back is found again within the back-off's ceiling.
func (l *leaderClient) dial(addr string) (*grpc.ClientConn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c, ok := l.conns[addr]; ok {
		return c, nil
	}
	c, err := grpc.NewClient(addr,
		grpc.WithTransportCredentials(l.identity.Client()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: leaderTimeout,
		}))
	if err != nil {
		return nil, err
	}
	l.conns[addr] = c
	return c, nil
}

func (l *leaderClient) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, c := range l.conns {
		errs = append(errs, c.Close())
	}
	clear(l.conns)
	return errors.Join(errs...)
}

// isAway reports whether another server may know better.
func isAway(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Unknown:
		return !model.IsKind(err, model.Unavailable)
	}
	return false
}

// isWord reports whether an UNAVAILABLE is what the leader itself says, of an
// agent that is away, and neither a broken connection nor "I do not lead".
func isWord(err error) bool {
	s := status.Convert(err)
	if wire.Refused(err) != nil {
		return s.Code() == codes.Unavailable
	}
	return s.Code() == codes.Unavailable && !isTransport(s.Message()) && !strings.Contains(s.Message(), "the leader") && !strings.Contains(s.Message(), "leading")
}

// isTransport tells gRPC's own texts, which also hold addresses, from servers'.
func isTransport(text string) bool {
	for _, s := range []string{"transport", "connection", "error reading from server", "name resolver"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}

// redirect reads the leader's address from a follower's refusal: the last word
// of its message.
func redirect(err error) string {
	s, ok := status.FromError(err)
	if !ok || s.Code() != codes.Unavailable || isTransport(s.Message()) {
		return ""
	}
	words := strings.Fields(s.Message())
	if len(words) == 0 {
		return ""
	}
	addr := strings.Trim(words[len(words)-1], `"'.,;()`)
	if host, port, err := net.SplitHostPort(addr); err != nil || host == "" || port == "" {
		return ""
	}
	return addr
}

// asLeaderError turns the leader's own refusal into ours.
func asLeaderError(err error) error {
	if e := (*model.Error)(nil); errors.As(err, &e) {
		return e
	}
	if e := wire.Refused(err); e != nil {
		return e
	}
	s := status.Convert(err)
	if s.Code() == codes.NotFound {
		return model.E(model.CodeNotFound, "%s", s.Message())
	}
	return model.E(model.CodeUnavailable, "the leading server cannot answer").WithCause(err)
}
