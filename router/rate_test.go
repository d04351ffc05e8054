package router

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/dinp/dinp/test/testenv"
)

// What one address may ask for a second holds whatever it speaks, and whichever path serves
// it; a connection more buys nothing.
func TestRouter_TheRateOfASourceHoldsOnBothPathsAndInAllProtocols(t *testing.T) {
	t.Parallel()
	const burst = 3
	for _, c := range []struct {
		name   string
		full   bool // the full path alone
		scheme string
		speaks func(*http.Protocols) // nil: HTTP/3
	}{
		{"HTTP/1.1, fast", false, "http", http1},
		{"HTTP/1.1, full", true, "http", http1},
		{"HTTP/1.1 in TLS, fast", false, "https", http1},
		{"HTTP/1.1 in TLS, full", true, "https", http1},
		{"HTTP/2 in TLS", false, "https", http2},
		{"HTTP/2 in clear", false, "http", h2c},
		{"HTTP/3", false, "https", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLeader(t, testenv.Redis(t))
			l.publish(shop(app(t, says("ok"))))
			conf, trust := secured(t, l.c.Options().Addr, "shop.local")
			conf.FastPath, conf.TLS.HTTP3 = !c.full, c.speaks == nil
			conf.Limits.Except, conf.Limits.SourceRequests, conf.Limits.SourceBurst = nil, 0.0001, burst
			r := start(t, conf)
			l.acknowledged("r1")
			for n := range 2 * burst {
				resp, err := r.client(t, c.scheme, trust, c.speaks).Get(c.scheme + "://shop.local/")
				status, body, err := answer(resp, err)
				want := http.StatusOK
				if n >= burst {
					want = http.StatusTooManyRequests
				}
				if err != nil || status != want {
					t.Errorf("request %d: %d %.200q %v, want %d", n+1, status, body, err, want)
				}
			}
		})
	}
}

// client speaks one protocol to r over a connection of its own; nil: HTTP/3.
func (r *running) client(t *testing.T, scheme string, trust *tls.Config, speaks func(*http.Protocols)) *http.Client {
	switch {
	case speaks == nil:
		return quicClient(t, r, trust)
	case scheme == "https":
		return client(t, r.TLSAddr(), trust, speaks)
	}
	return client(t, r.Addr(), trust, speaks)
}
