package model

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Routing is how routers treat an app's requests beyond sending them to a
// ready instance. The zero Routing is that of every new app. Its JSON form is
// what the API, the database and the route table hold; fields are only added.
type Routing struct {
	Policy string   `json:"policy,omitempty"`  // "" or least, round_robin, weighted, hash
	HashOn string   `json:"hash_on,omitempty"` // of policy hash: "header:NAME" or "cookie:NAME"
	Sticky []string `json:"sticky,omitempty"`  // names of the app's session cookies: a session stays at its instance

	HTTPSRedirect bool        `json:"https_redirect,omitempty"` // requests in clear are sent to https
	Redirects     []Redirect  `json:"redirects,omitempty"`      // first match wins
	AllowFrom     []string    `json:"allow_from,omitempty"`     // addresses and CIDRs; empty: everybody
	BasicAuth     []BasicUser `json:"basic_auth,omitempty"`     // empty: no password asked

	MaxBody     int64 `json:"max_body,omitempty"`      // bytes of a request's body; 0: no limit
	MaxInFlight int   `json:"max_in_flight,omitempty"` // requests at a time, per router; 0: no limit
	Rate        *Rate `json:"rate,omitempty"`          // of all requests, per router
	SourceRate  *Rate `json:"source_rate,omitempty"`   // of the requests of one source address, per router

	HeaderTimeout Duration `json:"header_timeout,omitempty"` // for the app to begin its answer; 0: the router's
	IdleTimeout   Duration `json:"idle_timeout,omitempty"`   // without a byte in either direction; 0: none
	TotalTimeout  Duration `json:"total_timeout,omitempty"`  // from the request's head to the end of the answer; 0: none

	Compress        bool   `json:"compress,omitempty"`         // text is sent with gzip to who accepts it
	MaintenancePage string `json:"maintenance_page,omitempty"` // HTML; empty: dinp's own
	ErrorPage       string `json:"error_page,omitempty"`       // HTML with {code} {title} {message} {next} {request_id}
}

// Redirect sends a request elsewhere instead of to the app.
type Redirect struct {
	From   string `json:"from"`             // path, or host and path; "*" at the end stands for any rest
	To     string `json:"to"`               // path or URL; "*" at the end is replaced by that rest
	Status int    `json:"status,omitempty"` // 301, 302, 303, 307 or 308; 0: 302
}

// BasicUser may open the app with a name and a password.
type BasicUser struct {
	Name string `json:"name"`
	Hash string `json:"hash,omitempty"` // bcrypt, as htpasswd -B makes it
}

// Rate is a limit with a burst.
type Rate struct {
	PerSecond float64 `json:"per_second"`
	Burst     int     `json:"burst,omitempty"` // at once; 0: one second's worth, at least 1
}

// Limits of a Routing.
const (
	MaxRedirects      = 200
	MaxAllowFrom      = 500
	MaxBasicUsers     = 50
	MaxStickyCookies  = 10
	MaxPageBytes      = 16 << 10
	MaxRate           = 1e6
	MaxRoutingTimeout = Duration(24 * time.Hour)
	maxBcryptCost     = 12 // each request without a known password costs the router that much
)

// The balancing policies that a Routing may name.
const (
	PolicyLeast      = "least"
	PolicyRoundRobin = "round_robin"
	PolicyWeighted   = "weighted"
	PolicyHash       = "hash"
)

// Plain reports whether a request needs nothing of the Routing but the choice
// of an instance, and that choice nothing of the request.
func (r *Routing) Plain() bool {
	return r == nil || r.Policy != PolicyHash && r.HashOn == "" && len(r.Sticky) == 0 &&
		!r.HTTPSRedirect && len(r.Redirects) == 0 && len(r.AllowFrom) == 0 && len(r.BasicAuth) == 0 &&
		r.MaxBody == 0 && r.MaxInFlight == 0 && r.Rate == nil && r.SourceRate == nil &&
		r.HeaderTimeout == 0 && r.IdleTimeout == 0 && r.TotalTimeout == 0 &&
		!r.Compress && r.MaintenancePage == "" && r.ErrorPage == ""
}

// Zero reports whether the Routing says nothing at all.
func (r *Routing) Zero() bool { return r == nil || r.Plain() && r.Policy == "" }

// Check returns a CodeBadRouting error with every problem as its evidence, or nil.
func (r *Routing) Check() error {
	if r == nil {
		return nil
	}
	var p problems
	r.checkChoice(&p)
	r.checkAccess(&p)
	r.checkLimits(&p)
	for i, d := range r.Redirects {
		d.check(&p, i)
	}
	p.atMost("redirects", len(r.Redirects), MaxRedirects)
	p.atMost("maintenance_page: bytes", len(r.MaintenancePage), MaxPageBytes)
	p.atMost("error_page: bytes", len(r.ErrorPage), MaxPageBytes)
	if len(p) == 0 {
		p.atMost("all settings together: bytes", len(r.Text()), MaxRoutingBytes)
	}
	return p.err()
}

type problems []string

// err is nil without problems.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return E(CodeBadRouting, "routing settings with %d mistakes: %s", len(p), p[0]).WithEvidence(p...).WithNext("dinp routing --help lists what each setting takes")
}

