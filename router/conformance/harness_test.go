package conformance

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/fast"
	"github.com/dinp/dinp/router/intake"
	"github.com/dinp/dinp/router/limit"
	"github.com/dinp/dinp/router/proxy"
	"github.com/dinp/dinp/router/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = "shop.local"

// patience is how long a test waits for what must come. Nothing is measured by it.
const patience = 20 * time.Second

// door is a router of one path or both, as far as HTTP goes.
type door struct {
	t    testing.TB
	addr string
	set  *balance.Set
	tls  bool // and visitors speak it
	seq  int64

	mu      sync.Mutex
	records []proxy.Record
}

// options of a door.
type options struct {
	full    bool // the full path alone
	tls     bool // the fast path in TLS; subtests with that name have it, too
	trusted []netip.Prefix
	times   fast.Timeouts
}

func open(t testing.TB, o options) *door {
	d := &door{t: t, set: balance.New(), tls: o.tls || strings.HasSuffix(t.Name()+"/", "/tls/") || strings.Contains(t.Name(), "/tls/")}
	log := slog.New(slog.DiscardHandler)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.addr = l.Addr().String()
	o.times = orDefault(o.times)
	p := proxy.New(proxy.Config{
		TrustedProxies: o.trusted, Dial: o.times.Dial, ResponseHeader: o.times.ResponseHeader, BackendIdle: o.times.BackendIdle,
		Done: func(r proxy.Record) { d.record(&r) },
	}, d.set, log)
	srv := &http.Server{
		Handler: p, ReadHeaderTimeout: o.times.ReadHeader, IdleTimeout: o.times.ClientIdle, MaxHeaderBytes: 64 << 10,
		DisableGeneralOptionsHandler: true, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
	}
	accepted := net.Listener(l)
	stop := func() {}
	if !o.full {
		queue := intake.NewQueue(l.Addr())
		accepted = queue
		in := intake.New(intake.Config{Sources: limit.New(limit.Config{})}, log)
		e, err := fast.New(fast.Config{
			Set: d.set, TrustedProxies: o.trusted, Intake: in,
			HandOver: func(c net.Conn) { queue.Push(c) }, Answer: p.Answer, Done: d.record, Timeouts: o.times, Loops: 2,
		})
		if err != nil {
			t.Fatal(err)
		}
		taking := d.take(e, in, l)
		stop = func() { l.Close(); taking.Wait(); e.Close() }
	}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(accepted) })
	t.Cleanup(func() { stop(); srv.Close(); accepted.Close(); wg.Wait(); d.set.Close() })
	return d
}

// take has the engine serve what comes to l.
func (d *door) take(e *fast.Engine, in *intake.Intake, l net.Listener) *sync.WaitGroup {
	taking := &sync.WaitGroup{}
	if !d.tls {
		if err := e.Serve(l.(*net.TCPListener)); err != nil {
			d.t.Fatal(err)
		}
		return taking
	}
	conf := &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2", "http/1.1"}}
	taking.Go(func() { in.Serve(context.Background(), l, func(c *intake.Conn) { e.AdoptTLS(c, conf) }) })
	return taking
}

// certificate is one that nobody checks.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func orDefault(t fast.Timeouts) fast.Timeouts {
	for _, f := range []*time.Duration{&t.ReadHeader, &t.ClientIdle, &t.ClientStall, &t.Dial, &t.ResponseHeader, &t.BackendIdle} {
		if *f == 0 {
			*f = time.Minute
		}
	}
	return t
}

func (d *door) record(r *proxy.Record) {
	kept := *r
	for _, s := range []*string{&kept.Host, &kept.Client, &kept.Method, &kept.Path, &kept.RequestID} {
		*s = strings.Clone(*s)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records = append(d.records, kept)
}

// route makes the shop consist of these endpoints.
func (d *door) route(addrs ...string) {
	b := route.Backend{App: "shop"}
	for _, a := range addrs {
		b.Endpoints = append(b.Endpoints, route.Endpoint{Addr: a, Instance: "i-" + a, Release: 1, Weight: 100})
	}
	slices.SortFunc(b.Endpoints, func(a, b route.Endpoint) int { return strings.Compare(a.Instance, b.Instance) })
	d.seq++
	t, bad := table.Build(route.Version{Epoch: 1, Seq: d.seq}, map[string]string{
		"/rs/" + host: route.EncodeBackend(b), "/cname/www.shop.example": host,
		"/rs/closed.local": route.EncodeBackend(route.Backend{App: "closed", Maintenance: true}),
		"/rs/empty.local":  route.EncodeBackend(route.Backend{App: "empty"}),
	}, d.set.Table())
	if len(bad) > 0 {
		d.t.Fatal(bad)
	}
	d.set.Swap(t)
}

func (d *door) dial() *visitor {
	c, err := net.Dial("tcp", d.addr)
	if err != nil {
		d.t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	d.t.Cleanup(func() { c.Close() })
	v := &visitor{Conn: c, tcp: c.(*net.TCPConn)}
	if d.tls {
		v.Conn = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // who it is does not matter here
	}
	v.r = bufio.NewReader(v.Conn)
	return v
}

// visitor is a client that speaks bytes.
type visitor struct {
	net.Conn // perhaps in TLS
	tcp      *net.TCPConn
	r        *bufio.Reader
}

// message is what came, in a form that is compared.
type message struct {
	first  string   // request or status line
	fields []string // lower-case names, sorted
	body   string   // decoded
	framed string   // "length", "chunks", "close" or ""
	tail   []string // trailer fields
}

func (m message) field(name string) (string, bool) {
	for _, f := range m.fields {
		if v, ok := strings.CutPrefix(f, name+": "); ok {
			return v, true
		}
	}
	return "", false
}

// String is the message on one line; parts that are empty are left out.
func (m message) String() string {
	parts := append([]string{m.first}, m.fields...)
	if m.framed != "" {
		parts = append(parts, fmt.Sprintf("%s %q", m.framed, m.body))
	}
	return strings.Join(append(parts, m.tail...), " | ")
}

// readHead reads the first line and the fields, byte for byte.
func readHead(r *bufio.Reader) (m message, err error) {
	if m.first, err = readLine(r); err != nil {
		return m, err
	}
	m.fields, err = readFields(r)
	return m, err
}

func readFields(r *bufio.Reader) (fields []string, err error) {
	for {
		line, err := readLine(r)
		if err != nil {
			return fields, fmt.Errorf("in the fields: %w", err)
		}
		if line == "" {
			slices.Sort(fields)
			return fields, nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return fields, fmt.Errorf("no field: %q", line)
		}
		fields = append(fields, strings.ToLower(name)+": "+strings.Trim(value, " \t"))
	}
}

// readLine wants CRLF: what the router sends must be strict.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return line, err
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return line, fmt.Errorf("line ends in a bare LF: %q", line)
	}
	return text, nil
}

