//go:build linux

package fast

import (
	"math"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dinp/dinp/router/http1"
	"github.com/dinp/dinp/router/intake"
	"github.com/dinp/dinp/router/proxy"
)

const (
	bufferSize = 128 << 10 // of a loop: one read
	maxHead    = 64 << 10  // of a request; the full path knows what to say to larger ones
	maxAnswer  = 64 << 10  // of a response's head
	maxTurns   = 8         // steps that one exchange may take while others wait

	// maxTurn is how many bytes those steps may read, and maxRound how many all
	// of a round's may, before epoll is asked again for those who want little: to
	// move a MiB takes some 300 µs, and a hundred downloads would have a small
	// request wait for a hundred times that. Once asked more, it costs a call a MiB.
	maxTurn  = 256 << 10
	maxRound = 1 << 20
	bulk     = 64 << 10 // who has moved that much can wait for those who have not

	// perAccept is how many events are worth a connection more at a time. To ask
	// until there is none would be to ask once too often for each, and that costs
	// the kernel a file; while one a round would starve newcomers when rounds are long.
	perAccept  = 16
	wholeQueue = 4 << 10 // of a listener: the usual net.core.somaxconn

	// turnOfLoop is how long a loop runs before it lets other goroutines run. It
	// is less than the 10 ms after which the runtime's monitor interrupts it, and
	// goes on to look at it every 20 µs; and not much less, since yielding may
	// wake another thread, which costs some 70 µs.
	turnOfLoop = 8 * time.Millisecond
)

// conn is a socket of the loop: a client, a peer, or a listener. Epoll tells
// changes only, so what it said is kept until a call says EAGAIN.
type conn struct {
	fd     int32
	gen    uint32 // tells this descriptor's events from those of its predecessor
	in     bool   // there may be something to read
	out    bool   // there may be room to write
	hup    bool   // the other side has ended its stream
	broken bool   // the connection is no more
	client *client
	peer   *peer

	waits         deadline
	ends          time.Duration
	before, after *conn
}

// loop is one event loop. Everything in it belongs to its goroutine, but for
// the mailbox and the atomics.
type loop struct {
	e        *Engine
	index    int
	ep, wake int
	conns    []*conn // by descriptor
	gen      uint32
	now      time.Duration // at the last wake-up, in Set.Now
	queues   [numberOfDeadline]queue
	ready    []*client    // have more to do than their turn allowed
	crowd    atomic.Int64 // clients; other loops look
	listener *conn
	paused   time.Duration // accepting begins again then; 0: it goes on
	stopped  bool

	buf    []byte // what was just read
	out    []byte // what is about to be written to a client
	sealed []byte // the same in TLS
	spare  spare
	events [256]syscall.EpollEvent

	happened int // events of this round
	read     int // bytes, of this round's events, or turns
	req      http1.Request
	resp     http1.Response
	date     date
	anchor   anchor
	rec      proxy.Record // for Done

	mu    sync.Mutex // guards mail
	mail  []func()
	life  sync.RWMutex // guards freed; while it is held for reading, wake is a descriptor of ours
	freed bool

	requests, errors atomic.Uint64
	inflight         atomic.Int64
}

func newLoop(e *Engine, index int) (*loop, error) {
	l := &loop{e: e, index: index, buf: make([]byte, bufferSize), out: make([]byte, 0, bufferSize+smallBuffer), now: e.cfg.Set.Now()}
	t := e.cfg.Timeouts
	for d, length := range map[deadline]time.Duration{
		untilHead: t.ReadHeader, untilRequest: t.ClientIdle, untilFirst: newcomer, untilProgress: t.ClientStall, untilGone: lingering,
		untilConnected: t.Dial, untilAnswer: t.ResponseHeader, untilReused: t.BackendIdle,
	} {
		l.queues[d].length = length
	}
	var err error
	if l.ep, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	fd, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		syscall.Close(l.ep)
		return nil, errno
	}
	l.wake = int(fd)
	if err := l.watch(&conn{fd: int32(fd)}, syscall.EPOLLIN); err != nil {
		l.free()
		return nil, err
	}
	return l, nil
}

// free ends the loop's own descriptors, and its mailbox first: their numbers
// will be others'. The last mail is read: connections may be in it.
func (l *loop) free() {
	l.life.Lock()
	l.freed = true
	l.life.Unlock()
	l.readMail()
	syscall.Close(l.ep)
	syscall.Close(l.wake)
}

