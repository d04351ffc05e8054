package model

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Domain is a custom host name bound to an app.
type Domain struct {
	Host      string // as CheckRoute returns it: lower case, no port, maybe with a star and a path
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

// Limits of custom domains.
const (
	MaxDomain = 253 // characters, with star and path
	maxPrefix = 200 // of the path
)

// CheckRoute returns a custom domain in canonical form, or a CodeBadDomain
// error. It is a host name as CheckDomain takes it; "*." in front stands for
// every name one label below it, and a path behind it for that path and all
// below: *.shop.example, example.com/api.
func CheckRoute(domain, platform string) (string, error) {
	d := strings.TrimSpace(domain)
	if host, path, ok := strings.Cut(d, "/"); ok {
		d = strings.TrimSuffix(strings.ToLower(host), ".") + strings.TrimRight("/"+path, "/")
	}
	host, prefix, wild, err := SplitDomain(d)
	if err != nil {
		return "", E(CodeBadDomain, "%v", err)
	}
	if wild {
		host = host[1:]
	}
	if host, err = CheckDomain(host, platform); err != nil {
		return "", err
	}
	if wild {
		if platform != "" && strings.HasSuffix("."+platform, "."+host) {
			return "", E(CodeBadDomain, "domain %q covers the platform's own domain %s", clip(domain, 80), platform)
		}
		host = "*." + host
	}
	if len(host)+len(prefix) > MaxDomain {
		return "", E(CodeBadDomain, "domain %q has %d characters with its path, at most %d are allowed", clip(domain, 80), len(host)+len(prefix), MaxDomain)
	}
	return host + prefix, nil
}

// SplitDomain takes a custom domain apart: a host such as "www.shop.com", with
// "*." in front for every name one label below it, and with a path behind it
// for that path and all below. wild is without the star: "*.shop.com" has the
// host ".shop.com". It does not check the host.
func SplitDomain(domain string) (host, prefix string, wild bool, err error) {
	host = domain
	if i := strings.IndexByte(domain, '/'); i >= 0 {
		host, prefix = domain[:i], domain[i:]
		if err := checkPrefix(prefix); err != nil {
			return "", "", false, err
		}
	}
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		if rest == "" {
			return "", "", false, fmt.Errorf("domain %.80q has nothing after the star", domain)
		}
		return host[1:], prefix, true, nil
	}
	return host, prefix, false, nil
}

// checkPrefix: what is written differently would never be found, or mean
// something else to the app than to the router.
func checkPrefix(p string) error {
	if len(p) > maxPrefix {
		return fmt.Errorf("path %.80q has %d characters, at most %d are allowed", p, len(p), maxPrefix)
	}
	for segment := range strings.SplitSeq(p[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("path %.80q has an empty, . or .. segment, or ends with a slash", p)
		}
	}
	for i := range len(p) {
		c := p[i]
		if ok := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~/", c) >= 0; !ok {
			return fmt.Errorf("path %.80q has other characters than letters, digits and -._~/", p)
		}
	}
	return nil
}

// Kin reports whether two custom domains may answer for the same host: whoever
// has one could take requests, and cookies, of the other.
func Kin(a, b string) bool {
	a, _, _ = strings.Cut(a, "/")
	b, _, _ = strings.Cut(b, "/")
	return a == b || a == "*."+parent(b) || b == "*."+parent(a)
}

// parent is what follows a host's first label.
func parent(host string) string {
	_, rest, _ := strings.Cut(host, ".")
	return rest
}
