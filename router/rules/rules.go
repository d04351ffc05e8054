// Package rules is an app's routing settings in a form that answers fast. It is
// pure: whoever asks brings the facts of the request; what counts requests is
// package gate.
package rules

import (
	"net/netip"
	"strings"

	"github.com/dinp/dinp/common/model"
)

// Rules are compiled settings. The nil Rules allow everything.
type Rules struct {
	*model.Routing
	allow     []netip.Prefix
	redirects []redirect
	users     map[string]string // name → bcrypt hash
	session   string            // name of our own sticky cookie
	key       source            // of policy hash
}

// source says where the key of policy hash stands.
type source struct{ header, cookie string }

// redirect is a model.Redirect taken apart.
type redirect struct {
	host, path, to string
	rest           bool // path stands for itself and all that begins with it
	appended       bool // what follows path is put behind to
	status         int
}

// Compile returns the rules of an app's settings that were checked; nil when
// they say nothing.
func Compile(app string, s *model.Routing) *Rules {
	if s.Zero() {
		return nil
	}
	r := &Rules{Routing: s, session: "dinp-session-" + app, users: map[string]string{}}
	for _, a := range s.AllowFrom {
		if p, err := model.ParsePrefix(a); err == nil {
			r.allow = append(r.allow, p)
		}
	}
	for _, d := range s.Redirects {
		r.redirects = append(r.redirects, compile(d))
	}
	for _, u := range s.BasicAuth {
		r.users[u.Name] = u.Hash
	}
	switch kind, name, _ := strings.Cut(s.HashOn, ":"); kind {
	case "header":
		r.key.header = name
	case "cookie":
		r.key.cookie = name
	}
	return r
}

func compile(d model.Redirect) redirect {
	i := strings.IndexByte(d.From, '/')
	c := redirect{host: strings.ToLower(d.From[:i]), status: d.Status}
	if c.status == 0 {
		c.status = 302
	}
	c.path, c.rest = strings.CutSuffix(d.From[i:], "*")
	c.to, c.appended = strings.CutSuffix(d.To, "*")
	return c
}

// Facts are what a request is judged by.
type Facts struct {
	Host   string // canonical
	Path   string // as the client wrote it, without the query
	Query  string // without the question mark
	Secure bool   // it came by HTTPS, as far as proxies are trusted
	Client netip.Addr
}

// target is the path with its query.
func (f Facts) target() string {
	if f.Query == "" {
		return f.Path
	}
	return f.Path + "?" + f.Query
}

// Admits reports whether the client's address is on the app's list.
func (r *Rules) Admits(client netip.Addr) bool {
	if r == nil || len(r.allow) == 0 {
		return true
	}
	client = client.Unmap().WithZone("")
	for _, p := range r.allow {
		if p.Contains(client) {
			return true
		}
	}
	return false
}

// ToHTTPS returns where a request in clear is sent to, "" if it may stay. port
// is that of HTTPS when it is not 443. The status is 308: method and body are
// to be kept.
func (r *Rules) ToHTTPS(f Facts, port string) string {
	if r == nil || !r.HTTPSRedirect || f.Secure {
		return ""
	}
	if port != "" {
		port = ":" + port
	}
	return "https://" + f.Host + port + f.target()
}

// Redirect returns where the first redirect that matches sends the request,
// and "" when none does.
func (r *Rules) Redirect(f Facts) (location string, status int) {
	if r == nil {
		return "", 0
	}
	for _, d := range r.redirects {
		if d.host != "" && d.host != f.Host || f.Path != d.path && !(d.rest && strings.HasPrefix(f.Path, d.path)) {
			continue
		}
		if !d.appended {
			return d.to, d.status
		}
		f.Path = f.Path[len(d.path):]
		if to := d.to + f.target(); !strings.HasPrefix(to, "//") { // that would be another host
			return to, d.status
		}
		return d.to, d.status
	}
	return "", 0
}

// AsksLogin reports whether a name and a password are needed.
func (r *Rules) AsksLogin() bool { return r != nil && len(r.users) > 0 }

// Hash returns the bcrypt hash of a user, and for an unknown one that of some
// user with known false: comparing takes as long, and does not tell names.
func (r *Rules) Hash(user string) (hash string, known bool) {
	if hash, known = r.users[user]; known {
		return hash, true
	}
	return r.BasicAuth[0].Hash, false
}

// KeyOf returns where the key of a hash policy stands: the name of a header or
// that of a cookie, or neither.
func (r *Rules) KeyOf() (header, cookie string) {
	if r == nil {
		return "", ""
	}
	return r.key.header, r.key.cookie
}

// SessionCookie returns the name of our own cookie when sessions are sticky.
func (r *Rules) SessionCookie() (name string, sticky bool) {
	if r == nil || len(r.Sticky) == 0 {
		return "", false
	}
	return r.session, true
}

// IsSession reports whether a cookie's name is that of a session of the app.
func (r *Rules) IsSession(cookie string) bool {
	for _, s := range r.Sticky {
		if s == cookie {
			return true
		}
	}
	return false
}

// Page returns the app's own page for a code of ours, and "" when it has none.
func (r *Rules) Page(code model.Code) string {
	switch {
	case r == nil:
		return ""
	case code == model.CodeMaintenance && r.MaintenancePage != "":
		return r.MaintenancePage
	}
	return r.ErrorPage
}
