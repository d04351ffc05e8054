// Package report is the monitor's end of its one connection to the leader:
// targets come in, verdicts go out. Losing the connection changes nothing about
// the probing; when it is back, every verdict is told again.
package report

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/dinp/dinp/hm/monitor"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
)

// Config says where the servers are, and who we are.
type Config struct {
	Servers   []string    // host:port of each; any may lead
	Identity  *pki.Keeper // of the monitor
	MonitorID string
}

// State is what the client tells of itself.
type State struct {
	Connected bool      `json:"connected"`
	Server    string    `json:"server,omitempty"`
	Since     time.Time `json:"since"` // of the last change of Connected
	LastError string    `json:"last_error,omitempty"`
}

// Client keeps a session with the leader.
type Client struct {
	cfg     Config
	monitor *monitor.Monitor
	outbox  *Outbox
	log     *slog.Logger

	mu    sync.Mutex // guards state
	state State
}

// How long things may take, and how often they are tried.
const (
	targetsTimeout = 10 * time.Second // from dialling to the leader's first word
	sendTimeout    = 10 * time.Second
	backoffMin     = 100 * time.Millisecond
	backoffMax     = 5 * time.Second
	maxHops        = 3 // redirections in a row before a pause
)

// New returns a client that reports what outbox names; Run makes it connect.
func New(cfg Config, m *monitor.Monitor, outbox *Outbox, log *slog.Logger) *Client {
	return &Client{cfg: cfg, monitor: m, outbox: outbox, log: log}
}

// State returns how the connection is.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Run keeps a session with the leader until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	turn, failures, hops := 0, 0, 0
	addr := c.cfg.Servers[0]
	for ctx.Err() == nil {
		err := c.session(ctx, addr)
		established := c.ended(addr, err)
		if moved, ok := errors.AsType[*redirect](err); ok && moved.addr != "" && hops < maxHops {
			addr = moved.addr
			hops++
			continue
		}
		if failures++; established {
			failures = 0
		}
		hops = 0
		turn++
		addr = c.cfg.Servers[turn%len(c.cfg.Servers)]
		pause(ctx, fullJitter(failures))
	}
	return ctx.Err()
}

// ended notes a session's end and reports whether it had been established.
func (c *Client) ended(addr string, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, text := c.state.Connected, fmt.Sprint(err)
	if _, moved := errors.AsType[*redirect](err); !moved && (was || text != c.state.LastError) {
		c.log.Warn("session ended", "server", addr, "established", was, "err", err)
	}
	if was {
		c.state = State{Since: time.Now()}
	}
	c.state.LastError = text
	return was
}

func (c *Client) established(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Connected {
		return
	}
	c.state = State{Connected: true, Server: addr, Since: time.Now()}
	c.log.Info("session established", "server", addr)
}

// redirect is the end of a session with a server that does not lead.
type redirect struct{ addr string }

// Error implements error.
func (r *redirect) Error() string { return fmt.Sprintf("not the leader; it says %q is", r.addr) }

// The causes that end a session from our side.
var (
	errSilent = errors.New("the server does not answer")
	errStuck  = errors.New("the server does not read")
)

// session runs one session with the server at addr to its end.
func (c *Client) session(ctx context.Context, addr string) error {
	conn, err := grpc.NewClient(addr,
		grpc.WithTransportCredentials(c.cfg.Identity.Client()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxTargets)))
	if err != nil {
		return fmt.Errorf("server %q: %w", addr, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	first := time.AfterFunc(targetsTimeout, func() { cancel(errSilent) })
	defer first.Stop()
	stream, err := pb.NewHealthClient(conn).Watch(ctx)
	if err != nil {
		return cause(ctx, err)
	}
	s := &session{Client: c, addr: addr, stream: stream, cancel: cancel, heard: func() { first.Stop() }, all: make(chan struct{}, 1)}
	return s.run(ctx)
}

// maxTargets is the size of the largest full set: some 100,000 targets.
const maxTargets = 32 << 20

// cause prefers why we ended a stream to how that looked.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// fullJitter spreads the monitors that lost the leader at the same instant.
func fullJitter(failures int) time.Duration {
	ceiling := backoffMax
	if failures < 6 { // 100 ms · 2⁶ is past the ceiling
		ceiling = min(ceiling, backoffMin<<failures)
	}
	return rand.N(ceiling)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
