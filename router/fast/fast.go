//go:build linux

// Package fast is the fast path of the router: plain HTTP/1.1 between clients
// and endpoints, over event loops of its own. What package http1 does not find
// plain, and every app whose settings need more than forwarding, it hands over
// to the full path, with the connection and the bytes already read.
//
// A loop is one goroutine with one epoll instance. It owns its connections,
// their idle peers and all buffers; nothing in it is locked. An idle connection
// costs its struct and a descriptor, no goroutine and no buffer, because reads
// go into the loop's one buffer and, as a rule, from there straight into the
// other socket. Other goroutines talk to a loop by its mailbox alone.
//
// Both sides of an exchange are moved by one function, pump, as far as the
// sockets allow; so early answers, slow readers and half-closed connections
// need no goroutines that wait for each other.
package fast

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/intake"
	"github.com/dinp/dinp/router/proxy"
)

// Config of an Engine. All functions are called on a loop's goroutine and must
// not block.
type Config struct {
	Set            *balance.Set
	TrustedProxies []netip.Prefix // whose X-Forwarded-* are believed
	Loops          int            // event loops; 0: one a CPU
	Timeouts

	// Intake counts the connections that the engine accepts itself.
	Intake *intake.Intake
	// Reserved is a prefix of paths that the full path may answer itself,
	// whatever the host; empty: there are none.
	Reserved string
	// HandOver takes a connection that the full path is to serve. Its Read
	// returns first what the engine has read. In TLS it is a *tls.Conn, or has
	// the methods of one; the handshake is over. It is called on a goroutine of
	// its own, and may block.
	HandOver func(net.Conn)
	// Answer makes the router's own response to the request of that head, and
	// notes it in the record. why is a Why of package proxy; last says that the
	// connection ends with it.
	Answer func(head []byte, rec *proxy.Record, why string, last bool) []byte
	// Done is called when a request has ended; nil: nobody wants to know. The
	// Record and its strings are valid during the call only.
	Done func(*proxy.Record)
	// AltSvc returns the value of Alt-Svc in answers over TLS; empty: they need
	// none. nil: they never do.
	AltSvc func() string
	// Details says that Done wants Referer and UserAgent, too.
	Details bool
	// MinRate is how many bytes a second a client must send or take on average
	// over the time it was waited for, once that is ClientStall; 0: any.
	MinRate int
}

// Timeouts of an Engine, none of them zero.
type Timeouts struct {
	ReadHeader     time.Duration // for a client to send its request's head
	ClientIdle     time.Duration // between a client's requests
	ClientStall    time.Duration // for a client to send more of its body, or take more of the answer
	Dial           time.Duration // to connect to an endpoint
	ResponseHeader time.Duration // from request sent to response head
	BackendIdle    time.Duration // an unused backend connection is kept for
}

// Engine serves connections. Make it with New, give it listeners with Serve,
// and end it with Shutdown or Close.
type Engine struct {
	cfg   Config
	slot  balance.Slot
	loops []*loop
	wg    sync.WaitGroup // the loops, and connections being handed over

	closing  atomic.Bool // answers end their connections
	stopping atomic.Bool // idle connections are closed
	conns    atomic.Int64
	stalls   atomic.Uint64
	quiet    chan struct{} // size 1: conns reached zero while stopping

	shaking handshakes
}

// processors is how many the process may use, as the runtime found it; and the
// runtime is told of one more, for the first loops that start. Loops that wait
// in epoll and leave no processor unused look like blocked ones to its monitor:
// it then takes their processors away, again and again, waking up every 20 µs
// to do so, at a tenth of all our CPU time.
var processors = sync.OnceValue(func() int {
	n := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(n + 1)
	return n
})

// New starts an engine's loops.
func New(cfg Config) (*Engine, error) {
	if cfg.Loops <= 0 {
		cfg.Loops = processors()
	}
	e := &Engine{cfg: cfg, quiet: make(chan struct{}, 1)}
	e.slot = cfg.Set.Attach(e.openPeers)
	for i := range cfg.Loops {
		l, err := newLoop(e, i)
		if err != nil {
			for _, l := range e.loops {
				l.free()
			}
			return nil, fmt.Errorf("event loop: %w", err)
		}
		e.loops = append(e.loops, l)
	}
	for _, l := range e.loops {
		e.wg.Go(l.run)
	}
	return e, nil
}

