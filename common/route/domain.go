package route

import (
	"fmt"
	"strings"
)

// maxPrefix is the longest path prefix a domain may have.
const maxPrefix = 200

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
