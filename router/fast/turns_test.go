//go:build linux

package fast

import (
	"bytes"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/http1"
	"github.com/dinp/dinp/router/intake"
	"github.com/dinp/dinp/router/limit"
)

// still returns a loop that does nothing by itself.
func still(t testing.TB) *loop {
	t.Helper()
	set := balance.New()
	long := time.Hour
	e := &Engine{quiet: make(chan struct{}, 1), cfg: Config{
		Set: set, Intake: intake.New(intake.Config{Sources: limit.New(limit.Config{})}, slog.New(slog.DiscardHandler)), Loops: 1,
		Timeouts: Timeouts{ReadHeader: long, ClientIdle: long, ClientStall: long, Dial: long, ResponseHeader: long, BackendIdle: long},
	}}
	e.slot = set.Attach(e.openPeers)
	l, err := newLoop(e, 0)
	if err != nil {
		t.Fatal(err)
	}
	e.loops = []*loop{l}
	t.Cleanup(func() {
		l.stop()
		l.free()
		set.Close()
	})
	return l
}

// download is an exchange in the middle of a long answer, of which this much
// has come to the router, and has room at the client.
func (l *loop) download(t *testing.T, ready int) *exchange {
	t.Helper()
	from, to := pair(t), pair(t)
	if n, err := syscall.Write(from[1], bytes.Repeat([]byte("x"), ready)); n != ready || err != nil {
		t.Fatalf("wrote %d of %d: %v", n, ready, err)
	}
	c := &client{l: l}
	c.conn = conn{fd: int32(to[0]), client: c, out: true}
	p := &peer{l: l, connected: true}
	p.conn = conn{fd: int32(from[0]), peer: p, in: true, out: true}
	for _, s := range []*conn{&c.conn, &p.conn} {
		if err := l.watch(s, anyChange); err != nil {
			t.Fatal(err)
		}
	}
	x := &exchange{l: l, c: c, peer: p, phase: inBody, framed: http1.ByLength, rest: 1 << 40, read: true, asked: true}
	c.x, p.x = x, x
	return x
}

// pair returns two connected sockets: the router's, and the other side's.
func pair(t *testing.T) [2]int {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fds[1]) })
	return fds
}

func TestLoop_DownloadsTakeTurnsOfABoundedSizeSoThatOthersAreHeardBetween(t *testing.T) {
	const size, many = 96 << 10, 40
	l := still(t)
	var all []*exchange
	for range many {
		x := l.download(t, size)
		all = append(all, x)
		l.giveWay(x.c)
	}
	rounds := 0
	for before := 0; len(l.ready) > 0; rounds++ {
		l.takeTurns()
		if l.read > maxRound+maxTurn {
			t.Fatalf("round %d read %d bytes, more than %d and one turn of %d", rounds, l.read, maxRound, maxTurn)
		}
		served := 0
		for _, x := range all {
			if x.bytes > 0 {
				served++
			}
		}
		if served <= before && served < many {
			t.Fatalf("after round %d %d of %d have been served: somebody came twice before all came once", rounds, served, many)
		}
		before = served
	}
	for i, x := range all {
		if x.bytes != size {
			t.Errorf("download %d moved %d bytes of %d", i, x.bytes, size)
		}
	}
	if least := size * many / (maxRound + maxTurn); rounds < least {
		t.Errorf("it took %d rounds, want at least %d", rounds, least)
	}
}

func TestLoop_InAFullRoundDownloadsLetSmallRequestsPass(t *testing.T) {
	l := still(t)
	large, small := l.download(t, 4<<10), l.download(t, 4<<10)
	large.bytes, small.bytes = bulk, 0
	l.read = maxRound
	for _, x := range []*exchange{large, small} {
		l.event(&syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: x.peer.fd, Pad: int32(x.peer.gen)})
	}
	if small.bytes != 4<<10 {
		t.Errorf("the small one has moved %d bytes, want all of its 4096 at once", small.bytes)
	}
	if large.bytes != bulk || len(l.ready) != 1 || l.ready[0] != large.c {
		t.Errorf("the large one has moved %d bytes, %d wait; want it to wait", large.bytes-bulk, len(l.ready))
	}
	l.takeTurns()
	if large.bytes != bulk+4<<10 || len(l.ready) != 0 {
		t.Errorf("with its turn the large one has moved %d bytes, want 4096", large.bytes-bulk)
	}
}
