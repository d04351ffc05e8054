// Package intake accepts connections: it applies the limits per source, takes
// off the PROXY protocol's header where a trusted load balancer sends one, and
// hands over connections that know who is really there. What happens on them
// is others' work.
package intake

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dinp/dinp/router/limit"
	"github.com/dinp/dinp/router/proxyproto"
)

// Conn is an accepted connection. It is the TCP connection itself, so that
// raw reads, splicing and half-close work, but for who it says is there.
type Conn struct {
	*net.TCPConn
	remote, local net.Addr // as the load balancer says; nil: as connected
	source        *limit.Source
	sources       *limit.Sources
	closed        atomic.Bool
}

// RemoteAddr is the client's address, as a trusted load balancer says if there
// is one in front.
func (c *Conn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.TCPConn.RemoteAddr()
}

// LocalAddr is the address the client connected to.
func (c *Conn) LocalAddr() net.Addr {
	if c.local != nil {
		return c.local
	}
	return c.TCPConn.LocalAddr()
}

// Source is what the client's address may still take; nil means no limit.
func (c *Conn) Source() *limit.Source { return c.source }

// Close closes the connection, and counts it off once.
func (c *Conn) Close() error {
	if c.closed.CompareAndSwap(false, true) && c.sources != nil {
		c.sources.Close(c.source)
	}
	return c.TCPConn.Close()
}

// SourceOf finds the Source of a connection below its wrappers: those that
// have a method of that name, or NetConn as crypto/tls has.
func SourceOf(c net.Conn) *limit.Source {
	for c != nil {
		switch v := c.(type) {
		case interface{ Source() *limit.Source }:
			return v.Source()
		case interface{ NetConn() net.Conn }:
			c = v.NetConn()
		default:
			return nil
		}
	}
	return nil
}

// Config of an Intake.
type Config struct {
	ProxyFrom []netip.Prefix // load balancers that begin every connection with a PROXY header
	Header    time.Duration  // for that header to come
	Sources   *limit.Sources // counts; required
}

// Counts are connections since the start, by what became of them.
type Counts struct {
	Taken, RefusedTotal, RefusedSource, BadHeader atomic.Uint64
}

// Intake accepts connections of any number of listeners.
type Intake struct {
	cfg    Config
	log    *slog.Logger
	Counts Counts
}

// New returns an Intake.
func New(cfg Config, log *slog.Logger) *Intake { return &Intake{cfg: cfg, log: log} }

// Serve accepts until the listener is closed, and gives each connection to
// take, which must not block. It returns nil when the listener was closed.
func (in *Intake) Serve(ctx context.Context, l net.Listener, take func(*Conn)) error {
	var reading sync.WaitGroup
	defer reading.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case passing(err):
			in.log.Warn("connection not accepted", "err", err)
			pause(ctx, 20*time.Millisecond)
			continue
		case err != nil:
			return err
		}
		tcp := c.(*net.TCPConn)
		if !in.expectsHeader(tcp) {
			in.admit(&Conn{TCPConn: tcp}, take)
			continue
		}
		reading.Go(func() { in.readHeader(ctx, tcp, take) })
	}
}

// passing are the errors of one connection, or of a shortage: no reason to
// stop accepting.
func passing(err error) bool {
	for _, e := range []error{syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (in *Intake) expectsHeader(c *net.TCPConn) bool {
	return len(in.cfg.ProxyFrom) > 0 && Within(AddrOf(c.RemoteAddr()), in.cfg.ProxyFrom)
}

func (in *Intake) readHeader(ctx context.Context, tcp *net.TCPConn, take func(*Conn)) {
	stop := context.AfterFunc(ctx, func() { tcp.SetReadDeadline(time.Unix(1, 0)) })
	tcp.SetReadDeadline(time.Now().Add(in.cfg.Header))
	h, err := proxyproto.Read(tcp)
	if !stop() || err != nil {
		in.Counts.BadHeader.Add(1)
		in.log.Debug("connection without a PROXY header", "from", tcp.RemoteAddr().String(), "err", err)
		tcp.Close()
		return
	}
	tcp.SetReadDeadline(time.Time{})
	c := &Conn{TCPConn: tcp}
	if h.Source.IsValid() {
		c.remote, c.local = net.TCPAddrFromAddrPort(h.Source), net.TCPAddrFromAddrPort(h.Destination)
	}
	in.admit(c, take)
}

// admit counts the connection, or ends it. There is no answer: the limits are
// met by floods, and an answer would cost more than the request.
func (in *Intake) admit(c *Conn, take func(*Conn)) {
	src, ok := in.Open(AddrOf(c.RemoteAddr()))
	if ok {
		c.source, c.sources = src, in.cfg.Sources
		take(c)
		return
	}
	c.SetLinger(0) // no state left behind for one of a flood
	c.TCPConn.Close()
}

// ExpectsHeaders reports whether some connections begin with a PROXY header, so
// that all must be accepted by Serve.
func (in *Intake) ExpectsHeaders() bool { return len(in.cfg.ProxyFrom) > 0 }

// Open counts a connection that was accepted elsewhere, or refuses it. One that
// it takes is given back with Close, or with the Close of its Resume.
func (in *Intake) Open(addr netip.Addr) (*limit.Source, bool) {
	src, refusal := in.cfg.Sources.Open(addr)
	switch refusal {
	case limit.TooManyConnections:
		in.Counts.RefusedTotal.Add(1)
	case limit.TooManyOfSource:
		in.Counts.RefusedSource.Add(1)
	default:
		in.Counts.Taken.Add(1)
		return src, true
	}
	return nil, false
}

// Close counts a connection off that Open has counted.
func (in *Intake) Close(src *limit.Source) { in.cfg.Sources.Close(src) }

// AddrOf returns the IP address of a TCP address.
func AddrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// Within reports whether an address lies in one of the networks.
func Within(a netip.Addr, nets []netip.Prefix) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
