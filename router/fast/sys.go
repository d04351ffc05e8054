//go:build linux

package fast

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"unsafe"
)

// The system calls of a loop. Those that never block are raw: they need not
// tell the scheduler, which saves a tenth of a microsecond each.

const (
	epollET        = 1 << 31
	epollExclusive = 1 << 28
)

// sysRead reads from a socket. recv takes the straight way there: read goes by
// way of all that files may be, which costs a tenth of a small request.
func sysRead(fd int32, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0)
	return int(n), e
}

// sysWrite sends without SIGPIPE being raised for the process.
func sysWrite(fd int32, b []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
	return int(n), e
}

// sysWritev sends several parts as one.
func sysWritev(fd int32, parts []syscall.Iovec) (int, syscall.Errno) {
	m := syscall.Msghdr{Iov: &parts[0], Iovlen: uint64(len(parts))}
	n, _, e := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&m)), syscall.MSG_NOSIGNAL)
	return int(n), e
}

// sysEpollWait returns what has happened, without waiting.
func sysEpollWait(ep int, events []syscall.EpollEvent) int {
	n, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

// sysWake makes an eventfd readable; sysCalm, unreadable. Neither has anything to wait for.
func sysWake(fd int32) {
	one := uint64(1)
	syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one))
}

func sysCalm(fd int32) {
	var n uint64
	syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&n)), unsafe.Sizeof(n))
}

func sysClose(fd int32) { syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) }

// sysAccept returns a non-blocking connection and its peer.
func sysAccept(fd int32) (int32, netip.Addr, syscall.Errno) {
	var sa syscall.RawSockaddrAny
	size := uint32(syscall.SizeofSockaddrAny)
	n, _, e := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)),
		syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
	if e != 0 {
		return -1, netip.Addr{}, e
	}
	return int32(n), addrOf(&sa), 0
}

func addrOf(sa *syscall.RawSockaddrAny) netip.Addr {
	switch sa.Addr.Family {
	case syscall.AF_INET:
		return netip.AddrFrom4((*syscall.RawSockaddrInet4)(unsafe.Pointer(sa)).Addr)
	case syscall.AF_INET6:
		return netip.AddrFrom16((*syscall.RawSockaddrInet6)(unsafe.Pointer(sa)).Addr).Unmap()
	}
	return netip.Addr{}
}

// sysConnect begins a connection. EINPROGRESS is no failure.
func sysConnect(to netip.AddrPort) (int32, error) {
	family := syscall.AF_INET
	var sa syscall.Sockaddr = &syscall.SockaddrInet4{Addr: [4]byte{}, Port: int(to.Port())}
	if a := to.Addr().Unmap(); a.Is4() {
		sa.(*syscall.SockaddrInet4).Addr = a.As4()
	} else {
		family = syscall.AF_INET6
		sa = &syscall.SockaddrInet6{Addr: a.As16(), Port: int(to.Port())}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if err := syscall.Connect(fd, sa); err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		sysClose(int32(fd))
		return -1, err
	}
	return int32(fd), nil
}

// connectError is how a connection that began has ended.
func connectError(fd int32) error {
	n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	if err == nil && n != 0 {
		err = syscall.Errno(n)
	}
	return err
}

// listenerFD duplicates a listener's socket. Accepted connections inherit its options.
func listenerFD(l *net.TCPListener) (int32, error) {
	fd, err := duplicate(l)
	if err != nil {
		return -1, err
	}
	syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
	return fd, nil
}

// duplicate returns another descriptor of the same socket, which the runtime's
// poller does not know.
func duplicate(c syscall.Conn) (fd int32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	ctl := raw.Control(func(s uintptr) {
		n, _, e := syscall.Syscall(syscall.SYS_FCNTL, s, syscall.F_DUPFD_CLOEXEC, 0)
		if e != 0 {
			err = e
			return
		}
		fd = int32(n)
	})
	return fd, errors.Join(err, ctl)
}

func (l *loop) unwatch(fd int32) {
	syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_DEL, int(fd), &syscall.EpollEvent{})
}

func sysShutdown(fd int32) { syscall.RawSyscall(syscall.SYS_SHUTDOWN, uintptr(fd), syscall.SHUT_WR, 0) }

// again reports whether a call would have had to wait.
func again(e syscall.Errno) bool { return e == syscall.EAGAIN || e == syscall.EINTR }

func vector(b []byte) syscall.Iovec {
	v := syscall.Iovec{Base: unsafe.SliceData(b)}
	v.SetLen(len(b))
	return v
}
