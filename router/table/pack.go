package table

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/dinp/dinp/common/route"
)

// packed are endpoints one after the other in as few bytes as can be: a million
// of them as structs of strings would take more than all the rest of a router.
// An ordinary one, at an IPv4 address and with a UUID, takes 26 bytes. Equal
// endpoints have equal bytes, so that comparing sets is comparing strings.
type packed string

// The bits of an endpoint's first byte say what is in its short form.
const (
	shortAddr     = 1 << iota // IPv4: 4 bytes and 2 of the port
	shortInstance             // UUID: 16 bytes
)

const ipv4Bytes, uuidBytes, uuidText = 6, 16, 36

func pack(list []route.Endpoint) packed {
	var b []byte
	for _, e := range list {
		b = packOne(b, e)
	}
	return packed(b)
}

func packOne(b []byte, e route.Endpoint) []byte {
	at := len(b)
	b = append(b, 0)
	if ap, err := netip.ParseAddrPort(e.Addr); err == nil && ap.Addr().Is4() && ap.String() == e.Addr {
		b[at] |= shortAddr
		ip := ap.Addr().As4()
		b = binary.BigEndian.AppendUint16(append(b, ip[:]...), ap.Port())
	} else {
		b = appendText(b, e.Addr)
	}
	if id, ok := uuidOf(e.Instance); ok {
		b[at] |= shortInstance
		b = append(b, id[:]...)
	} else {
		b = appendText(b, e.Instance)
	}
	b = binary.AppendVarint(b, int64(e.Release))
	return binary.AppendUvarint(b, uint64(e.Weight))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// uuidOf reads the text form that textOf writes, and no other.
func uuidOf(s string) (id [uuidBytes]byte, ok bool) {
	if len(s) != uuidText || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:]))
	return id, err == nil && textOf(string(id[:])) == s
}

func textOf(id string) string {
	h := hex.EncodeToString([]byte(id))
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// unpack returns what pack was given; nothing is never nil, so that equal
// tables have equal bytes on disk.
func (p packed) unpack() []route.Endpoint {
	out := []route.Endpoint{}
	for len(p) > 0 {
		var e route.Endpoint
		form := p[0]
		p = p[1:]
		if form&shortAddr != 0 {
			ip := netip.AddrFrom4([4]byte([]byte(p[:4])))
			e.Addr = netip.AddrPortFrom(ip, uint16(p[4])<<8|uint16(p[5])).String()
			p = p[ipv4Bytes:]
		} else {
			e.Addr, p = p.text()
		}
		if form&shortInstance != 0 {
			e.Instance, p = textOf(string(p[:uuidBytes])), p[uuidBytes:]
		} else {
			e.Instance, p = p.text()
		}
		release, n := binary.Varint([]byte(p[:min(len(p), binary.MaxVarintLen64)]))
		p = p[n:]
		weight, n := binary.Uvarint([]byte(p[:min(len(p), binary.MaxVarintLen64)]))
		p = p[n:]
		e.Release, e.Weight = int(release), int(weight)
		out = append(out, e)
	}
	return out
}

func (p packed) text() (string, packed) {
	size, n := binary.Uvarint([]byte(p[:min(len(p), binary.MaxVarintLen64)]))
	p = p[n:]
	return string(p[:size]), p[size:]
}
