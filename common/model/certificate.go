package model

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"time"
)

// CertSource is where a certificate comes from.
type CertSource string

// The sources.
const (
	Uploaded CertSource = "upload" // by a person, who renews it
	ByACME   CertSource = "acme"   // from a certificate authority, renewed by the leader
)

// Certificate is what routers answer HTTPS with for one name. One that the
// authority has not given yet has no Chain.
type Certificate struct {
	Host       string // lower case, perhaps with "*." in front
	Source     CertSource
	Chain      string // PEM, the leaf first
	SealedKey  string // PEM, sealed with seal.AtRest for Host
	NotAfter   time.Time
	Generation int64 // grows with each change
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Failure    string    // of the last attempt to have it issued; empty after a success
	Failures   int       // in a row
	TryAt      time.Time // not before then again
}

// CheckCertName returns the name of a certificate in canonical form, and
// refuses what is neither a host name nor the wildcard of one.
func CheckCertName(name string) (string, error) {
	domain, wild := strings.CutPrefix(strings.TrimSpace(name), "*.")
	domain, err := CheckDomain(domain, "")
	if wild && err == nil {
		domain = "*." + domain
	}
	return domain, err
}

// maxChain bounds what is kept and sent to every router, in bytes of PEM.
const maxChain = 64 << 10

// CheckCertificate reads a chain and its key, both PEM, and returns the leaf, or
// an error that says why they cannot serve host at a time.
func CheckCertificate(host, chain, key string, now time.Time) (*x509.Certificate, error) {
	bad := func(format string, args ...any) error {
		return E(CodeBadCert, format, args...).WithNext("openssl x509 -in FILE -noout -subject -dates -ext subjectAltName shows what a file holds")
	}
	if len(chain)+len(key) > maxChain {
		return nil, bad("chain and key take %d bytes, at most %d are allowed", len(chain)+len(key), maxChain)
	}
	pair, err := tls.X509KeyPair([]byte(chain), []byte(key))
	if err != nil {
		return nil, bad("chain and key cannot be used: %s", strings.TrimPrefix(err.Error(), "tls: "))
	}
	leaf := pair.Leaf
	switch {
	case now.After(leaf.NotAfter):
		return nil, bad("the certificate has expired on %s", leaf.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return nil, bad("the certificate is not valid before %s", leaf.NotBefore.UTC().Format(time.DateTime))
	case !covers(leaf, host):
		return nil, bad("the certificate is for %s, not for %s", strings.Join(leaf.DNSNames, ", "), host)
	}
	return leaf, nil
}

func covers(leaf *x509.Certificate, host string) bool {
	if strings.HasPrefix(host, "*.") {
		return slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, host) })
	}
	return leaf.VerifyHostname(host) == nil
}

// RenewAt is when a certificate should be renewed: when a third of its life is left.
func RenewAt(notBefore, notAfter time.Time) time.Time {
	return notAfter.Add(-notAfter.Sub(notBefore) / 3)
}
