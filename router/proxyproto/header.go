// Package proxyproto reads the header of the PROXY protocol, versions 1 and 2,
// by which a load balancer in front tells who is really connected. It follows
// HAProxy's specification "The PROXY protocol, versions 1 & 2" of 2020, and
// takes nothing that the specification does not allow: a header is a claim of
// identity, and a lenient reader of claims can be talked into anything.
package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Header is what a load balancer says of a connection.
type Header struct {
	// Source and Destination are the ends as the load balancer saw them. Both
	// are zero when it speaks for itself (a health check) or for a client that
	// has no address of the Internet: then the connected address counts.
	Source, Destination netip.AddrPort
}

// MaxBytes is the longest header Parse takes. Version 2 may carry further
// values (TLVs); those of load balancers in use stay far below.
const MaxBytes = 2048

// ErrShort says that the bytes are the beginning of a header, and no more.
var ErrShort = errors.New("PROXY header is incomplete")

// errNone says that there is no header where one must be.
var errNone = errors.New("no PROXY header")

const (
	prefixV1 = "PROXY "
	maxV1    = 107 // with its CRLF, says the specification
	headV2   = 16  // signature, command, family, length
)

var signatureV2 = []byte("\r\n\r\n\x00\r\nQUIT\n")

// Parse reads the header at the beginning of b and returns how many bytes it
// takes. The error is ErrShort as long as more bytes could complete it.
func Parse(b []byte) (Header, int, error) {
	switch {
	case agrees(b, signatureV2):
		return parseV2(b)
	case agrees(b, []byte(prefixV1)):
		return parseV1(b)
	}
	return Header{}, 0, errNone
}

// agrees reports whether b begins with want, as far as it goes.
func agrees(b, want []byte) bool {
	n := min(len(b), len(want))
	return bytes.Equal(b[:n], want[:n])
}

func parseV1(b []byte) (Header, int, error) {
	end := bytes.Index(b[:min(len(b), maxV1)], []byte("\r\n"))
	if end < 0 && len(b) < maxV1 {
		return Header{}, 0, ErrShort
	}
	if end < 0 {
		return Header{}, 0, fmt.Errorf("PROXY header of version 1 has no end within %d bytes", maxV1)
	}
	if end < len(prefixV1) {
		return Header{}, 0, errNone
	}
	h, err := parseLine(string(b[len(prefixV1):end]))
	return h, end + 2, err
}

// parseLine reads what follows "PROXY ": a family, and for TCP two addresses
// and two ports, one blank between each.
func parseLine(line string) (Header, error) {
	if line == "UNKNOWN" || strings.HasPrefix(line, "UNKNOWN ") {
		return Header{}, nil
	}
	f := strings.Split(line, " ")
	if len(f) != 5 || f[0] != "TCP4" && f[0] != "TCP6" {
		return Header{}, fmt.Errorf("PROXY header %q is no line of version 1", line)
	}
	source, err := endpoint(f[1], f[3], f[0] == "TCP4")
	if err != nil {
		return Header{}, err
	}
	destination, err := endpoint(f[2], f[4], f[0] == "TCP4")
	return Header{source, destination}, err
}

func endpoint(addr, port string, v4 bool) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(addr)
	if err == nil && (a.Is4() != v4 || a.Zone() != "") {
		err = fmt.Errorf("%s is not of the family announced", addr)
	}
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("PROXY header: %w", err)
	}
	n := 0
	for i := range len(port) {
		c := port[i]
		if c < '0' || c > '9' || len(port) > 5 || i > 0 && port[0] == '0' {
			return netip.AddrPort{}, fmt.Errorf("PROXY header: %q is no port", port)
		}
		n = n*10 + int(c-'0')
	}
	if port == "" || n > 65535 {
		return netip.AddrPort{}, fmt.Errorf("PROXY header: %q is no port", port)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

// The commands and families of version 2.
const (
	versionMask, version2    = 0xF0, 0x20
	commandLocal, commandFor = 0x00, 0x01
	familyTCP4, familyTCP6   = 0x11, 0x21
)

func parseV2(b []byte) (Header, int, error) {
	if len(b) < headV2 {
		return Header{}, 0, ErrShort
	}
	if b[12]&versionMask != version2 {
		return Header{}, 0, fmt.Errorf("PROXY header has version %d, 1 and 2 are known", b[12]>>4)
	}
	n := headV2 + int(binary.BigEndian.Uint16(b[14:]))
	if n > MaxBytes {
		return Header{}, 0, fmt.Errorf("PROXY header takes %d bytes, at most %d are allowed", n, MaxBytes)
	}
	if len(b) < n {
		return Header{}, 0, ErrShort
	}
	h, err := addresses(b[12]&^versionMask, b[13], b[headV2:n])
	return h, n, err
}

func addresses(command, family byte, b []byte) (Header, error) {
	switch {
	case command == commandLocal:
		return Header{}, nil
	case command != commandFor:
		return Header{}, fmt.Errorf("PROXY header has the unknown command %d", command)
	case family == familyTCP4 && len(b) >= 12:
		return pair(b, 4), nil
	case family == familyTCP6 && len(b) >= 36:
		return pair(b, 16), nil
	case family == familyTCP4 || family == familyTCP6:
		return Header{}, fmt.Errorf("PROXY header of family %#x has only %d bytes of addresses", family, len(b))
	}
	return Header{}, nil // UNSPEC, UDP, UNIX: nothing that HTTP could use
}

// pair reads two addresses of size bytes, and two ports.
func pair(b []byte, size int) Header {
	source, _ := netip.AddrFromSlice(b[:size])
	destination, _ := netip.AddrFromSlice(b[size : 2*size])
	ports := b[2*size:]
	return Header{
		netip.AddrPortFrom(source.Unmap(), binary.BigEndian.Uint16(ports)),
		netip.AddrPortFrom(destination.Unmap(), binary.BigEndian.Uint16(ports[2:])),
	}
}
