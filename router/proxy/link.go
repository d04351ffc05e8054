package proxy

import (
	"net/http"
	"strings"
	"time"
)

// link is what the full path keeps for an endpoint: connections of HTTP/1.1, and
// of HTTP/2 in clear for gRPC, which has no other.
type link struct{ plain, calls *http.Transport }

func (p *Proxy) newLink() link {
	l := link{plain: p.newTransport(), calls: p.newTransport()}
	l.calls.Protocols = new(http.Protocols)
	l.calls.Protocols.SetUnencryptedHTTP2(true)
	// One connection carries many calls, and none of them may speak for long: ask.
	l.calls.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second}
	return l
}

// RoundTrip sends a request over the protocol it needs.
func (l link) RoundTrip(r *http.Request) (*http.Response, error) {
	if speaksGRPC(r) {
		return l.calls.RoundTrip(r)
	}
	return l.plain.RoundTrip(r)
}

// CloseIdleConnections closes what is idle. A connection of HTTP/2 with calls in
// flight is closed when it was idle for Config.BackendIdle.
func (l link) CloseIdleConnections() {
	l.plain.CloseIdleConnections()
	l.calls.CloseIdleConnections()
}

// speaksGRPC reports whether the request is a call of gRPC. That the client came
// over HTTP/1 (as gRPC-Web may) says that the app can be spoken to so as well.
func speaksGRPC(r *http.Request) bool {
	rest, ok := strings.CutPrefix(r.Header.Get("Content-Type"), "application/grpc")
	return ok && r.ProtoMajor >= 2 && (rest == "" || rest[0] == '+' || rest[0] == ';')
}
