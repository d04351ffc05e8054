package proxy

import (
	"crypto/rand"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"strings"

	"github.com/dinp/dinp/router/http1"
)

// Headers the router sets; a visitor's are believed from trusted proxies only.
const (
	headerForwarded      = "Forwarded"
	headerForwardedFor   = "X-Forwarded-For"
	headerForwardedProto = "X-Forwarded-Proto"
	headerForwardedHost  = "X-Forwarded-Host"
	headerRealIP         = "X-Real-Ip"
	headerRequestID      = "X-Request-Id"
)

// rewrite makes the request for the app out of the client's. ReverseProxy has
// removed the hop-by-hop headers and the forwarding headers already, and keeps
// the Host as long as nobody calls SetURL.
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	in, out, x := pr.In, pr.Out, exchangeOf(pr.In)
	out.URL.Scheme = "http" // the host is the endpoint's, set per attempt
	out.URL.User = nil
	out.URL.RawQuery = in.URL.RawQuery // ReverseProxy drops what it cannot parse
	exactPath(out, in)
	// One map for both: the server fills it when it has read the body, and
	// the transport then writes it. A copy would stay empty.
	out.Trailer = in.Trailer
	forwarded(out.Header, in, x)
	out.Header.Set(headerRequestID, x.RequestID)
}

func forwarded(h http.Header, in *http.Request, x *exchange) {
	proto := "http"
	if in.TLS != nil {
		proto = "https"
	}
	dropPosing(h)
	host, chain := in.Host, x.peer.String()
	if x.trusted {
		proto = first(in.Header.Get(headerForwardedProto), proto)
		host = first(in.Header.Get(headerForwardedHost), host)
		if prior := in.Header.Values(headerForwardedFor); len(prior) > 0 {
			chain = strings.Join(prior, ", ") + ", " + chain
		}
		if prior := in.Header.Values(headerForwarded); len(prior) > 0 {
			h[headerForwarded] = append(slices.Clone(prior), string(AppendHop(nil, x.peer, in.TLS != nil)))
		}
	} else {
		dropForwarded(h)
	}
	h.Set(headerForwardedFor, chain)
	h.Set(headerForwardedProto, proto)
	h.Set(headerForwardedHost, host)
	h.Set(headerRealIP, x.client.String())
}

// AppendHop appends the element of Forwarded (RFC 7239, 4) that tells of the
// connection from addr. It is said behind what a trusted proxy has said, and not
// on its own: apps know X-Forwarded-For.
func AppendHop(dst []byte, addr netip.Addr, secure bool) []byte {
	dst = append(dst, "for="...)
	if addr.Is4() {
		dst = addr.AppendTo(dst)
	} else {
		dst = append(addr.AppendTo(append(dst, `"[`...)), `]"`...)
	}
	if secure {
		return append(dst, ";proto=https"...)
	}
	return append(dst, ";proto=http"...)
}

// dropPosing removes what an app might take for a field of ours, whoever sends it.
func dropPosing(h http.Header) {
	for k := range h {
		if http1.Poses(k) {
			delete(h, k)
		}
	}
}

// dropForwarded removes also the members of the family that nobody standardised.
func dropForwarded(h http.Header) {
	for k := range h {
		if strings.HasPrefix(k, "X-Forwarded-") {
			delete(h, k)
		}
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// identify finds who is asking: the connected address, or what trusted proxies
// say, read from the right up to the first that is not trusted.
func (x *exchange) identify(trusted []netip.Prefix) {
	ap, _ := netip.ParseAddrPort(x.r.RemoteAddr)
	x.peer = ap.Addr().Unmap()
	x.client = x.peer
	x.trusted = within(x.peer, trusted)
	if x.trusted {
		hops := strings.Split(strings.Join(x.r.Header.Values(headerForwardedFor), ","), ",")
		for i := len(hops) - 1; i >= 0 && within(x.client, trusted); i-- {
			a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
			if err != nil {
				break
			}
			x.client = a.Unmap()
		}
	}
	x.Client = x.client.String()
}

func within(a netip.Addr, nets []netip.Prefix) bool {
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// maxRequestID bounds what a client may put into every log of the app.
const maxRequestID = 128

// requestID keeps the client's id when it is harmless, and makes one otherwise.
func requestID(given string) string {
	if HarmlessID(given) {
		return given
	}
	return rand.Text()
}

// HarmlessID reports whether a client's request id may go into every log.
func HarmlessID(given string) bool {
	if given == "" || len(given) > maxRequestID {
		return false
	}
	for i := range len(given) {
		c := given[i]
		ok := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.:/+=@", c) >= 0
		if !ok {
			return false
		}
	}
	return true
}

func isUpgrade(r *http.Request) bool {
	return r.Header.Get("Upgrade") != ""
}

// dropH2C removes the offer to change to clear-text HTTP/2. Passed on, an app
// that accepts would open a tunnel in which later requests escape every rule.
func dropH2C(h http.Header) {
	if strings.Contains(strings.ToLower(h.Get("Upgrade")), "h2c") {
		h.Del("Upgrade")
		h.Del("Http2-Settings")
	}
}