// Serve accepts connections from l's socket until StopAccepting, by descriptors
// of its own. l itself is closed: as long as it is open, the runtime's poller is
// woken for every connection that comes, for nobody. An error leaves it open.
func (e *Engine) Serve(l *net.TCPListener) error {
	fds := make([]int32, len(e.loops))
	for i := range fds {
		var err error
		if fds[i], err = listenerFD(l); err != nil {
			for _, fd := range fds[:i] {
				sysClose(fd)
			}
			return fmt.Errorf("listen: %w", err)
		}
	}
	for i, lp := range e.loops {
		if !lp.post(func() { lp.listen(fds[i]) }) {
			sysClose(fds[i])
		}
	}
	l.Close() // an error would say that somebody else has closed it
	return nil
}

// Control calls do with the descriptor of the socket that Serve has taken, and
// returns net.ErrClosed when nothing is accepted there any more.
func (e *Engine) Control(do func(fd uintptr)) error {
	done := make(chan error, 1)
	l := e.loops[0]
	posted := l.post(func() {
		if l.listener == nil {
			done <- net.ErrClosed
			return
		}
		do(uintptr(l.listener.fd))
		done <- nil
	})
	if !posted {
		return net.ErrClosed
	}
	return <-done
}

// Adopt serves a connection that somebody else has accepted and counted.
func (e *Engine) Adopt(c *intake.Conn) {
	e.conns.Add(1)
	e.enter(c, nil)
}

// StopAccepting takes what waits in the listeners' queues and closes them.
func (e *Engine) StopAccepting() {
	var wg sync.WaitGroup
	wg.Add(len(e.loops))
	for _, l := range e.loops {
		l.post(func() {
			l.deafen()
			wg.Done()
		})
	}
	wg.Wait()
}

// Counts returns the requests since the start, and those of them that the
// engine itself answered with 5xx.
func (e *Engine) Counts() (requests, errors uint64) {
	for _, l := range e.loops {
		requests += l.requests.Load()
		errors += l.errors.Load()
	}
	return requests, errors
}

// InFlight returns the number of requests being served.
func (e *Engine) InFlight() (n int64) {
	for _, l := range e.loops {
		n += l.inflight.Load()
	}
	return n
}

// Connections returns the number of open client connections.
func (e *Engine) Connections() int64 { return e.conns.Load() }

// Stalled counts the requests ended because their client sent or took nothing.
func (e *Engine) Stalled() uint64 { return e.stalls.Load() }

// LastCall makes every answer from now on end its connection.
func (e *Engine) LastCall() { e.closing.Store(true) }

// Shutdown stops accepting, closes idle connections and waits until the others
// have ended or were handed over, or until ctx ends. It reports how many requests were left then.
func (e *Engine) Shutdown(ctx context.Context) (left int64) {
	e.LastCall()
	e.stopping.Store(true)
	for _, l := range e.loops {
		l.post(l.retreat)
	}
	last := time.AfterFunc(handshakesEnd, e.shaking.end)
	defer last.Stop()
	for e.conns.Load() > 0 {
		select {
		case <-e.quiet:
		case <-ctx.Done():
			return e.InFlight()
		}
	}
	return 0
}

// Close cuts what is left and ends the loops. Requests cut are recorded.
func (e *Engine) Close() {
	e.stopping.Store(true)
	e.shaking.end()
	for _, l := range e.loops {
		l.post(l.stop)
	}
	e.wg.Wait()
}

// left counts a client connection out.
func (e *Engine) left(v intake.Visitor) {
	e.cfg.Intake.Close(v.Source)
	e.leftUs()
}

// leftUs counts a connection out that goes on elsewhere.
func (e *Engine) leftUs() {
	if e.conns.Add(-1) == 0 && e.stopping.Load() {
		select {
		case e.quiet <- struct{}{}:
		default:
		}
	}
}
