// Package http3 answers HTTP/3 (RFC 9114): the handler of the full path over
// QUIC, beside HTTPS and with its certificates. QUIC itself is quic-go's.
package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
	h3 "github.com/quic-go/quic-go/http3"

	"github.com/dinp/dinp/router/limit"
)

// Config of a Server.
type Config struct {
	Addr    string         // UDP, host:port; port 0 takes a free one
	TLS     *tls.Config    // certificates and tickets, as for HTTPS
	Handler http.Handler   //
	Sources *limit.Sources // counts connections; required
	// OfSource puts a connection's source into the context of its requests.
	OfSource func(ctx context.Context, src *limit.Source) context.Context

	Streams   int           // open at once, of one connection
	MaxHeader int           // bytes of a request's head
	Idle      time.Duration // between a client's requests
}

// Strangers are those whose address is not proven to be theirs. Up to so many
// a second are spared the round trip of a proof (RFC 9000, 8.1.2), which a flood
// of forged addresses has to be asked for.
const strangers = 200

// refreshEvery is how often an occupied port is tried again.
const refreshEvery = 250 * time.Millisecond

// settle is how long the last answers have to arrive before connections close.
const settle = time.Second

// errTooMany refuses a connection.
var errTooMany = errors.New("too many connections")

// Server answers on one UDP port. Make it with New; Listen, or Run alone.
type Server struct {
	cfg      Config
	log      *slog.Logger
	server   *h3.Server
	inFlight atomic.Int64
	refused  atomic.Uint64
	conn     atomic.Pointer[net.UDPConn] // nil: not bound
	drained  chan struct{}               // closed by Shutdown
}

// New returns a server; it does no I/O.
func New(cfg Config, log *slog.Logger) *Server {
	s := &Server{cfg: cfg, log: log, drained: make(chan struct{})}
	s.server = &h3.Server{
		Handler: http.HandlerFunc(s.serve), MaxHeaderBytes: cfg.MaxHeader, IdleTimeout: cfg.Idle,
		Logger: slog.New(slog.DiscardHandler), // a client's mistakes must not fill our log
	}
	return s
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	out := &writer{ResponseWriter: w}
	s.cfg.Handler.ServeHTTP(out, r)
	if !out.begun { // then the head is sent below
		out.strip()
	}
}

// writer leaves out what is said of a connection in HTTP/1 and may not be said in
// HTTP/3 (RFC 9114, 4.2).
type writer struct {
	http.ResponseWriter
	begun bool
}

// Unwrap gives http.ResponseController what is below.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	w.strip()
	w.begun = status >= http.StatusOK
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *writer) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// FlushError sends what was written, and the head at the least.
func (w *writer) FlushError() error {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *writer) strip() {
	h := w.Header()
	for _, name := range [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"} {
		delete(h, name)
	}
}

// Listen binds the port. An error that is syscall.EADDRINUSE may pass: Run tries again.
func (s *Server) Listen() error {
	c, err := net.ListenPacket("udp", s.cfg.Addr)
	if err != nil {
		return err
	}
	s.conn.Store(c.(*net.UDPConn))
	return nil
}

// Close gives the port back, when Run is not to be called.
func (s *Server) Close() {
	if c := s.conn.Load(); c != nil {
		c.Close()
	}
}

// Addr returns the bound address; "" while there is none.
func (s *Server) Addr() string {
	c := s.conn.Load()
	if c == nil {
		return ""
	}
	return c.LocalAddr().String()
}

// InFlight counts the requests that are being answered.
func (s *Server) InFlight() int { return int(s.inFlight.Load()) }

// Refused counts the connections that were too many.
func (s *Server) Refused() uint64 { return s.refused.Load() }

// Run serves until Shutdown or ctx's end, which cuts what is in flight. Where
// Listen found the port taken, by a router that is about to leave it, it waits
// for it: a UDP port cannot be shared, since the kernel would not give the packets
// of a connection to the process that has it.
func (s *Server) Run(ctx context.Context) error {
	if err := s.wait(ctx); err != nil {
		return nil // ctx has ended first
	}
	udp := s.conn.Load()
	defer udp.Close()
	transport := &quic.Transport{Conn: udp, ConnContext: s.arrived, VerifySourceAddress: s.doubts()}
	defer transport.Close()
	l, err := transport.ListenEarly(h3.ConfigureTLSConfig(s.cfg.TLS), &quic.Config{
		MaxIncomingStreams: int64(s.cfg.Streams), MaxIncomingUniStreams: 8, MaxIdleTimeout: s.cfg.Idle,
		MaxStreamReceiveWindow: 256 << 10, MaxConnectionReceiveWindow: 1 << 20,
	})
	if err != nil {
		return fmt.Errorf("HTTP/3: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { s.server.Close() })
	defer stop()
	err = s.server.ServeListener(l)
	l.Close() // so that new connections are refused, while requests may be in flight
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("HTTP/3: %w", err)
	}
	select {
	case <-s.drained:
	case <-ctx.Done():
	}
	return s.server.Close() // waits for the connections
}

// wait returns when the port is ours.
func (s *Server) wait(ctx context.Context) error {
	for s.conn.Load() == nil {
		err := s.Listen()
		if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		if err != nil && pause(ctx, refreshEvery) != nil {
			return ctx.Err()
		}
	}
	return nil
}

// arrived counts a connection in, and out when it ends.
func (s *Server) arrived(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	src, refusal := s.cfg.Sources.Open(addrOf(info.RemoteAddr))
	if refusal != "" {
		s.refused.Add(1)
		return nil, errTooMany
	}
	context.AfterFunc(ctx, func() { s.cfg.Sources.Close(src) })
	return s.cfg.OfSource(ctx, src), nil
}

func addrOf(a net.Addr) netip.Addr {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// doubts decides who has to prove an address.
func (s *Server) doubts() func(net.Addr) bool {
	began := time.Now()
	all, _ := limit.New(limit.Config{Requests: strangers, Burst: strangers}).Open(netip.IPv4Unspecified())
	return func(net.Addr) bool { return !all.Allow(time.Since(began)) }
}

// Shutdown takes no new requests, tells clients so, and returns when those in
// flight have ended and had a moment to arrive, or ctx has ended. Run returns
// then. It is called once at the most.
func (s *Server) Shutdown(ctx context.Context) {
	defer close(s.drained)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // clients need not close connections that are idle
		defer cancel()
		for pause(ctx, settle) == nil && s.InFlight() > 0 {
			s.log.Debug("HTTP/3 requests in flight", "count", s.InFlight())
		}
	}()
	if err := s.server.Shutdown(ctx); err != nil {
		s.log.Debug("HTTP/3 connections closed", "err", err)
	}
}

// Announce is a handler that tells clients of next, by Alt-Svc (RFC 7838), that
// HTTP/3 is to be had at port, from when it is bound.
func (s *Server) Announce(next http.Handler, port func() string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v := s.AltSvc(port); v != "" && r.TLS != nil && r.ProtoMajor < 3 {
			w.Header().Set("Alt-Svc", v)
		}
		next.ServeHTTP(w, r)
	})
}

// AltSvc is the value of the field that tells clients so; empty before HTTP/3
// is bound.
func (s *Server) AltSvc(port func() string) string {
	if s.conn.Load() == nil {
		return ""
	}
	return `h3=":` + port() + `"; ma=86400`
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
