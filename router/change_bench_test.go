package router

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/test/testenv"
)

// BenchmarkRouteChange changes one route of many while clients load another:
// the time from before the leader's write to Redis until a visitor's request is
// answered by the new instance (p50, p99), and until the last request was sent
// that the old one answered: the change took effect between these. Beside them
// what the publication and one request take on that machine, the connections
// that were cut meanwhile, and the heap that the table takes. One operation is one change; run
// it with a fixed -benchtime such as 300x.
func BenchmarkRouteChange(b *testing.B) {
	for _, hosts := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("hosts=%d", hosts), func(b *testing.B) { changeOneOf(b, hosts) })
	}
}

func changeOneOf(b *testing.B, hosts int) {
	addr := testenv.Redis(b)
	l := newLeader(b, addr)
	one, two, busy := app(b, says("one")), app(b, says("two")), app(b, says("ok"))
	l.fill(hosts)
	l.publish(backend("busy", busy), backend("moving", two))
	before := heapNow()
	r := start(b, config(b, addr))
	l.served(b)
	heap := float64(heapNow()) - float64(before)
	load := r.keepAlive(16, "busy.local", "ok")
	v := r.visit("moving.local")
	defer v.conn.Close()
	var took, old, publication, request []time.Duration
	for i := 0; b.Loop(); i++ {
		to, want := one, "one"
		if i%2 == 1 {
			to, want = two, "two"
		}
		began := time.Now()
		l.publish(backend("moving", to))
		publication = append(publication, time.Since(began))
		last := v.until(b, want)
		took = append(took, time.Since(began))
		old = append(old, max(last.Sub(began), 0))
		asked := time.Now()
		v.until(b, want)
		request = append(request, time.Since(asked))
	}
	served, cut := load.end()
	for name, all := range map[string][]time.Duration{"": took, "-old-until": old, "-publication": publication, "-request": request} {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2].Seconds()*1000, "p50"+name+"-ms")
		b.ReportMetric(all[len(all)*99/100].Seconds()*1000, "p99"+name+"-ms")
	}
	b.ReportMetric(float64(len(cut)), "cut-connections")
	b.ReportMetric(float64(served)/b.Elapsed().Seconds(), "other-requests/s")
	b.ReportMetric(heap/(1<<20), "table-MiB")
	if len(cut) > 0 {
		b.Errorf("%d connections of another app were cut: %s", len(cut), cut[0])
	}
}

// fill writes many backends of ten endpoints past the stream, as a list that
// was there before.
func (l *leader) fill(hosts int) {
	l.t.Helper()
	p := l.c.Pipeline()
	for n := range hosts {
		app := fmt.Sprintf("app-%d", n)
		rb := route.Backend{App: app}
		for e := range 10 {
			rb.Endpoints = append(rb.Endpoints, route.Endpoint{
				Addr: fmt.Sprintf("10.%d.%d.%d:%d", n>>16, n>>8&255, n&255, 32768+e), Instance: fmt.Sprintf("%08x-0000-4000-8000-%012x", n, e), Release: 1, Weight: 100,
			})
		}
		p.Set(context.Background(), route.BackendPrefix+app+".local", route.EncodeBackend(rb), 0)
		if n%5000 == 4999 || n == hosts-1 {
			if _, err := p.Exec(context.Background()); err != nil {
				l.t.Fatalf("fill: %v", err)
			}
		}
	}
}

// served waits until the router serves what was published; a list of 100,000
// takes a while.
func (l *leader) served(b *testing.B) {
	b.Helper()
	testenv.Eventually(b, 3*time.Minute, func() error {
		line, err := l.line("r1")
		if err != nil || line.Serves != l.at {
			return fmt.Errorf("serves %v, want %v: %v", line.Serves, l.at, err)
		}
		return nil
	})
}

func heapNow() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// visitor asks one host over one connection, on which it writes itself: a
// client with a pool would replace one that was cut without a word.
type visitor struct {
	conn net.Conn
	in   *bufio.Reader
	host string
}

func (r *running) visit(host string) *visitor {
	r.t.Helper()
	c, err := net.Dial("tcp", r.Addr())
	if err != nil {
		r.t.Fatal(err)
	}
	return &visitor{conn: c, in: bufio.NewReader(c), host: host}
}

func (v *visitor) get() (string, error) {
	if _, err := fmt.Fprintf(v.conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", v.host); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(v.in, nil)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// until asks until the answer is want, and returns when the last request was
// sent whose answer was not; the zero time: there was none.
func (v *visitor) until(b *testing.B, want string) (last time.Time) {
	for deadline := time.Now().Add(20 * time.Second); ; {
		sent := time.Now()
		body, err := v.get()
		if err == nil && body == want {
			return last
		}
		last = sent
		if err != nil || time.Now().After(deadline) {
			b.Fatalf("got %q, %v; want %q", body, err, want)
		}
	}
}

// steady is visitors that keep their connections.
type steady struct {
	stop   chan struct{}
	wg     sync.WaitGroup
	served atomic.Int64
	mu     sync.Mutex
	cut    []string // guarded by mu: what became of those that were cut
}

// keepAlive asks a host over n connections until end; whatever answers other
// than body was cut.
func (r *running) keepAlive(n int, host, body string) *steady {
	s := &steady{stop: make(chan struct{})}
	for range n {
		v := r.visit(host)
		s.wg.Go(func() {
			defer v.conn.Close()
			for {
				select {
				case <-s.stop:
					return
				default:
				}
				if got, err := v.get(); err != nil || got != body {
					s.mu.Lock()
					s.cut = append(s.cut, fmt.Sprintf("%v %.200q", err, got))
					s.mu.Unlock()
					return
				}
				s.served.Add(1)
			}
		})
	}
	return s
}

func (s *steady) end() (served int64, cut []string) {
	close(s.stop)
	s.wg.Wait()
	return s.served.Load(), s.cut
}