// watch has epoll report on a connection for the rest of its life.
func (l *loop) watch(c *conn, events uint32) error {
	l.gen++
	c.gen = l.gen
	for int(c.fd) >= len(l.conns) {
		l.conns = append(l.conns, nil)
	}
	l.conns[c.fd] = c
	return syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_ADD, int(c.fd), &syscall.EpollEvent{Events: events, Fd: c.fd, Pad: int32(c.gen)})
}

const anyChange = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | epollET

// close ends a connection; the kernel forgets its registration with it.
func (l *loop) close(c *conn) {
	l.forget(c)
	sysClose(c.fd)
}

// forget lets go of a descriptor without closing it.
func (l *loop) forget(c *conn) {
	l.halt(c)
	l.conns[c.fd] = nil
	c.broken = true
}

// post has f run on the loop's goroutine, soon. It reports false when the loop
// has ended, and never will.
func (l *loop) post(f func()) bool {
	l.life.RLock()
	defer l.life.RUnlock()
	if l.freed {
		return false
	}
	l.mu.Lock()
	l.mail = append(l.mail, f)
	first := len(l.mail) == 1
	l.mu.Unlock() // before the loop wakes up and wants it
	if first {    // else whoever put in the first has woken it, or is about to
		sysWake(int32(l.wake))
	}
	return true
}

func (l *loop) run() {
	defer l.free()
	yielded, y := l.now, newYielder()
	for !l.stopped {
		if l.now-yielded > turnOfLoop {
			y.yield()
			yielded = l.now
		}
		l.round()
	}
}

// round waits for events, serves them, and then those that gave way.
func (l *loop) round() {
	l.happened = l.wait()
	l.now, l.read = l.e.cfg.Set.Now(), 0
	for i := range l.events[:l.happened] {
		l.event(&l.events[i])
	}
	l.takeTurns()
}

// wait returns how many events there are, at once when there is other work.
func (l *loop) wait() int {
	next := l.expire()
	if l.paused != 0 {
		next = l.acceptAgain(next)
	}
	ms := -1
	switch {
	case len(l.ready) > 0:
		ms = 0
	case next >= 0:
		ms = int(min(next/time.Millisecond+1, math.MaxInt32))
	}
	if n := sysEpollWait(l.ep, l.events[:]); n != 0 || ms == 0 {
		return n
	}
	n, err := syscall.EpollWait(l.ep, l.events[:], ms)
	if err != nil { // EINTR: the scheduler's signals
		return 0
	}
	return n
}

func (l *loop) event(ev *syscall.EpollEvent) {
	c := l.conns[ev.Fd]
	if c == nil || c.gen != uint32(ev.Pad) {
		return
	}
	in := ev.Events&(syscall.EPOLLIN|syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0
	c.in = c.in || in
	c.out = c.out || ev.Events&(syscall.EPOLLOUT|syscall.EPOLLHUP|syscall.EPOLLERR) != 0
	c.hup = c.hup || ev.Events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0
	switch {
	case c.client != nil:
		if s := c.client.secure; s != nil && in {
			s.wire.ready = true
		}
		c.client.woken(ev.Events&(syscall.EPOLLHUP|syscall.EPOLLERR) != 0)
	case c.peer != nil:
		c.peer.woken()
	case int(c.fd) == l.wake:
		sysCalm(c.fd)
		l.readMail()
	default:
		l.accept(1 + l.happened/perAccept)
	}
}

func (l *loop) readMail() {
	l.mu.Lock()
	mail := l.mail
	l.mail = nil
	l.mu.Unlock()
	for _, f := range mail {
		f()
	}
}

// takeTurns goes on with those that gave way, once each, until they have read
// as much as a round may. The rest come first in the next one.
func (l *loop) takeTurns() {
	l.read = 0
	taken, waiting := 0, len(l.ready)
	for ; taken < waiting && l.read < maxRound; taken++ {
		c := l.ready[taken]
		c.queued = false
		if !c.broken {
			c.proceed()
		}
	}
	l.ready = slices.Delete(l.ready, 0, taken)
}

// giveWay lets others come first.
func (l *loop) giveWay(c *client) {
	if !c.queued {
		c.queued = true
		l.ready = append(l.ready, c)
	}
}

func (l *loop) listen(fd int32) {
	l.listener = &conn{fd: fd}
	if err := l.watch(l.listener, syscall.EPOLLIN|epollExclusive); err != nil {
		l.close(l.listener)
		l.listener = nil
	}
}

// accept takes new connections; of those it leaves, epoll tells again. Out of
// descriptors, it pauses: the listener would stay readable and the loop spin.
func (l *loop) accept(most int) {
	for range most {
		fd, addr, errno := sysAccept(l.listener.fd)
		switch errno {
		case 0:
			l.arrived(fd, addr)
		case syscall.EAGAIN:
			return
		case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS:
			fd := l.listener.fd
			l.forget(l.listener)
			syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_DEL, int(fd), &syscall.EpollEvent{})
			l.listener = &conn{fd: fd}
			l.paused = l.now + 100*time.Millisecond
			return
		}
	}
}

