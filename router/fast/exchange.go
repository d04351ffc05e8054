//go:build linux

package fast

import (
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/http1"
	"github.com/dinp/dinp/router/proxy"
	"github.com/dinp/dinp/router/table"
)

// maxAttempts bounds the endpoints one request is tried on.
const maxAttempts = 3

// step is what a part of the pump has achieved.
type step uint8

const (
	stuck step = iota // a socket has to change first
	moved             // there may be more to do
	over              // the exchange has ended, and must not be touched
)

// phase is how far the response has come.
type phase uint8

const (
	beforeHead phase = iota
	inBody
	complete
)

// exchange is one request on its way through the loop. It is used again for
// other requests: whoever ends one must not touch it afterwards.
type exchange struct {
	l     *loop
	c     *client
	peer  *peer // of the present attempt
	start time.Duration

	app      string // of the table, like appHost
	appHost  string
	host     string // canonical, in name
	name     [260]byte
	at       balance.Claimed
	tried    [maxAttempts]*balance.Endpoint
	attempts int
	fresh    bool // a kept connection has failed it: dial

	head       []byte // as it goes to the endpoint, with the first of the body
	headSize   int
	sent       int // of head
	method     span
	path       span
	client     span
	id         span
	idempotent bool // and without a body: may be sent again
	bodiless   bool // HEAD: so is its answer

	framing  http1.Framing // of the request
	left     int64         // of its body, when ByLength
	chunks   http1.Chunks
	read     bool   // the client has said all of it
	up       []byte // of its body, on the way to the endpoint
	upSent   int
	deaf     bool // the endpoint takes no more of it
	asked    bool // the endpoint has all of it
	answered bool // bytes of the endpoint have come

	phase    phase
	part     []byte // of the endpoint's answer, no use before more has come
	status   int
	framed   http1.Framing // of the response
	rest     int64         // of its body, when ByLength
	pieces   http1.Chunks
	down     []byte // on the way to the client
	downSent int
	bytes    int64 // of the body
	closes   bool  // the client's connection ends with the answer
	spent    bool  // the endpoint's does
	code     model.Code

	waiting bool          // for the client
	since   time.Duration // that
	waited  time.Duration // before
	taken   int64         // bytes of the request's body
	why     string
}

// span is a part of head.
type span struct{ from, to int }

// begin serves the request that stands parsed in l.req, at the beginning of b,
// or hands it over where the full path alone knows what to say.
func (l *loop) begin(c *client, b []byte) {
	x := l.spare.takeExchange()
	host, _ := table.Canon(view(l.req.Host))
	x.host = view(x.name[:copy(x.name[:], host)])
	path := view(l.req.Target[:pathLength(l.req.Target)])
	be := l.e.cfg.Set.Table().Lookup(x.host, path)
	trusted := l.e.trusts(c.addr)
	elsewhere := be == nil || l.e.reserves(path) || be.Maintenance || !be.Settings.Plain() || trusted && l.req.ForwardedForLines > 1
	if !elsewhere && c.visitor.Source.Allow(l.now) {
		x.at = l.e.cfg.Set.Claim(be.Host, balance.Ask{}, nil, l.now)
	}
	if x.at.Endpoint == nil {
		l.spare.giveExchange(x)
		c.handOver(b)
		return
	}
	x.l, x.c, x.start, x.app, x.appHost, x.attempts = l, c, l.now, be.App, be.Host, 1
	l.halt(&c.conn)
	l.requests.Add(1)
	l.inflight.Add(1)
	c.x = x
	x.rewrite(b, trusted)
	if !x.firstBody(b[l.req.Size:]) {
		x.badBody()
		return
	}
	if x.attempt() == over {
		return
	}
	x.pump()
}

func (e *Engine) reserves(path string) bool {
	return e.cfg.Reserved != "" && strings.HasPrefix(path, e.cfg.Reserved)
}

// firstBody takes what of the body came with the head. A small piece goes on
// with the head, in one write.
func (x *exchange) firstBody(b []byte) bool {
	r := &x.l.req
	x.framing, x.left, x.read = r.Body, r.Length, r.Body == http1.NoBody
	x.chunks.Limit = http1.RequestChunk
	if len(b) == 0 {
		return true
	}
	if len(b) > smallBuffer || x.read {
		x.c.save(b, false)
		return true
	}
	kept, used, part := x.advance(b)
	x.head = append(x.head, kept...)
	x.c.save(b[used:], part == http1.Wait)
	return part != http1.Broken
}

// advance says what of b belongs to the request's body and goes on.
func (x *exchange) advance(b []byte) (kept []byte, used int, part http1.Part) {
	if x.framing == http1.Chunked {
		kept, used, part = x.chunks.Filter(b)
		x.read = x.chunks.Done()
		x.taken += int64(used)
		return kept, used, part
	}
	n := int(min(x.left, int64(len(b))))
	x.taken += int64(n)
	x.left -= int64(n)
	x.read = x.left == 0
	return b[:n], n, http1.Keep
}

// woken is told by epoll. What moves much lets others pass that have come in the
// same round.
func (x *exchange) woken() {
	if x.l.read >= maxRound && x.bytes+x.taken >= bulk {
		x.l.giveWay(x.c)
		return
	}
	x.pump()
}

