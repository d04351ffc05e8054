//go:build linux

package fast

import (
	"bytes"
	"net"
	"os"
)

// handOver gives the connection and what was read of it to the full path.
func (c *client) handOver(b []byte) {
	l, fd, visitor, s, read := c.l, c.fd, c.visitor, c.secure, bytes.Clone(b)
	l.forget(&c.conn)
	l.unwatch(fd)
	l.crowd.Add(-1)
	c.forgetSaved()
	l.e.wg.Go(func() {
		defer l.e.leftUs()
		tcp := tcpConn(fd)
		if tcp == nil {
			l.e.cfg.Intake.Close(visitor.Source)
			return
		}
		if s != nil {
			l.e.cfg.HandOver(s.reopen(l.e.cfg.Intake.Resume(tcp, visitor, nil), read))
			return
		}
		l.e.cfg.HandOver(l.e.cfg.Intake.Resume(tcp, visitor, read))
	})
}

// tcpConn makes a connection of the standard library out of a descriptor, which
// it takes over; nil when the client has gone meanwhile.
func tcpConn(fd int32) *net.TCPConn {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		c.Close()
		return nil
	}
	return tcp
}