// arrived counts a new connection in and gives it to a loop.
func (l *loop) arrived(fd int32, addr netip.Addr) {
	src, ok := l.e.cfg.Intake.Open(addr)
	if !ok {
		syscall.SetsockoptLinger(int(fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}) // leaves no state behind
		sysClose(fd)
		return
	}
	l.e.conns.Add(1)
	v := intake.Visitor{Source: src}
	if to := l.e.quietest(l); to != l {
		to.post(func() { to.admit(fd, addr, v, nil) })
		return
	}
	l.admit(fd, addr, v, nil)
}

func (l *loop) acceptAgain(next time.Duration) time.Duration {
	if l.now < l.paused {
		if left := l.paused - l.now; next < 0 || left < next {
			next = left
		}
		return next
	}
	l.paused = 0
	if l.listener != nil {
		l.listen(l.listener.fd)
	}
	return next
}

// anchor is when the wall clock was last asked: it takes as long as the monotonic
// one once more, for each request, and nobody sets it so often.
type anchor struct {
	wall time.Time
	at   time.Duration // in Set.Now
}

// wall is the wall clock's time at a time in Set.Now.
func (l *loop) wall(at time.Duration) time.Time {
	if l.anchor.wall.IsZero() || at-l.anchor.at >= time.Second {
		l.anchor = anchor{wall: time.Now().Round(0), at: at}
	}
	return l.anchor.wall.Add(at - l.anchor.at)
}

// date is the Date field for answers of apps that send none, made anew every second.
type date struct {
	second time.Duration
	line   []byte
}

func (l *loop) dateLine() []byte {
	if s := l.now / time.Second; l.date.line == nil || s != l.date.second {
		l.date.second = s
		l.date.line = append(l.date.line[:0], "Date: "...)
		l.date.line = time.Now().UTC().AppendFormat(l.date.line, http.TimeFormat)
		l.date.line = append(l.date.line, '\r', '\n')
	}
	return l.date.line
}

// deafen accepts what has come so far, and then no more.
func (l *loop) deafen() {
	if l.listener == nil {
		return
	}
	if l.paused != 0 {
		sysClose(l.listener.fd)
	} else {
		l.accept(wholeQueue)
		if l.listener != nil && l.paused == 0 {
			l.close(l.listener)
		}
	}
	l.listener, l.paused = nil, 0
}

// retreat ends the intake: no new connections, and no idle ones.
func (l *loop) retreat() {
	l.deafen()
	for _, c := range l.conns {
		if c != nil && c.client != nil && c.client.idle() {
			l.lastLook(c.client)
		}
	}
}

// lastLook closes a client's connection unless it has just asked for something,
// or has just come.
func (l *loop) lastLook(c *client) {
	c.in = true
	if c.secure != nil {
		c.secure.wire.ready = true
	}
	c.proceed()
	switch {
	case c.broken || !c.idle():
	case c.waits == untilHead && c.ends > l.now+l.queues[untilHead].length-newcomer:
		l.start(&c.conn, untilFirst)
	default:
		c.bye()
		l.drop(c)
	}
}

// stop cuts everything and ends the loop.
func (l *loop) stop() {
	l.retreat()
	for _, c := range l.conns {
		switch {
		case c == nil:
		case c.client != nil && c.client.x != nil:
			c.client.x.clientGone()
		case c.client != nil:
			l.drop(c.client)
		case c.peer != nil && c.peer.x == nil:
			l.closePeer(c.peer)
		}
	}
	l.stopped = true
}
