package model

import (
	"regexp"
	"strings"
	"time"
)

// App is what a team owns, and its desired state. Only people write it, through
// dash; Generation counts the edits and is the token of optimistic locking.
type App struct {
	ID          string
	Name        string // DNS label, unique, lower case
	TeamID      string
	ReleaseID   string // the release people want; "" before the first
	Instances   int
	Paused      bool // keep what runs as it is; plan nothing new
	Maintenance bool // routers answer with the maintenance page
	Singleton   bool // at most one instance, at any time (R11): also where a node is cut off
	Constraints Constraints
	Routing     RoutingText // how routers treat its requests
	Promoted    string      // the release that a person lets through its stages unjudged; "" for none
	Generation  int64
	CreatedAt   time.Time
	UpdatedAt   time.Time
	DeletedAt   time.Time // zero while the app lives
}

// Limits of an app's desired state.
const (
	MaxInstances  = 1000
	MaxNameLength = 50 // a DNS label has 63; the rest is for suffixes of ours
)

var dnsLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// reserved names would collide with hosts of the platform itself.
var reserved = map[string]bool{"dinp": true, "dash": true, "registry": true, "www-dinp": true}

// CheckAppName returns a CodeBadAppName error unless name may name an app. Upper
// case is refused, not folded, so that what a user typed is what is shown.
func CheckAppName(name string) error {
	bad := func(why string) error {
		e := E(CodeBadAppName, "app name %q %s", clip(name, 80), why)
		if s := suggestName(name); s != "" && s != name {
			return e.WithNext("use a name such as %q", s)
		}
		return e.WithNext("use 1 to %d of the characters a-z, 0-9 and -, beginning and ending with a letter or digit", MaxNameLength)
	}
	switch {
	case name == "":
		return bad("is empty")
	case len(name) > MaxNameLength:
		return bad("has " + itoa(len(name)) + " characters; at most " + itoa(MaxNameLength) + " are allowed")
	case !dnsLabel.MatchString(name):
		return bad("is not a DNS label (a-z, 0-9 and -, not at the ends)")
	case strings.HasPrefix(name, "xn--"):
		return bad("begins with xn--, which is reserved for encoded names")
	case reserved[name]:
		return bad("is reserved for the platform")
	}
	return nil
}

// suggestName turns a refused name into the nearest valid one, or "".
func suggestName(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		default:
			b.WriteByte('-')
		}
	}
	s := strings.Trim(b.String(), "-")
	if len(s) > MaxNameLength {
		s = strings.Trim(s[:MaxNameLength], "-")
	}
	if !dnsLabel.MatchString(s) || reserved[s] || strings.HasPrefix(s, "xn--") {
		return ""
	}
	return s
}

// CheckInstances returns a CodeBadSize error unless n is a possible count.
func CheckInstances(n int) error {
	if n < 0 || n > MaxInstances {
		return E(CodeBadSize, "instances is %d; it must be 0 to %d", n, MaxInstances)
	}
	return nil
}
