package router

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dinp/dinp/router/intake"
	"github.com/dinp/dinp/router/limit"
)

// serveTraffic accepts on the traffic addresses, and serves what was accepted.
// The WaitGroup is done when nothing is accepted any more.
func (r *Router) serveTraffic(ctx context.Context, g *errgroup.Group, s *http.Server) *sync.WaitGroup {
	taking := &sync.WaitGroup{}
	accept := func(l net.Listener, take func(*intake.Conn)) {
		taking.Add(1)
		g.Go(func() error {
			defer taking.Done()
			return r.intake.Serve(ctx, l, take)
		})
	}
	if take := r.takeClear(); take != nil {
		accept(r.traffic, take)
	}
	g.Go(func() error { return serve(s, r.clear) })
	g.Go(func() error { return r.follow.Run(ctx) })
	if r.secure == nil {
		return taking
	}
	accept(r.secure, r.takeSecure(g, s))
	g.Go(func() error { return r.certs.Run(ctx) })
	r.serveQUIC(ctx, g)
	return taking
}

// takeSecure returns what is to be done with connections to the address of
// HTTPS. The fast path makes their handshakes, if there is one.
func (r *Router) takeSecure(g *errgroup.Group, s *http.Server) func(*intake.Conn) {
	conf := r.certs.TLS()
	if r.engine != nil {
		return func(c *intake.Conn) { r.engine.AdoptTLS(c, conf) }
	}
	g.Go(func() error { return serve(s, tls.NewListener(r.private, conf)) })
	return func(c *intake.Conn) { r.private.Push(c) }
}

// stateKey is the key of the *tls.ConnectionState of a connection that the fast
// path has handed over: net/http knows that of *tls.Conn alone.
type stateKey struct{}

func withState(ctx context.Context, c net.Conn) context.Context {
	if _, known := c.(*tls.Conn); known {
		return ctx
	}
	s, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return ctx
	}
	state := s.ConnectionState()
	return context.WithValue(ctx, stateKey{}, &state)
}

// withTLS has requests say that they came over TLS when they did.
func withTLS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if s, ok := req.Context().Value(stateKey{}).(*tls.ConnectionState); ok && req.TLS == nil {
			req.TLS = s
		}
		next.ServeHTTP(w, req)
	})
}

// stopTaking closes the traffic addresses. What was accepted is still served.
func (r *Router) stopTaking(taking *sync.WaitGroup) {
	r.traffic.Close()
	if r.secure != nil {
		r.secure.Close()
	}
	if r.engine != nil {
		r.engine.StopAccepting()
	}
	taking.Wait()
}

// sourceKey is the key of a connection's *limit.Source in its requests.
type sourceKey struct{}

// limited counts a request against its source, and reports whether that one
// asks too much.
func (r *Router) limited(req *http.Request) bool {
	src, _ := req.Context().Value(sourceKey{}).(*limit.Source)
	return !src.Allow(r.set.Now())
}

// sweep forgets sources that have left, and apps.
func (r *Router) sweep(ctx context.Context) error {
	sources, apps := time.NewTicker(10*time.Second), time.NewTicker(time.Minute)
	defer sources.Stop()
	defer apps.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sources.C:
			r.sources.Sweep(r.set.Now())
		case <-apps.C:
			r.forgetApps()
		}
	}
}

// forgetApps drops the counts of apps that are not in the table. Those of an app
// that leaves it are dropped at once, but a request that is under way then is
// counted when it ends.
func (r *Router) forgetApps() {
	gone := r.stats.Apps()
	delete(gone, "") // of requests that reached no app
	for _, b := range r.set.Table().Backends() {
		delete(gone, b.App)
	}
	for app := range gone {
		r.stats.Forget(app)
	}
}

// trafficServer serves HTTP/1.1 and HTTP/2, the latter over TLS by ALPN and in
// clear to clients that begin with its preface.
func (r *Router) trafficServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: withTLS(r.announced(r.challenges(r.guard))), ReadHeaderTimeout: r.cfg.Timeouts.ReadHeader, IdleTimeout: r.cfg.Timeouts.ClientIdle,
		MaxHeaderBytes: maxHeaderBytes, Protocols: protocols, HTTP2: r.http2(), DisableGeneralOptionsHandler: true,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return withState(context.WithValue(ctx, sourceKey{}, intake.SourceOf(c)), c)
		},
		ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelDebug), // a client's mistakes must not fill our log
	}
}

// http2 bounds what one connection may hold. Streams that are opened and reset
// at once still count until their handlers have ended, and net/http ends a
// connection that queues more than four times its streams (CVE-2023-44487).
func (r *Router) http2() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams: r.cfg.Limits.ConcurrentStreams, MaxReadFrameSize: 16 << 10,
		MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 256 << 10,
		SendPingTimeout: r.cfg.Timeouts.ClientIdle, PingTimeout: 15 * time.Second, WriteByteTimeout: r.cfg.Timeouts.ClientStall,
	}
}
