// Package session is the agent's end of its one connection to the leader: it
// finds the leader among the servers, says hello, syncs, reports what changes,
// keeps the heartbeat, and takes the orders of the leader with the highest
// epoch it has ever heard, in the current session, and of nobody else.
//
// Losing the connection changes nothing about the containers.
package session

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

	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/logs"
	"github.com/dinp/dinp/agent/permit"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
)

// Config says where the servers are.
type Config struct {
	Servers  []string          // host:port of each; any may lead
	Identity *pki.Keeper       // of the node
	Dial     []grpc.DialOption // more of them, for tests
}

// Docker is the condition of the node's engine.
type Docker struct {
	OK    bool
	Error string
}

// Node is what a session speaks for.
type Node struct {
	Set     *instance.Set
	Journal *journal.Journal
	Logs    *logs.Store // nil: no output is kept
	Outbox  *Outbox
	// Hello tells what the node is.
	Hello func() *pb.Hello
	// Permit is how long singletons may go on; nil where there can be none.
	Permit *permit.Permit
	// Disk tells what is short of room on the node's disk; nil for nothing.
	Disk func() string
	// Docker tells the engine's condition as last seen.
	Docker func() Docker
	// Refresh compares the set with the engine's list, as far as the engine answers.
	Refresh func(ctx context.Context)
}

// State is what the client tells of itself.
type State struct {
	Connected bool      `json:"connected"`
	Server    string    `json:"server,omitempty"`
	Session   string    `json:"session,omitempty"`
	Epoch     int64     `json:"epoch,omitempty"`
	Leader    string    `json:"leader,omitempty"`
	Since     time.Time `json:"since"` // of the last change of Connected
	LastError string    `json:"last_error,omitempty"`
}

// Client keeps a session with the leader.
type Client struct {
	cfg  Config
	node Node
	log  *slog.Logger

	mu    sync.Mutex // guards state
	state State
}

// How long things may take, and how often they are tried.
const (
	welcomeTimeout = 10 * time.Second // from dialling to the leader's answer
	sendTimeout    = 10 * time.Second // a leader that does not read is as good as gone
	refreshTimeout = 5 * time.Second  // a hanging engine must not hold up the sync
	backoffMin     = 100 * time.Millisecond
	backoffMax     = 5 * time.Second
	maxHops        = 3 // redirections in a row before a pause
)

// New returns a client; Run makes it connect.
func New(cfg Config, node Node, log *slog.Logger) *Client {
	return &Client{cfg: cfg, node: node, log: log}
}

// State returns how the connection is.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Run keeps a session with the leader until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	search := Search{Servers: c.cfg.Servers}
	for addr, wait := search.First(), time.Duration(0); pause(ctx, wait) == nil; {
		err := c.session(ctx, addr)
		addr, wait = search.Next(err, c.ended(addr, err), rand.Int64N)
	}
	return ctx.Err()
}

// Search decides which server is tried next.
type Search struct {
	Servers  []string
	at       int
	failures int // sessions in a row that were not established
	hops     int // redirections in a row
}

// First is where to begin.
func (s *Search) First() string { return s.Servers[0] }

// Next is the server to try after a session ended with err, and how long to wait
// before: at once where a server says that another leads, else with full jitter,
// drawn from [0, n), because the agents of a whole cluster have lost the leader at
// the same instant.
func (s *Search) Next(err error, established bool, draw func(n int64) int64) (addr string, wait time.Duration) {
	if addr, moved := Moved(err); moved && addr != "" && s.hops < maxHops {
		s.hops++
		return addr, 0
	}
	if s.failures++; established {
		s.failures = 0
	}
	s.hops = 0
	s.at = (s.at + 1) % len(s.Servers)
	ceiling := backoffMax
	if s.failures < 6 { // 100 ms · 2⁶ is past the ceiling
		ceiling = min(ceiling, backoffMin<<s.failures)
	}
	return s.Servers[s.at], time.Duration(draw(int64(ceiling)))
}

// ended notes a session's end and reports whether it had been established. The
// log has a line when something new is known, not for each attempt.
func (c *Client) ended(addr string, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.state.Connected
	text := fmt.Sprint(err)
	if _, moved := Moved(err); !moved && (was || text != c.state.LastError) {
		c.log.Warn("session ended", "server", addr, "established", was, "err", err)
	}
	if was {
		c.state = State{Since: time.Now()}
	}
	c.state.LastError = text
	return was
}

func (c *Client) established(s State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
	c.log.Info("session established", "server", s.Server, "epoch", s.Epoch, "leader", s.Leader)
}

// redirect is the end of a session with a server that does not lead.
type redirect struct{ addr string }

// Error implements error.
func (r *redirect) Error() string { return fmt.Sprintf("not the leader; it says %q is", r.addr) }

func (c *Client) dial(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, append([]grpc.DialOption{
		grpc.WithTransportCredentials(c.cfg.Identity.Client()),
		// A half-open connection is noticed by us, not only by the missing heartbeat.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 15 * time.Second, Timeout: 5 * time.Second}),
	}, c.cfg.Dial...)...)
}

// session runs one session with the server at addr to its end.
func (c *Client) session(ctx context.Context, addr string) error {
	conn, err := c.dial(addr)
	if err != nil {
		return fmt.Errorf("server %q: %w", addr, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &stream{Talk: NewTalk(c.node), log: c.log, cancel: cancel, out: make(chan *pb.LogChunk, 16), resync: make(chan struct{}, 1)}
	welcome := time.AfterFunc(welcomeTimeout, func() { cancel(errSilent) })
	defer welcome.Stop()
	if s.grpc, err = pb.NewAgentsClient(conn).Session(ctx); err != nil {
		return cause(ctx, err)
	}
	if err := s.open(); err != nil {
		return cause(ctx, err)
	}
	welcome.Stop()
	c.established(State{Connected: true, Server: addr, Session: s.Session, Epoch: s.Epoch, Leader: s.Leader, Since: time.Now()})
	return s.run(ctx)
}

// The causes that end a session from our side.
var (
	errSilent = errors.New("the server does not answer")
	errStuck  = errors.New("the server does not read")
)

// cause prefers why we ended a stream to how that looked.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
