package balance

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/common/route"
)

// Endpoint is the state of one instance at one address. It outlives table
// swaps, and ends when its instance leaves the table.
type Endpoint struct {
	Addr     string // ip:port
	Instance string
	Release  int
	Token    Token // names it in sticky cookies

	set      *Set
	inflight atomic.Int64
	gone     atomic.Bool  // left the table: claims nothing any more; never set back
	until    atomic.Int64 // ejected until then, in Set.Now; 0 is not ejected
	trial    atomic.Bool  // a request tries it, its ejection being over
	born     atomic.Int64 // slow start began then, in Set.Now; 0 is warm
	fails    atomic.Int32 // failures in a row
	sick     atomic.Int32 // answers of 502, 503 or 504 in a row
	ejected  atomic.Int32 // times in a row, for the length of the next

	mu    sync.Mutex // guards the making of conns
	conns [maxSlots]atomic.Pointer[Conns]
}

// Conns is what a path keeps for an endpoint: its idle connections.
type Conns interface {
	// CloseIdleConnections is called when the endpoint leaves the table, and
	// when the Set is closed. It must close what lies idle, and see to it that
	// connections in use now are closed when they fall idle.
	CloseIdleConnections()
}

// Slot is a path's place in every endpoint; Set.Attach gives it.
type Slot int

// maxSlots is the number of paths.
const maxSlots = 2

func newEndpoint(s *Set, re route.Endpoint) *Endpoint {
	return &Endpoint{Addr: re.Addr, Instance: re.Instance, Release: re.Release, Token: tokenOf(re), set: s}
}

// tokenOf is a hash of what the instance's random id and its address say, so
// that all routers agree on it without talking.
func tokenOf(re route.Endpoint) Token {
	h := sha256.Sum256([]byte(re.Instance + " " + re.Addr))
	return Token(binary.BigEndian.Uint64(h[:]) | 1) // never zero
}

// claim takes the endpoint for one request, unless it has left. The order
// matters: Swap sets gone and then relies on no request starting.
func (e *Endpoint) claim() bool {
	e.inflight.Add(1)
	if e.gone.Load() {
		e.inflight.Add(-1)
		return false
	}
	return true
}

// Done gives a claim back.
func (e *Endpoint) Done() { e.inflight.Add(-1) }

// InFlight returns the claims not yet given back.
func (e *Endpoint) InFlight() int64 { return e.inflight.Load() }

// Gone reports whether the endpoint has left the table: a connection to it is
// not to be kept once its request has ended.
func (e *Endpoint) Gone() bool { return e.gone.Load() }

// Conns returns what a path keeps for the endpoint, made on first use.
func (e *Endpoint) Conns(s Slot) Conns {
	if c := e.conns[s].Load(); c != nil {
		return *c
	}
	return e.makeConns(s)
}

func (e *Endpoint) makeConns(s Slot) Conns {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.conns[s].Load(); c != nil {
		return *c
	}
	made := e.set.open[s](e)
	e.conns[s].Store(&made)
	if e.gone.Load() { // made for a claim from before: retire has not seen it
		made.CloseIdleConnections()
	}
	return made
}

func (e *Endpoint) retire() {
	e.gone.Store(true)
	e.closeIdle()
}

func (e *Endpoint) closeIdle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.conns {
		if c := e.conns[i].Load(); c != nil {
			(*c).CloseIdleConnections()
		}
	}
}

func (e *Endpoint) isEjected(now time.Duration) bool {
	until := time.Duration(e.until.Load())
	return until != 0 && now < until
}

func (e *Endpoint) usable(now time.Duration, tried []*Endpoint) bool {
	return !e.gone.Load() && !e.isEjected(now) && !among(e, tried)
}

func among(e *Endpoint, list []*Endpoint) bool {
	for _, t := range list {
		if t == e {
			return true
		}
	}
	return false
}