// readBody reads what belongs to the head. bodiless is for what has none by
// its nature; untilClose for what ends with the connection.
func (m *message) readBody(r *bufio.Reader, bodiless, untilClose bool) error {
	if bodiless {
		return nil
	}
	coding, chunked := m.field("transfer-encoding")
	length, sized := m.field("content-length")
	switch {
	case chunked && sized:
		return errors.New("both a length and a coding")
	case chunked && coding != "chunked":
		return fmt.Errorf("coding %q", coding)
	case chunked:
		m.framed = "chunks"
		return m.readChunks(r)
	case sized:
		n, err := strconv.Atoi(length)
		if err != nil {
			return err
		}
		b := make([]byte, n)
		m.framed = "length"
		k, err := io.ReadFull(r, b)
		m.body = string(b[:k])
		return err
	case untilClose:
		m.framed = "close"
		b, err := io.ReadAll(r)
		m.body = string(b)
		return err
	}
	return nil
}

func (m *message) readChunks(r *bufio.Reader) error {
	for {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(line, 16, 31) // extensions must not have come through
		if err != nil {
			return err
		}
		if n == 0 {
			m.tail, err = readFields(r)
			return err
		}
		b := make([]byte, n)
		k, err := io.ReadFull(r, b)
		m.body += string(b[:k])
		if err != nil {
			return err
		}
		if end, err := readLine(r); err != nil || end != "" {
			return fmt.Errorf("behind a chunk: %q %v", end, err)
		}
	}
}

// answer reads the final response to a request of that method; interim ones
// are joined in front of its first line.
func (v *visitor) answer(method string) (message, error) {
	before := ""
	for {
		m, err := readHead(v.r)
		if err != nil {
			m.first = before + m.first
			return m, err
		}
		if strings.HasPrefix(m.first, "HTTP/1.1 1") {
			before += strings.Join(append([]string{m.first}, m.fields...), " | ") + " & "
			continue
		}
		status := ""
		if f := strings.Fields(m.first); len(f) > 1 {
			status = f[1]
		}
		err = m.readBody(v.r, method == "HEAD" || status == "204" || status == "304", true)
		m.first = before + m.first
		return m, err
	}
}

// app is a server below HTTP. It answers each request with reply, and keeps
// what it was sent.
type app struct {
	l     net.Listener
	reply func(m message) string

	mu  sync.Mutex
	got []message
	bad []error
}

// closes, at the end of a reply, ends the connection; resets does it by a reset.
const (
	closes = "<close>"
	resets = "<reset>"
)

func newApp(t testing.TB, reply func(message) string) *app {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{l: l, reply: reply}
	var wg sync.WaitGroup
	conns, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				stop := context.AfterFunc(conns, func() { c.Close() })
				defer stop()
				defer c.Close()
				a.serve(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); cancel(); wg.Wait() })
	return a
}

func (a *app) addr() string { return a.l.Addr().String() }

func (a *app) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		m, err := readHead(r)
		if err == nil && (slices.Contains(m.fields, "x-early: 1") || slices.Contains(m.fields, "expect: 100-continue")) {
			if !a.say(c, a.reply(m)) {
				return
			}
			m.first += " (head)"
		}
		if err == nil {
			err = m.readBody(r, false, false)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) || m.first != "" {
				a.note(m, err)
			}
			return
		}
		a.note(m, nil)
		if !a.say(c, a.reply(m)) {
			return
		}
	}
}

// say sends a reply, and reports whether the connection goes on.
func (a *app) say(c net.Conn, s string) bool {
	s, ends := strings.CutSuffix(s, closes)
	s, breaks := strings.CutSuffix(s, resets)
	if _, err := io.WriteString(c, s); err != nil {
		return false
	}
	if breaks {
		c.(*net.TCPConn).SetLinger(0)
	}
	return !ends && !breaks
}

func (a *app) note(m message, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.bad = append(a.bad, fmt.Errorf("%q: %w", m.first, err))
		return
	}
	a.got = append(a.got, m)
}

func (a *app) messages() ([]message, []error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.got), slices.Clone(a.bad)
}
