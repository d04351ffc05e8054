//go:build linux

package fast

import (
	"math/rand/v2"
	"net/netip"
	"unsafe"

	"github.com/dinp/dinp/router/http1"
	"github.com/dinp/dinp/router/proxy"
)

// view is b as a string, for as long as nobody writes to b.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// trusts reports whether an address is that of a trusted proxy.
func (e *Engine) trusts(a netip.Addr) bool {
	for _, n := range e.cfg.TrustedProxies {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// added is as many bytes as the router's own lines take, but for the host that
// the client names; a few more only cost another buffer.
const added = 320

// rewrite makes the head for the endpoint out of the client's, which stands
// parsed in l.req, with room for the first of the body. What the router adds it replaces: a stranger cannot say it.
func (x *exchange) rewrite(b []byte, trusted bool) {
	r, c := &x.l.req, x.c
	h := r.AppendHead(x.l.spare.take(r.Size+len(r.Host)+added+min(len(b)-r.Size, smallBuffer)), b, trusted)
	x.method = span{0, len(r.Method)}
	x.path = span{len(r.Method) + 1, len(r.Method) + 1 + pathLength(r.Target)}
	method := view(r.Method)
	x.bodiless = method == "HEAD"
	x.idempotent = r.Body == http1.NoBody && proxy.Idempotent(method)
	x.closes = r.Close
	if r.Body == http1.Chunked {
		h = append(h, "Transfer-Encoding: chunked\r\n"...)
	}
	source, proto, host := c.addr, c.scheme(), r.Host
	h = append(h, "X-Forwarded-For: "...)
	if trusted {
		source = x.l.e.source(c.addr, r.ForwardedFor)
		proto, host = first(r.ForwardedProto, proto), first(r.ForwardedHost, host)
		if r.ForwardedFor != nil {
			h = append(append(h, r.ForwardedFor...), ", "...)
		}
	}
	h = c.addr.AppendTo(h)
	h = append(append(h, "\r\nX-Forwarded-Proto: "...), proto...)
	h = append(append(h, "\r\nX-Forwarded-Host: "...), host...)
	h = append(h, "\r\nX-Real-Ip: "...)
	x.client.from = len(h)
	h = source.AppendTo(h)
	x.client.to = len(h)
	h = append(h, "\r\nX-Request-Id: "...)
	x.id.from = len(h)
	if proxy.HarmlessID(view(r.RequestID)) {
		h = append(h, r.RequestID...)
	} else {
		h = appendID(h)
	}
	x.id.to = len(h)
	if trusted && r.Forwarded {
		h = proxy.AppendHop(append(h, "\r\nForwarded: "...), c.addr, c.secure != nil)
	}
	h = append(h, "\r\n\r\n"...)
	x.head, x.headSize = h, len(h)
}

func (c *client) scheme() []byte {
	if c.secure != nil {
		return []byte("https")
	}
	return []byte("http")
}

func first(a, b []byte) []byte {
	if len(a) > 0 {
		return a
	}
	return b
}

// source is who sent the request as far as proxies are trusted: the hops read
// from the right up to the first that is not trusted.
func (e *Engine) source(peer netip.Addr, hops []byte) netip.Addr {
	for e.trusts(peer) && len(hops) > 0 {
		i := len(hops)
		for i > 0 && hops[i-1] != ',' {
			i--
		}
		a, err := netip.ParseAddr(view(trim(hops[i:])))
		if err != nil {
			break
		}
		peer, hops = a.Unmap(), hops[:max(i-1, 0)]
	}
	return peer
}

func trim(b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' || len(b) > 0 && b[0] == '\t' {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func pathLength(target []byte) int {
	for i, c := range target {
		if c == '?' {
			return i
		}
	}
	return len(target)
}

// appendID appends 26 characters of 130 random bits' alphabet, like
// crypto/rand.Text: ids must not meet, they keep no secret.
func appendID(dst []byte) []byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	for range 2 {
		n := rand.Uint64()
		for range 13 {
			dst = append(dst, alphabet[n&31])
			n >>= 5
		}
	}
	return dst
}
