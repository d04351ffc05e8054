package router

import (
	"context"
	"fmt"
	"net"

	"github.com/dinp/dinp/router/access"
	"github.com/dinp/dinp/router/fast"
	"github.com/dinp/dinp/router/intake"
)

// startEngine makes the fast path, which accepts nothing yet. It has to be
// there before the first table.
func (r *Router) startEngine() (err error) {
	if !r.cfg.FastPath {
		return nil
	}
	trusted, _ := parsePrefixes(r.cfg.TrustedProxies)
	t := r.cfg.Timeouts
	r.engine, err = fast.New(fast.Config{
		Set: r.set, TrustedProxies: trusted, Intake: r.intake, Reserved: challengePath, HandOver: func(c net.Conn) { r.clear.Push(c) },
		Answer: r.proxy.Answer, Done: r.count, AltSvc: r.altSvc(), Details: access.Format(r.cfg.AccessFormat) == access.Combined, MinRate: r.cfg.Limits.MinBodyRate,
		Timeouts: fast.Timeouts{
			ReadHeader: t.ReadHeader, ClientIdle: t.ClientIdle, ClientStall: t.ClientStall, Dial: t.Dial,
			ResponseHeader: t.ResponseHeader, BackendIdle: t.BackendIdle,
		},
	})
	if err != nil {
		return fmt.Errorf("router fast path: %w", err)
	}
	return nil
}

// takeClear returns what is to be done with connections to the clear address,
// and nil when the fast path accepts them itself: it does where none begins
// with a PROXY header.
func (r *Router) takeClear() func(*intake.Conn) {
	if r.engine == nil {
		return func(c *intake.Conn) { r.clear.Push(c) }
	}
	if tcp, ok := r.traffic.(*net.TCPListener); ok && !r.intake.ExpectsHeaders() {
		r.straight = r.engine.Serve(tcp) == nil
	}
	if r.straight {
		return nil
	}
	return r.engine.Adopt
}

// drainEngine ends the fast path's connections, and returns how many requests
// were cut because ctx ended first.
func (r *Router) drainEngine(ctx context.Context) int64 {
	if r.engine == nil {
		return 0
	}
	return r.engine.Shutdown(ctx)
}

// inFlight is the number of requests being served on both paths.
func (r *Router) inFlight() int64 {
	n := r.proxy.InFlight()
	if r.engine != nil {
		n += r.engine.InFlight()
	}
	return n
}

// requests are those since the start, and those of them that the router itself
// answered with 5xx.
func (r *Router) requests() (all, failed uint64) {
	all, failed = r.proxy.Counts()
	if r.engine != nil {
		n, f := r.engine.Counts()
		all, failed = all+n, failed+f
	}
	return all, failed
}

// stalled counts the requests whose client sent or took nothing for too long.
func (r *Router) stalled() uint64 {
	n := r.guard.Ended()
	if r.engine != nil {
		n += r.engine.Stalled()
	}
	return n
}
