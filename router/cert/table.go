// Package cert keeps the certificates a router answers TLS with: from files,
// and from Redis, where the leader publishes them sealed. It finds the one for
// a name, changes them without a restart, keeps them over one, and shares the
// keys of session tickets between routers.
package cert

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Table is an immutable set of certificates by name.
type Table struct {
	byName map[string]*tls.Certificate // "shop.example.com", "*.example.com"
}

// Lookup returns the certificate for a server name, lower case and without a
// trailing dot: the one of that very name, or the wildcard one label above.
// It returns nil when there is none.
func (t *Table) Lookup(name string) *tls.Certificate {
	if c := t.byName[name]; c != nil {
		return c
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		return t.byName["*."+parent]
	}
	return nil
}

// Names returns the names with a certificate, sorted.
func (t *Table) Names() []string {
	out := make([]string, 0, len(t.byName))
	for n := range t.byName {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// with returns t with the certificates of more in the place of its own.
func (t *Table) with(more map[string]*tls.Certificate) *Table {
	out := &Table{byName: make(map[string]*tls.Certificate, len(t.byName)+len(more))}
	for _, m := range []map[string]*tls.Certificate{t.byName, more} {
		for n, c := range m {
			out.byName[n] = c
		}
	}
	return out
}

// parse reads a chain and its key in PEM.
func parse(chain, key []byte) (*tls.Certificate, error) {
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, err
	}
	if c.Leaf == nil {
		return nil, errors.New("no certificate in the chain")
	}
	return &c, nil
}

// names returns the names a certificate is for, in the form of Lookup.
func names(leaf *x509.Certificate) []string {
	out := make([]string, 0, len(leaf.DNSNames))
	for _, n := range leaf.DNSNames {
		out = append(out, canon(n))
	}
	return out
}

func canon(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// Info is what may be told of a certificate.
type Info struct {
	Name     string    `json:"name"`
	Issuer   string    `json:"issuer"`
	NotAfter time.Time `json:"not_after"`
}

// Infos lists the table, by name.
func (t *Table) Infos() []Info {
	out := make([]Info, 0, len(t.byName))
	for _, n := range t.Names() {
		leaf := t.byName[n].Leaf
		out = append(out, Info{Name: n, Issuer: fmt.Sprint(leaf.Issuer), NotAfter: leaf.NotAfter})
	}
	return out
}
