package intake

import (
	"net"

	"github.com/dinp/dinp/router/limit"
)

// Visitor is who is at the other end of a connection.
type Visitor struct {
	Source        *limit.Source // nil: no limit
	Remote, Local net.Addr      // as a load balancer says; nil: as connected
}

// Visitor returns who is there.
func (c *Conn) Visitor() Visitor { return Visitor{c.source, c.remote, c.local} }

// Resumed is a connection of which something was read before it came to its
// reader. It hides the TCP connection, whose shortcuts for copying would pass
// by what was read.
type Resumed struct {
	net.Conn
	inner *Conn
	read  []byte
}

// Resume makes a connection that Open or Serve has counted into one whose Read
// returns first what was read of it.
func (in *Intake) Resume(tcp *net.TCPConn, v Visitor, read []byte) *Resumed {
	c := &Conn{TCPConn: tcp, remote: v.Remote, local: v.Local, source: v.Source, sources: in.cfg.Sources}
	return &Resumed{Conn: c, inner: c, read: read}
}

// Read returns what was read before, then what comes.
func (r *Resumed) Read(b []byte) (int, error) {
	if len(r.read) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.read)
	if r.read = r.read[n:]; len(r.read) == 0 {
		r.read = nil
	}
	return n, nil
}

// CloseWrite ends the stream to the client.
func (r *Resumed) CloseWrite() error { return r.inner.CloseWrite() }

// Source is what the client's address may still take; nil means no limit.
func (r *Resumed) Source() *limit.Source { return r.inner.source }
