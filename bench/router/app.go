package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
)

// serveApps serves at all of the addresses until one fails.
func serveApps(addrs []string) error {
	failed := make(chan error, len(addrs))
	for _, a := range addrs {
		l, err := net.Listen("tcp", a)
		if err != nil {
			return err
		}
		go func() { failed <- serveApp(l) }()
	}
	return <-failed
}

// serveApp answers everything on l as cheaply as a goroutine a connection can:
// the bench measures what stands in front of it. /64k has a body of 64 KiB,
// everything else one of 13 bytes. X-App says which app it is. It trusts its clients, which are proxies.
func serveApp(l net.Listener) error {
	small, large := answer(l.Addr().String(), 13), answer(l.Addr().String(), 64<<10)
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			var r requests
			for {
				big, err := r.next(c)
				if err != nil {
					return
				}
				b := small
				if big {
					b = large
				}
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}()
	}
}

func answer(addr string, size int) []byte {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-App: %s\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", addr, size)
	return append([]byte(head), bytes.Repeat([]byte("x"), size)...)
}

// requests reads one connection's requests.
type requests struct {
	buf  [128 << 10]byte // more than any proxy lets through
	have int
}

// next reads a request to its end, and reports whether it wants the large answer.
func (r *requests) next(c net.Conn) (large bool, err error) {
	for {
		if end := bytes.Index(r.buf[:r.have], []byte("\r\n\r\n")); end >= 0 {
			size := end + 4 + bodyLength(r.buf[:end])
			for r.have < size {
				if err := r.more(c); err != nil {
					return false, err
				}
			}
			large = bytes.HasPrefix(r.buf[:end], []byte("GET /64k"))
			r.have = copy(r.buf[:], r.buf[size:r.have])
			return large, nil
		}
		if err := r.more(c); err != nil {
			return false, err
		}
	}
}

func (r *requests) more(c net.Conn) error {
	if r.have == len(r.buf) {
		return io.ErrShortBuffer
	}
	n, err := c.Read(r.buf[r.have:])
	r.have += n
	return err
}

func bodyLength(head []byte) int {
	_, rest, found := bytes.Cut(head, []byte("\r\nContent-Length: "))
	if !found {
		_, rest, found = bytes.Cut(head, []byte("\r\ncontent-length: "))
	}
	if !found {
		return 0
	}
	digits, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, _ := strconv.Atoi(string(digits))
	return n
}
