package model

import (
	"net/netip"
	"strings"
	"time"
)

// Domain is a custom host name bound to an app.
type Domain struct {
	Host      string // lower case, no port, no trailing dot
	AppID     string
	CreatedAt time.Time
}

// CheckDomain returns host in canonical form, or a CodeBadDomain error unless
// it is a DNS host name outside the platform's own domain.
func CheckDomain(host, platform string) (string, error) {
	h := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(host)), ".")
	bad := func(why string) error { return E(CodeBadDomain, "domain %q %s", clip(host, 80), why) }
	switch {
	case h == "" || len(h) > 253:
		return "", bad("must have 1 to 253 characters")
	case strings.Contains(h, "://") || strings.ContainsAny(h, "/:"):
		return "", bad("must be a bare host name, without scheme, port or path")
	case !strings.Contains(h, "."):
		return "", bad("needs at least one dot")
	case h == platform || strings.HasSuffix(h, "."+platform):
		return "", bad("lies in the platform's own domain " + platform + ", where names follow from apps")
	}
	if _, err := netip.ParseAddr(h); err == nil {
		return "", bad("is an address, not a name")
	}
	for label := range strings.SplitSeq(h, ".") {
		if len(label) > 63 || !dnsLabel.MatchString(label) {
			return "", bad("is not made of DNS labels (a-z, 0-9 and -)")
		}
	}
	return h, nil
}
