package proxy

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/router/balance"
	"github.com/dinp/dinp/router/gate"
	"github.com/dinp/dinp/router/rules"
)

// byRules applies what the app's settings say before anything is sent to it.
// The order matters: who may not come is told nothing else; a password is never
// asked for in clear when the app wants HTTPS; rates come before passwords,
// whose comparison is dear.
func (p *Proxy) byRules(x *exchange, r *http.Request) *refusal {
	if x.rules == nil {
		return nil
	}
	f := x.facts(r)
	if !x.rules.Admits(f.Client) {
		return &notFromHere
	}
	if to := x.rules.ToHTTPS(f, p.cfg.HTTPSPort()); to != "" {
		return &refusal{status: http.StatusPermanentRedirect, why: "https_redirect", location: to}
	}
	if to, status := x.rules.Redirect(f); to != "" {
		return &refusal{status: status, why: "redirect", location: to}
	}
	x.gate = p.gates.Of(x.appHost)
	if why, wait := x.gate.Rate(x.rules, f.Client, p.set.Now()); why != "" {
		return limited(why, wait)
	}
	if f := p.login(x, r); f != nil {
		return f
	}
	return x.enter(r)
}

// facts are what the rules judge by.
func (x *exchange) facts(r *http.Request) rules.Facts {
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	if x.trusted {
		proto = first(r.Header.Get(headerForwardedProto), proto)
	}
	return rules.Facts{Host: x.host, Path: targetPath(r), Query: r.URL.RawQuery, Secure: proto == "https", Client: x.client}
}

func limited(why gate.Refusal, wait time.Duration) *refusal {
	out := rateLimited
	out.why = string(why)
	out.retryAfter = strconv.Itoa(int(math.Ceil(wait.Seconds())))
	return &out
}

// login asks for a name and a password where the app wants one.
func (p *Proxy) login(x *exchange, r *http.Request) *refusal {
	if !x.rules.AsksLogin() {
		return nil
	}
	user, password, given := r.BasicAuth()
	if !given {
		return x.needsLogin("no_login")
	}
	hash, known := x.rules.Hash(user)
	ok, err := p.passwords.Matches(r.Context(), hash, password)
	switch {
	case errors.Is(err, gate.ErrBusy):
		return &tooBusy
	case err != nil:
		return x.needsLogin(WhyClientGone)
	case !ok || !known:
		return x.needsLogin("wrong_login")
	}
	// The app has its own idea of users, and ours is not its business.
	r.Header.Del("Authorization")
	return nil
}

func (x *exchange) needsLogin(why string) *refusal {
	out := needsLogin
	out.why, out.challenge = why, fmt.Sprintf("Basic realm=%q, charset=\"UTF-8\"", x.App)
	return &out
}

// enter applies the limits of requests at once and of the body.
func (x *exchange) enter(r *http.Request) *refusal {
	most := x.rules.MaxBody
	if most > 0 && r.ContentLength > most {
		return &bodyTooLarge
	}
	if x.gate.Enter(x.rules) != "" {
		return &tooBusy
	}
	x.entered = true
	if most > 0 && r.Body != nil && r.Body != http.NoBody {
		r.Body = &limitedBody{ReadCloser: r.Body, left: most}
	}
	return nil
}

// errBodyTooLarge ends a body that is past its limit.
var errBodyTooLarge = errors.New("body past the app's limit")

// limitedBody fails where a body goes past its limit.
type limitedBody struct {
	io.ReadCloser
	left int64
}

// Read reads up to one byte past the limit, to tell its end from more.
func (b *limitedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errBodyTooLarge
	}
	return n, err
}

// ask is what the choice of an endpoint depends on.
func (x *exchange) ask() balance.Ask {
	var a balance.Ask
	if x.rules == nil {
		return a
	}
	if name, sticky := x.rules.SessionCookie(); sticky {
		a.Prefer = x.session(name)
	}
	header, cookie := x.rules.KeyOf()
	key := ""
	if header != "" {
		key = x.r.Header.Get(header)
	} else if cookie != "" {
		key = cookieOf(x.r, cookie)
	}
	if key != "" {
		a.Key, a.Keyed = balance.HashKey(key), true
	}
	return a
}

func cookieOf(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// page returns the app's own page for a refusal, filled in.
func (x *exchange) page(p page, message string) string {
	own := x.rules.Page(p.Code)
	if own == "" {
		return ""
	}
	return fillPage(own, map[string]string{
		"{code}": string(p.Code), "{title}": p.Title, "{message}": message, "{next}": p.Next, "{request_id}": p.RequestID,
	})
}

// ownRefusals are the answers that an app's settings call for.
var (
	notFromHere  = refusal{code: model.CodeNotFromHere, status: http.StatusForbidden, why: "allow_from"}
	needsLogin   = refusal{code: model.CodeNeedsLogin, status: http.StatusUnauthorized}
	rateLimited  = refusal{code: model.CodeRateLimited, status: http.StatusTooManyRequests}
	tooBusy      = refusal{code: model.CodeTooBusy, status: http.StatusServiceUnavailable, why: "in_flight", retryAfter: "1"}
	bodyTooLarge = refusal{code: model.CodeBodyTooLarge, status: http.StatusRequestEntityTooLarge, why: "max_body", last: true}
)
