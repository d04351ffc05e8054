package router

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/router/http3"
	"github.com/dinp/dinp/router/limit"
)

// listenQUIC makes what answers HTTP/3 at the port of HTTPS, and binds it, unless a
// router that shares its ports has it still.
func (r *Router) listenQUIC() error {
	if !r.cfg.TLS.HTTP3 {
		return nil
	}
	r.quic = http3.New(http3.Config{
		Addr: r.TLSAddr(), TLS: r.certs.TLS(), Handler: r.challenges(r.guard), Sources: r.sources,
		OfSource: func(ctx context.Context, src *limit.Source) context.Context {
			return context.WithValue(ctx, sourceKey{}, src)
		},
		Streams: r.cfg.Limits.ConcurrentStreams, MaxHeader: maxHeaderBytes, Idle: r.cfg.Timeouts.ClientIdle,
	}, r.log)
	err := r.quic.Listen()
	if taken := errors.Is(err, syscall.EADDRINUSE); taken && r.cfg.ReusePort {
		return nil
	} else if taken {
		_, port, _ := net.SplitHostPort(r.TLSAddr())
		return model.E(model.CodePortTaken, "UDP port %s, for HTTP/3 at the router's tls.listen address %s, is in use", port, r.TLSAddr()).
			WithNext("stop what uses UDP port %s, or set tls.http3 to false", port).WithCause(err)
	}
	return err
}

// serveQUIC answers HTTP/3, if it is wanted.
func (r *Router) serveQUIC(ctx context.Context, g *errgroup.Group) {
	if r.quic != nil {
		g.Go(func() error { return r.quic.Run(ctx) })
	}
}

// drainQUIC lets the requests of HTTP/3 end, beside those of the other protocols.
func (r *Router) drainQUIC(ctx context.Context, wg *sync.WaitGroup) {
	if r.quic != nil {
		wg.Go(func() { r.quic.Shutdown(ctx) })
	}
}

// quicRefused counts the connections of HTTP/3 that were too many.
func (r *Router) quicRefused() uint64 {
	if r.quic == nil {
		return 0
	}
	return r.quic.Refused()
}

// announced tells clients of HTTPS that there is HTTP/3.
func (r *Router) announced(next http.Handler) http.Handler {
	if r.quic == nil {
		return next
	}
	return r.quic.Announce(next, r.quicPort)
}

// altSvc is what tells them so on the fast path; nil without HTTP/3.
func (r *Router) altSvc() func() string {
	if r.quic == nil {
		return nil
	}
	return func() string { return r.quic.AltSvc(r.quicPort) }
}

func (r *Router) quicPort() string {
	if port := r.httpsPort(); port != "" {
		return port
	}
	return "443"
}
