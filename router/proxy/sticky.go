package proxy

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/dinp/dinp/router/balance"
)

// session returns the endpoint that the client's session lives at: what our
// cookie says, as long as a session cookie of the app comes with it.
func (x *exchange) session(name string) balance.Token {
	token, err := strconv.ParseUint(cookieOf(x.r, name), 16, 64)
	if err != nil {
		return 0
	}
	for _, c := range x.rules.Sticky {
		if cookieOf(x.r, c) != "" {
			return balance.Token(token)
		}
	}
	return 0
}

// stick sends our cookie along when the app opens a session, and when a session
// moved because its instance is gone. It names an instance by a hash.
func (x *exchange) stick(resp *http.Response) {
	name, sticky := x.rules.SessionCookie()
	if !sticky || x.at.Endpoint == nil {
		return
	}
	opened := false
	for _, c := range resp.Cookies() {
		opened = opened || x.rules.IsSession(c.Name) && c.MaxAge >= 0 && c.Value != ""
	}
	token, was := x.at.Endpoint.Token, x.session(name)
	if was == token || was == 0 && !opened {
		return
	}
	c := http.Cookie{
		Name: name, Value: fmt.Sprintf("%016x", uint64(token)), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: x.facts(x.r).Secure,
	}
	resp.Header.Add("Set-Cookie", c.String())
}
