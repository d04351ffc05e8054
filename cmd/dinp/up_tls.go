package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"github.com/dinp/dinp/router"
	"github.com/dinp/dinp/router/cert"
)

// secureRouter has the router answer HTTPS, with a self-signed certificate for
// the domain's apps until a person puts a better one.
func (u *up) secureRouter(c *router.Config) (err error) {
	c.TLS.Listen, c.TLS.Snapshot = u.opts.RouterTLS, u.path("router", "certificates.json")
	c.TLS.HTTP3 = u.opts.HTTP3
	if c.TLS.Listen == "" {
		return nil
	}
	c.TLS.Fallback, err = u.selfSigned(time.Now())
	return err
}

// selfSignedReserve is how much of its life the certificate must have left at a
// start: a platform may well run so long.
const selfSignedReserve = 300 * 24 * time.Hour

// selfSigned returns the platform's self-signed certificate. It is kept from one
// start to the next, so that who has told a browser to accept it need not again.
func (u *up) selfSigned(now time.Time) (cert.File, error) {
	f := cert.File{Chain: u.path("router", "self-signed.crt"), Key: u.path("router", "self-signed.key")}
	if serves(f.Chain, "*."+u.opts.Domain, now.Add(selfSignedReserve)) {
		return f, nil
	}
	chain, key, err := cert.SelfSigned(now, "*."+u.opts.Domain, u.opts.Domain)
	if err != nil {
		return f, err
	}
	return f, errors.Join(os.WriteFile(f.Chain, chain, 0o644), os.WriteFile(f.Key, key, 0o600))
}

// serves reports whether a file holds a certificate of a name that is valid until
// a time.
func serves(file, name string, until time.Time) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	c, err := x509.ParseCertificate(block.Bytes)
	return err == nil && slices.Contains(c.DNSNames, name) && c.NotAfter.After(until)
}

// explainRouterPort is explainPort for the part with two addresses.
func (u *up) explainRouterPort(err error) error {
	if u.opts.RouterTLS != "" && free(u.opts.Router) {
		return u.explainPort(err, u.opts.RouterTLS, "--router-tls")
	}
	return u.explainPort(err, u.opts.Router, "--router")
}

// free reports whether an address can be listened on.
func free(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	l.Close()
	return true
}
