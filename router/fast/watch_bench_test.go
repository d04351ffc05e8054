//go:build linux

package fast

import (
	"errors"
	"net"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/proxy"
	"github.com/dinp/dinp/router/stats"
	"github.com/dinp/dinp/router/table"
)

// BenchmarkWatching compares small requests with and without the counting that
// the router does for each, which take turns, now this one first and now the
// other, and tells the medians. Client, loop and app are one thread, in which one
// follows the other: no wake-up and no other program is between them, and of the thread's
// processor time what the loop takes is measured alone, with its system calls.
func BenchmarkWatching(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := still(b)
	s := newScene(b, l)
	var watched stats.Recorder
	count := func(r *proxy.Record) {
		watched.Of(stats.Key{App: r.App, Release: r.Release}).Observe(r.Status, r.Duration, r.Ended)
	}
	done := [...]func(*proxy.Record){nil, count}
	var took [2][]float64
	for first := 0; b.Loop(); first = 1 - first {
		for _, i := range [...]int{first, 1 - first} {
			l.e.cfg.Done = done[i]
			took[i] = append(took[i], float64(s.request(b)))
		}
	}
	base := middle(took[0])
	extra := middle(took[1]) - base
	b.ReportMetric(base, "cpu-ns-without")
	b.ReportMetric(extra, "cpu-ns-more")
	b.ReportMetric(100*extra/base, "%")
}

func middle(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// scene is a client and an app, with a loop between them that is driven by hand.
type scene struct {
	l           *loop
	client, app int
	buf         []byte
}

func newScene(b *testing.B, l *loop) *scene {
	front, back := listening(b), listening(b)
	t, bad := table.Build(route.Version{Epoch: 1, Seq: 1}, map[string]string{"/rs/shop.local": route.EncodeBackend(route.Backend{
		App: "shop", Endpoints: []route.Endpoint{{Addr: back.Addr().String(), Instance: "i", Release: 1, Weight: 100}},
	})}, l.e.cfg.Set.Table())
	if len(bad) > 0 {
		b.Fatal(bad)
	}
	l.e.cfg.Set.Swap(t)
	fd, err := listenerFD(front)
	if err != nil {
		b.Fatal(err)
	}
	l.listen(fd)
	s := &scene{l: l, client: raw(b, connectTo(b, front)), buf: make([]byte, 4096)}
	l.round() // accepts
	s.write(b, s.client, ask)
	l.round() // connects to the app
	c, err := back.Accept()
	if err != nil {
		b.Fatal(err)
	}
	s.app = raw(b, c.(*net.TCPConn))
	for !l.answered(s) { // connected, and then sent: what is one event may be two
		l.round()
	}
	s.read(b, s.app)
	s.write(b, s.app, answer)
	l.round()
	s.read(b, s.client)
	return s
}

// answered reports whether the app has something to read.
func (l *loop) answered(s *scene) bool {
	p := []unix.PollFd{{Fd: int32(s.app), Events: unix.POLLIN}}
	n, _ := unix.Poll(p, 0)
	return n == 1
}

// request is one request, and returns the processor time that the loop took.
func (s *scene) request(b *testing.B) time.Duration {
	s.write(b, s.client, ask)
	took := s.round(b)
	s.read(b, s.app)
	s.write(b, s.app, answer)
	took += s.round(b)
	if got := s.read(b, s.client); !strings.HasPrefix(got, "HTTP/1.1 200") {
		b.Fatalf("the client read %q", got)
	}
	return took
}

func (s *scene) round(b *testing.B) time.Duration {
	before := threadTime(b)
	s.l.round()
	return threadTime(b) - before
}

func (s *scene) write(b *testing.B, fd int, text string) {
	if n, err := syscall.Write(fd, []byte(text)); n != len(text) || err != nil {
		b.Fatalf("wrote %d of %d: %v", n, len(text), err)
	}
}

func (s *scene) read(b *testing.B, fd int) string {
	n, err := syscall.Read(fd, s.buf)
	if n <= 0 || err != nil {
		b.Fatalf("read %d: %v", n, err)
	}
	return string(s.buf[:n])
}

func listening(b *testing.B) *net.TCPListener {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

func connectTo(b *testing.B, l *net.TCPListener) *net.TCPConn {
	c, err := net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// raw returns a socket in the place of c whose reads wait, 20 s at most.
func raw(b *testing.B, c *net.TCPConn) int {
	defer c.Close()
	fd, err := duplicate(c)
	if err == nil {
		err = errors.Join(syscall.SetNonblock(int(fd), false),
			syscall.SetsockoptTimeval(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: 20}))
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { syscall.Close(int(fd)) })
	return int(fd)
}

func threadTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}
