package follow

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"

	"github.com/dinp/dinp/proto/pki"
)

// How much a peer may send before it is read. That it is constant keeps gRPC
// from measuring each connection by a ping with every message, which would be
// most of what ten thousand nearly silent agents cost.
const (
	streamWindow = 256 << 10
	connWindow   = 1 << 20
)

// A leader that hangs is noticed by us, and before it matters: its successor leads
// 7 s after it last answered at the earliest, and takes a node that has not come
// within another 15 s for silent. But one that stands still for no longer than its
// lease forgives (8 s) is not left: it would have to shake hands with all of us anew.
const (
	pingAfter    = 10 * time.Second // of silence
	pingPatience = 8 * time.Second
)

// standbyEvery is how often connections that wait for their server to lead are
// looked after. The first are made at a moment drawn from it, so that followers
// are not all called at once.
const standbyEvery = 15 * time.Second

// Dial makes a connection to a server, which connects when it is first used.
func Dial(addr string, id *pki.Keeper, more ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient(addr, append([]grpc.DialOption{
		grpc.WithTransportCredentials(id.Client()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingPatience, PermitWithoutStream: true}),
		grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithIdleTimeout(0), // what stands by is idle
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: standbyEvery},
			MinConnectTimeout: answerTimeout,
		}),
	}, more...)...)
}

// Conns are a client's connections, by server. Those to servers that do not lead
// stand by, so that a change of leaders costs no handshakes: ten thousand of them
// at once would be many seconds of a new leader's time.
type Conns struct {
	servers []string
	dial    func(addr string) (*grpc.ClientConn, error)

	mu   sync.Mutex // guards open
	open map[string]*grpc.ClientConn
}

// NewConns returns the connections to servers, none of them open yet.
func NewConns(servers []string, dial func(addr string) (*grpc.ClientConn, error)) *Conns {
	return &Conns{servers: servers, dial: dial, open: map[string]*grpc.ClientConn{}}
}

// To is the connection to a server: the one that stands by, or a new one. One
// that has just failed is replaced, because gRPC would pause before it tries again.
func (c *Conns) To(addr string) (*grpc.ClientConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn := c.open[addr]; conn != nil {
		if conn.GetState() != connectivity.TransientFailure {
			return conn, nil
		}
		c.drop(addr)
	}
	conn, err := c.dial(addr)
	if err == nil {
		c.open[addr] = conn
	}
	return conn, err
}

// Ended says how a session with a server ended. Its connection stays if it has
// shown that it is good: the server answers, and takes our certificate.
func (c *Conns) Ended(addr string, err error, established bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, moved := errors.AsType[*Moved](err)
	hangs := errors.Is(err, errSilent) || errors.Is(err, errStuck)
	if !slices.Contains(c.servers, addr) || hangs || !moved && !established {
		c.drop(addr)
	}
}

func (c *Conns) drop(addr string) {
	if conn := c.open[addr]; conn != nil {
		conn.Close()
		delete(c.open, addr)
	}
}

// Connect begins to connect to all servers to which there is no connection.
func (c *Conns) Connect() {
	for _, addr := range c.servers {
		if conn, err := c.To(addr); err == nil {
			conn.Connect() // does nothing unless it is idle
		}
	}
}

// Ready is how many connections are open and good.
func (c *Conns) Ready() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.open {
		if conn.GetState() == connectivity.Ready {
			n++
		}
	}
	return n
}

// StandBy keeps connections to all servers until ctx ends, while wanted says so.
func (c *Conns) StandBy(ctx context.Context, wanted func() bool) {
	for wait := rand.N(standbyEvery); Pause(ctx, wait) == nil; wait = standbyEvery {
		if wanted() {
			c.Connect()
		}
	}
}

// Close ends all connections.
func (c *Conns) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for addr := range c.open {
		c.drop(addr)
	}
}
