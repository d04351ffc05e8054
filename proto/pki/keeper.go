package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/common/model"
)

// Keeper holds a part's certificate and key, and puts a new pair in their place
// when the certificate is renewed. Connections made afterwards use the new one.
type Keeper struct {
	path string // "": in memory only
	pair atomic.Pointer[pair]
}

// pair is one certificate with its key; constant.
type pair struct {
	id    Identity
	tls   tls.Certificate // with the authority's, which newcomers know by its hash
	shown tls.Certificate // without: what is shown to servers, which have the authority's
	leaf  *x509.Certificate
	roots *x509.CertPool
}

// Request is a key that has no certificate yet.
type Request struct {
	key *ecdsa.PrivateKey
	PEM []byte // the certificate request
}

// NewRequest makes a key and asks for a certificate of it.
func NewRequest() (*Request, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	return &Request{key: key, PEM: encode(blockRequest, der)}, err
}

// Answered returns the keeper of an answered request. With a path the key and
// certificate are written there, so that Load finds them.
func (r *Request) Answered(certificate []byte, path string) (*Keeper, error) {
	k := &Keeper{path: path}
	return k, k.replace(r.key, certificate)
}

// Load reads a keeper's file.
func Load(path string) (*Keeper, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, model.E(model.CodeNoCertificate, "this host has not joined the cluster: there is no certificate in %s", path).
			WithNext("make a token with `dinp token create-join`, then run here: dinp join SERVER --token TOKEN")
	}
	if err != nil {
		return nil, model.E(model.CodeNoCertificate, "the certificate cannot be read: %v", err)
	}
	der, err := decode(text, blockKey)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a key that cannot sign", path)
	}
	p, err := newPair(signer, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k := &Keeper{path: path}
	k.pair.Store(p)
	return k, nil
}

// newPair reads a certificate and its authority's, in this order.
func newPair(key crypto.Signer, text []byte) (*pair, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(text, encode(blockKey, der))
	if err != nil {
		return nil, err
	}
	if len(c.Certificate) != 2 {
		return nil, fmt.Errorf("%d certificates, want the own and the authority's", len(c.Certificate))
	}
	ca, err := x509.ParseCertificate(c.Certificate[1])
	if err != nil {
		return nil, err
	}
	p := &pair{tls: c, shown: c, leaf: c.Leaf, roots: x509.NewCertPool()}
	p.shown.Certificate = c.Certificate[:1]
	p.roots.AddCert(ca)
	p.id, err = identityOf(p.leaf)
	return p, err
}

// replace puts a new pair in place of the old one, on disk first.
func (k *Keeper) replace(key *ecdsa.PrivateKey, certificate []byte) error {
	p, err := newPair(key, certificate)
	if err != nil {
		return fmt.Errorf("signed certificate: %w", err)
	}
	if old := k.pair.Load(); old != nil && old.id != p.id {
		return fmt.Errorf("signed certificate is of %s, not of %s", p.id, old.id)
	}
	if k.path != "" {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if err := writeFile(k.path, bytes.Join([][]byte{encode(blockKey, der), certificate}, nil)); err != nil {
			return fmt.Errorf("keep certificate: %w", err)
		}
	}
	k.pair.Store(p)
	return nil
}

// writeFile replaces path so that it holds the old pair or the new one, never
// a part, and for the owner's eyes only.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what it failed of is told already
	}
	return err
}

// Identity is who the certificate is of.
func (k *Keeper) Identity() Identity { return k.pair.Load().id }

// NotAfter is when the certificate expires.
func (k *Keeper) NotAfter() time.Time { return k.pair.Load().leaf.NotAfter }

// LogValue implements slog.LogValuer: the key stays out of logs.
func (k *Keeper) LogValue() slog.Value { return slog.StringValue(k.Identity().String()) }

// Serial is the certificate's among the authority's.
func (k *Keeper) Serial() string { return k.pair.Load().leaf.SerialNumber.Text(16) }

// Reload takes the certificate from the file it is kept in, if that is of the same
// part and good for longer, and reports whether it did: somebody has joined it
// again. Who is refused gets another in no other way.
func (k *Keeper) Reload() bool {
	if k.path == "" {
		return false
	}
	other, err := Load(k.path)
	if err != nil {
		return false // as before: what is wrong with the present one is told already
	}
	p := other.pair.Load()
	if p.id != k.Identity() || !p.leaf.NotAfter.After(k.NotAfter()) {
		return false
	}
	k.pair.Store(p)
	return true
}
