package testenv

import (
	"net"
	"sync"
	"testing"
)

// Cable carries TCP connections from an address of its own to a server, and can
// be cut: nothing passes then, and nobody is told, as when a switch dies. What
// was under way comes through once it is joined again.
type Cable struct {
	Addr string // host:port to dial instead of the server's

	network, to string
	ln          net.Listener
	wg          sync.WaitGroup

	mu     sync.Mutex // guards all below
	whole  chan struct{}
	ends   map[net.Conn]bool
	closed bool
}

// NewCable leads from a free port on loopback to a TCP or unix address; it goes
// with the test.
func NewCable(t testing.TB, network, addr string) *Cable {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cable{Addr: ln.Addr().String(), network: network, to: addr, ln: ln, whole: make(chan struct{}), ends: map[net.Conn]bool{}}
	close(c.whole)
	c.wg.Go(c.accept)
	t.Cleanup(c.close)
	return c
}

// Cut lets nothing through any more.
func (c *Cable) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.whole:
		c.whole = make(chan struct{})
	default: // cut already
	}
}

// Join lets everything through again.
func (c *Cable) Join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.join()
}

func (c *Cable) join() {
	select {
	case <-c.whole:
	default:
		close(c.whole)
	}
}

func (c *Cable) close() {
	c.mu.Lock()
	c.closed = true
	c.join()
	c.ln.Close()
	for conn := range c.ends {
		conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// hold keeps a connection's end for close; false when that was called already.
func (c *Cable) hold(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		conn.Close()
		return false
	}
	c.ends[conn] = true
	return true
}

func (c *Cable) drop(conn net.Conn) {
	conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ends, conn)
}

// pass waits while the cable is cut.
func (c *Cable) pass() {
	c.mu.Lock()
	whole := c.whole
	c.mu.Unlock()
	<-whole
}

func (c *Cable) accept() {
	for {
		from, err := c.ln.Accept()
		if err != nil {
			return
		}
		c.wg.Go(func() { c.serve(from) })
	}
}

func (c *Cable) serve(from net.Conn) {
	if !c.hold(from) {
		return
	}
	defer c.drop(from)
	c.pass()
	to, err := net.Dial(c.network, c.to)
	if err != nil || !c.hold(to) {
		return
	}
	defer c.drop(to)
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		c.wg.Go(func() {
			c.carry(way[0], way[1])
			done <- struct{}{}
		})
	}
	<-done
}

// carry copies one way until either end closes. An end that comes while the cable
// is cut is not passed on before it is joined.
func (c *Cable) carry(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		c.pass()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
