package router

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/dinp/dinp/common/model"
)

// bind opens one of the router's listening sockets, shared or not.
func (r *Router) bind(name, addr string, shared bool) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if shared {
			return errors.Join(onSocket(c, reusePort), onSocket(c, boundUnsent))
		}
		return onSocket(c, boundUnsent)
	}}
	// Behind a load balancer the further connections of a multipath one would
	// come to other routers; and a listener for such makes each connection dearer.
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(addr)
		return nil, model.E(model.CodePortTaken, "port %s of the router's %s address %s is in use", port, name, addr).
			WithNext("stop what uses port %s, or give the router another %s address", port, name).WithCause(err)
	}
	if err != nil {
		return nil, fmt.Errorf("router %s address: %w", name, err)
	}
	return l, nil
}

// socket is a listening socket that somebody accepts at.
type socket interface {
	Control(do func(fd uintptr)) error
}

func onSocket(c socket, do func(fd int) error) error {
	var failure error
	err := c.Control(func(fd uintptr) { failure = do(int(fd)) })
	return errors.Join(err, failure)
}

// maxUnsent is what a connection may hold in the kernel of an answer that its
// client has not begun to take. The kernel's own bound is that of net.ipv4.tcp_wmem, some
// 4 MiB, on the memory of all: 500 clients that read nothing would have 500 times that.
// What is on its way to a client does not count, so nobody gets his answer later.
const maxUnsent = 128 << 10

// boundUnsent bounds it for all connections that the listening socket accepts:
// they inherit it.
func boundUnsent(fd int) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
}

func reusePort(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

// sendElsewhere makes the kernel give new connections of a shared port to the
// router that has come to take over. Without it, those that wait in our queue
// when we close it would be reset.
//
// The sockets of a port are numbered in the order of their binding, and when
// one closes the last takes its number. So of two the one that leaves has
// number 0, and the program says: always number 1. Where there is no number 1,
// the kernel ignores the answer: a router without a successor keeps its
// connections. See setsockopt SO_ATTACH_REUSEPORT_CBPF in socket(7).
func sendElsewhere(s socket) error {
	always1 := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1}}
	program := unix.SockFprog{Len: uint16(len(always1)), Filter: &always1[0]}
	return onSocket(s, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &program)
	})
}

// doors are the traffic sockets, each as who accepts there knows it.
func (r *Router) doors() (all []socket) {
	for _, l := range []net.Listener{r.traffic, r.secure} {
		if l == r.traffic && r.straight {
			all = append(all, r.engine)
			continue
		}
		if tcp, ok := l.(*net.TCPListener); ok {
			if c, err := tcp.SyscallConn(); err == nil {
				all = append(all, c)
			}
		}
	}
	return all
}

// fileLimit is how many connections the process can hold, given that most take
// a second one to an app, and something must be left for the rest.
func fileLimit() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil || l.Cur > 1<<24 {
		return 1 << 23
	}
	return int(l.Cur-min(l.Cur, 64)) / 2
}
