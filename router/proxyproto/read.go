package proxyproto

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// Read takes the header off the front of a connection, and not a byte more: it
// looks before it reads, so that whoever reads next finds the stream as the
// client sent it. The connection's read deadline bounds the wait.
func Read(c *net.TCPConn) (Header, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Header{}, err
	}
	var buf [MaxBytes]byte
	var h Header
	var size int
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), buf[:], syscall.MSG_PEEK)
		switch {
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
			return false
		case err != nil:
			failure = err
			return true
		case n == 0:
			failure = io.ErrUnexpectedEOF
			return true
		}
		h, size, failure = Parse(buf[:n])
		return failure != ErrShort // more bytes wake us again
	})
	if err = errors.Join(err, failure); err != nil {
		return Header{}, err
	}
	_, err = io.ReadFull(c, buf[:size])
	return h, err
}