// pump moves both directions until the sockets, or fairness, allow no more.
func (x *exchange) pump() {
	any, before := false, x.l.read
	for turn := 0; turn < maxTurns && x.l.read-before < maxTurn; turn++ {
		up := x.upstream()
		if up == over {
			return
		}
		down := x.downstream()
		if down == over {
			return
		}
		if up == stuck && down == stuck {
			if !x.await(any) {
				x.stalled()
			}
			return
		}
		any = true
	}
	x.l.giveWay(x.c)
}

// await limits what a client may make us wait for: its own bytes, and its own
// reading. A silent endpoint is another matter: streams may be silent. It
// reports false when the client has been slow for too long.
func (x *exchange) await(progress bool) bool {
	c, l := x.c, x.l
	if x.waiting {
		x.waited += l.now - x.since
	}
	x.waiting = !x.read && !c.in && !x.deaf && len(x.up) == 0 || len(x.down) > 0 && !c.out || c.hup
	x.since = l.now
	switch {
	case !x.waiting:
		l.halt(&c.conn)
	case x.slow():
		return false
	case progress || c.waits != untilProgress:
		l.start(&c.conn, untilProgress)
	}
	return true
}

// slow reports whether the client moves so little in the time it was waited for
// that it is no visitor but a burden.
func (x *exchange) slow() bool {
	cfg := &x.l.e.cfg
	return cfg.MinRate > 0 && x.waited > cfg.ClientStall && float64(x.taken+x.bytes) < float64(cfg.MinRate)*x.waited.Seconds()
}

// stalled ends an exchange whose client does not go on.
func (x *exchange) stalled() {
	x.l.e.stalls.Add(1)
	x.clientGone()
}

// finish ends an exchange whose answer has been sent.
func (x *exchange) finish() step {
	l, c := x.l, x.c
	whole := x.read && (x.asked || x.peer == nil)
	if x.peer != nil {
		if whole && !x.spent {
			l.keep(x.peer, x.at.Endpoint)
		} else {
			l.closePeer(x.peer)
		}
		x.peer = nil
	}
	closes := x.closes || !whole || l.e.stopping.Load() && len(c.saved) == 0
	x.leave()
	switch {
	case closes && (!whole || c.in || len(c.saved) > 0):
		c.end()
	case closes:
		c.bye()
		l.drop(c)
	default:
		l.start(&c.conn, untilRequest)
		if c.in || len(c.saved) > 0 {
			l.giveWay(c)
		}
	}
	return over
}

// clientGone ends an exchange whose client is no more.
func (x *exchange) clientGone() step {
	x.why = proxy.WhyClientGone
	if x.status == 0 {
		x.status = proxy.StatusClientGone
	}
	return x.cut()
}

// cut ends both connections: an answer that stops in the middle has no other
// honest end.
func (x *exchange) cut() step {
	l, c := x.l, x.c
	if x.peer != nil {
		l.closePeer(x.peer)
		x.peer = nil
	}
	x.leave()
	l.drop(c)
	return over
}

// badBody ends an exchange whose request's body is none.
func (x *exchange) badBody() step {
	l, c := x.l, x.c
	if x.phase != beforeHead || len(x.down) > 0 {
		x.why = http1.BadChunk.String()
		return x.cut()
	}
	if x.peer != nil {
		l.closePeer(x.peer)
		x.peer = nil
	}
	x.at.Endpoint.Done()
	x.at = balance.Claimed{}
	l.inflight.Add(-1)
	l.requests.Add(^uint64(0)) // refuse counts it
	c.x = nil
	l.release(x)
	c.refuse(http1.BadChunk)
	return over
}

// leave records the exchange and lets go of it. The client has none then.
func (x *exchange) leave() {
	l := x.l
	if x.at.Endpoint != nil {
		x.at.Endpoint.Done()
	}
	if l.e.cfg.Done != nil {
		x.record(&l.rec)
		l.e.cfg.Done(&l.rec)
	}
	l.inflight.Add(-1)
	x.c.x = nil
	l.release(x)
}

func (l *loop) release(x *exchange) {
	for _, b := range [...][]byte{x.head, x.up, x.part, x.down} {
		l.spare.give(b)
	}
	l.spare.giveExchange(x)
}

// record notes what is known of the request. Its strings lie in the exchange.
func (x *exchange) record(r *proxy.Record) {
	now := x.l.e.cfg.Set.Now()
	*r = proxy.Record{
		Host: x.host, App: x.app, Client: x.text(x.client), Method: x.text(x.method), Path: x.text(x.path), Proto: "HTTP/1.1",
		Status: x.status, Code: x.code, Why: x.why, Attempts: x.attempts, Bytes: x.bytes,
		Ended: x.l.wall(now), Duration: now - x.start, RequestID: x.text(x.id),
	}
	if e := x.at.Endpoint; e != nil {
		r.Release, r.Instance = e.Release, e.Instance
	}
	if x.l.e.cfg.Details {
		head := x.head[:x.headSize]
		r.Referer, r.UserAgent = view(http1.Find(head, "referer")), view(http1.Find(head, "user-agent"))
	}
}

func (x *exchange) text(s span) string { return view(x.head[s.from:s.to]) }
