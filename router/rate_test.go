package router

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/test/testenv"
)

// ways are the protocols and paths by which a request comes.
var ways = []struct {
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
}

// What one address may ask for a second holds whatever it speaks, and whichever path serves
// it; a connection more buys nothing.
func TestRouter_TheRateOfASourceHoldsOnBothPathsAndInAllProtocols(t *testing.T) {
	t.Parallel()
	const burst = 3
	for _, c := range ways {
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

// What an app's settings say holds whatever the client speaks.
func TestRouter_TheSettingsOfAnAppHoldOnBothPathsAndInAllProtocols(t *testing.T) {
	t.Parallel()
	for _, c := range ways {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLeader(t, testenv.Redis(t))
			addr := app(t, says("ok"))
			hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
			if err != nil {
				t.Fatal(err)
			}
			var changes []route.Change
			for name, s := range map[string]*model.Routing{
				"closed": {AllowFrom: []string{"10.0.0.0/8"}}, "rated": {Rate: &model.Rate{PerSecond: 0.0001, Burst: 1}},
				"small": {MaxBody: 3}, "locked": {BasicAuth: []model.BasicUser{{Name: "ann", Hash: string(hash)}}}, "moved": {Redirects: []model.Redirect{{From: "/*", To: "https://other.example/*"}}},
			} {
				changes = append(changes, ruled(name, s, addr))
			}
			l.publish(changes...)
			conf, trust := secured(t, l.c.Options().Addr, "closed.local", "rated.local", "small.local", "locked.local", "moved.local")
			conf.FastPath, conf.TLS.HTTP3 = !c.full, c.speaks == nil
			r := start(t, conf)
			l.acknowledged("r1")
			client := r.client(t, c.scheme, trust, c.speaks)
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			for _, want := range []struct {
				app    string
				status int
			}{{"closed", 403}, {"rated", 200}, {"rated", 429}, {"small", 413}, {"locked", 401}, {"moved", 302}} {
				resp, err := client.Post(c.scheme+"://"+want.app+".local/", "text/plain", strings.NewReader(strings.Repeat("x", map[bool]int{true: 4, false: 0}[want.app == "small"])))
				if status, body, err := answer(resp, err); err != nil || status != want.status {
					t.Errorf("%s: %d %.200q %v, want %d", want.app, status, body, err, want.status)
				}
			}
		})
	}
}

// ruled is a route to an app with settings.
func ruled(app string, s *model.Routing, addr string) route.Change {
	v := route.EncodeBackend(route.Backend{App: app, Settings: s, Endpoints: []route.Endpoint{{Addr: addr, Instance: "i-" + addr, Release: 3, Weight: 100}}})
	return route.Change{Key: route.BackendPrefix + app + ".local", Value: &v}
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
