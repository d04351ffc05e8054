// Package follow keeps a part's one connection to the leader, wherever among the
// servers that is: it searches, backs off, notices a leader that has gone silent,
// and tells how the connection is. What is said on it is the part's own.
package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dinp/dinp/proto/pki"
)

// Config says where the servers are, and who we are.
type Config struct {
	Servers  []string          // host:port of each; any may lead
	Identity *pki.Keeper       // what is shown to them
	Dial     []grpc.DialOption // more of them
}

// State is what a client tells of its connection.
type State struct {
	Connected bool      `json:"connected"`
	Server    string    `json:"server,omitempty"`
	Session   string    `json:"session,omitempty"`
	Epoch     int64     `json:"epoch,omitempty"`
	Leader    string    `json:"leader,omitempty"`
	Since     time.Time `json:"since"` // of the last change of Connected
	LastError string    `json:"last_error,omitempty"`
}

// Session talks over a link until one of the two ends it, and returns why. It has
// to call Established when the leader has answered. ctx ends with the link.
type Session func(ctx context.Context, link *Link) error

// Client keeps a session with the leader.
type Client struct {
	cfg     Config
	session Session
	log     *slog.Logger

	mu    sync.Mutex // guards state
	state State
}

// How long a leader may take.
const (
	answerTimeout = 10 * time.Second // from dialling to its first word
	readTimeout   = 10 * time.Second // one that does not read is as good as gone
)

// The causes that end a session from our side.
var (
	errSilent = errors.New("the server does not answer")
	errStuck  = errors.New("the server does not read")
)

// New returns a client; Run makes it connect.
func New(cfg Config, session Session, log *slog.Logger) *Client {
	return &Client{cfg: cfg, session: session, log: log}
}

// State returns how the connection is.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Run keeps a session with the leader until ctx ends, and returns why ctx did.
func (c *Client) Run(ctx context.Context) error {
	conns := NewConns(c.cfg.Servers, func(addr string) (*grpc.ClientConn, error) {
		return Dial(addr, c.cfg.Identity, c.cfg.Dial...)
	})
	defer conns.Close()
	var standBy sync.WaitGroup
	defer standBy.Wait()
	standBy.Go(func() { conns.StandBy(ctx, func() bool { return c.State().Connected }) })
	search := Search{Servers: c.cfg.Servers}
	for addr, wait := search.First(), time.Duration(0); Pause(ctx, wait) == nil; {
		err := c.one(ctx, conns, addr)
		established := c.ended(addr, err)
		conns.Ended(addr, err, established)
		if status.Code(err) == codes.Unauthenticated && c.cfg.Identity.Reload() {
			c.log.Info("certificate of a new join taken", "identity", c.cfg.Identity.Identity().String(), "expires", c.cfg.Identity.NotAfter())
		}
		addr, wait = search.Next(err, established, rand.Int64N)
	}
	return ctx.Err()
}

// one runs one session with the server at addr to its end.
func (c *Client) one(ctx context.Context, conns *Conns, addr string) error {
	conn, err := conns.To(addr)
	if err != nil {
		return fmt.Errorf("server %q: %w", addr, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answer := time.AfterFunc(answerTimeout, func() { cancel(errSilent) })
	defer answer.Stop()
	err = c.session(ctx, &Link{Conn: conn, End: cancel, addr: addr, answer: answer, client: c})
	if why := context.Cause(ctx); why != nil && !errors.Is(why, context.Canceled) {
		return why // rather than how that looked on the stream
	}
	return err
}

// ended notes a session's end and reports whether it had been established. The
// log has a line when something new is known, not for each attempt.
func (c *Client) ended(addr string, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, text := c.state.Connected, fmt.Sprint(err)
	if _, moved := errors.AsType[*Moved](err); !moved && (was || text != c.state.LastError) {
		c.log.Warn("session ended", "server", addr, "established", was, "err", err)
	}
	if was {
		c.state = State{Since: time.Now()}
	}
	c.state.LastError = text
	return was
}

// Link is one connection to a server.
type Link struct {
	Conn *grpc.ClientConn
	// End ends the session with a cause. It may be called by anybody, and again.
	End context.CancelCauseFunc

	addr   string
	answer *time.Timer
	client *Client
}

// Established notes that the server has answered and leads: term says in which
// session and epoch, as far as the part is told. Only the first call counts.
func (l *Link) Established(term State) {
	l.answer.Stop()
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Connected {
		return
	}
	term.Connected, term.Server, term.Since = true, l.addr, time.Now()
	c.state = term
	attrs := []any{"server", l.addr}
	if term.Epoch != 0 {
		attrs = append(attrs, "epoch", term.Epoch, "leader", term.Leader)
	}
	c.log.Info("session established", attrs...)
}

// Send runs send. A server that does not read ends the session.
func (l *Link) Send(send func() error) error {
	stuck := time.AfterFunc(readTimeout, func() { l.End(errStuck) })
	defer stuck.Stop()
	return send()
}

// Pause waits for d and returns nil, or ctx's error as soon as it ends.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