func (p *problems) add(format string, args ...any) {
	*p = append(*p, E(CodeBadRouting, format, args...).Message)
}

func (p *problems) atMost(what string, n, most int) {
	if n > most {
		p.add("%s: %d, at most %d are allowed", what, n, most)
	}
}

var tokenForm = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$") // RFC 9110: header and cookie names

func (r *Routing) checkChoice(p *problems) {
	switch r.Policy {
	case "", PolicyLeast, PolicyRoundRobin, PolicyWeighted, PolicyHash:
	default:
		p.add("policy: %q is none of least, round_robin, weighted and hash", clip(r.Policy, 40))
	}
	kind, name, _ := strings.Cut(r.HashOn, ":")
	known := (kind == "header" || kind == "cookie") && tokenForm.MatchString(name)
	switch {
	case r.Policy == PolicyHash && !known:
		p.add("hash_on: policy hash needs header:NAME or cookie:NAME, not %q", clip(r.HashOn, 80))
	case r.Policy != PolicyHash && r.HashOn != "":
		p.add("hash_on: is for policy hash only")
	}
	for _, c := range r.Sticky {
		if !tokenForm.MatchString(c) {
			p.add("sticky: %q is no cookie name", clip(c, 80))
		}
	}
	p.atMost("sticky", len(r.Sticky), MaxStickyCookies)
}

func (r *Routing) checkAccess(p *problems) {
	for _, s := range r.AllowFrom {
		if _, err := ParsePrefix(s); err != nil {
			p.add("allow_from: %q is neither an address nor a CIDR such as 10.0.0.0/8", clip(s, 80))
		}
	}
	p.atMost("allow_from", len(r.AllowFrom), MaxAllowFrom)
	seen := map[string]bool{}
	for _, u := range r.BasicAuth {
		switch {
		case u.Name == "" || len(u.Name) > 128 || strings.ContainsFunc(u.Name, func(c rune) bool { return c == ':' || c == ',' || c <= ' ' || c == 0x7f }):
			p.add("basic_auth: the user name %q is empty, too long or has a blank, comma or colon", clip(u.Name, 40))
		case seen[u.Name]:
			p.add("basic_auth: the user %q is given twice", clip(u.Name, 40))
		case !bcryptHash(u.Hash):
			p.add("basic_auth: the password of %q is not a bcrypt hash of cost 4 to %d, as htpasswd -nB -C 10 makes it", clip(u.Name, 40), maxBcryptCost)
		}
		seen[u.Name] = true
	}
	p.atMost("basic_auth", len(r.BasicAuth), MaxBasicUsers)
}

var bcryptForm = regexp.MustCompile(`^\$2[aby]\$(0[4-9]|1[0-2])\$[./A-Za-z0-9]{53}$`)

func bcryptHash(s string) bool { return bcryptForm.MatchString(s) }

func (r *Routing) checkLimits(p *problems) {
	if r.MaxBody < 0 || r.MaxInFlight < 0 {
		p.add("max_body and max_in_flight: %d and %d, neither may be negative", r.MaxBody, r.MaxInFlight)
	}
	for name, v := range map[string]*Rate{"rate": r.Rate, "source_rate": r.SourceRate} {
		if v != nil && (!(v.PerSecond > 0) || v.PerSecond > MaxRate || v.Burst < 0 || v.Burst > MaxRate) {
			p.add("%s: %v per second with a burst of %d, more than 0 and at most %d are allowed", name, v.PerSecond, v.Burst, int(MaxRate))
		}
	}
	for name, d := range map[string]Duration{"header_timeout": r.HeaderTimeout, "idle_timeout": r.IdleTimeout, "total_timeout": r.TotalTimeout} {
		if d < 0 || d > MaxRoutingTimeout || d > 0 && d < Duration(time.Millisecond) {
			p.add("%s: %v, 1ms to %v is allowed", name, time.Duration(d), time.Duration(MaxRoutingTimeout))
		}
	}
	slices.Sort(*p) // maps have no order
}

func (d Redirect) check(p *problems, i int) {
	if d.From == "" || len(d.From) > 2048 || !strings.Contains(d.From, "/") || strings.Contains(strings.TrimSuffix(d.From, "*"), "*") || hasBlank(d.From) {
		p.add("redirects[%d].from: %q is not a path such as /old or /old/*, or a host and path such as www.example.com/*", i, clip(d.From, 80))
	}
	u, err := url.Parse(strings.TrimSuffix(d.To, "*"))
	bad := err != nil || len(d.To) > 2048 || hasBlank(d.To)
	if !bad && u.Scheme == "" {
		bad = !strings.HasPrefix(d.To, "/") || strings.HasPrefix(d.To, "//")
	} else if !bad {
		bad = u.Scheme != "http" && u.Scheme != "https" || u.Host == ""
	}
	if bad {
		p.add("redirects[%d].to: %q is neither a path nor an http or https URL", i, clip(d.To, 80))
	}
	switch d.Status {
	case 0, 301, 302, 303, 307, 308:
	default:
		p.add("redirects[%d].status: %d is none of 301, 302, 303, 307 and 308", i, d.Status)
	}
}

func hasBlank(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f || unicode.IsSpace(c) })
}

// ParsePrefix reads a CIDR; a bare address means itself alone. IPv4 addresses
// in IPv6 form become IPv4.
func ParsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}
