package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
)

// How long the authority's own certificate is good for, and by how much the
// beginning of every certificate is set back: clocks of hosts differ.
const (
	authorityLife = 30 * 365 * 24 * time.Hour
	setBack       = time.Hour
)

// The kinds of block in a PEM file.
const (
	blockCert    = "CERTIFICATE"
	blockKey     = "PRIVATE KEY"
	blockRequest = "CERTIFICATE REQUEST"
)

// CA is the cluster's certificate authority with its key.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// Signed is a certificate that was just signed.
type Signed struct {
	Identity Identity
	Serial   string // unique among the authority's
	PEM      []byte // the certificate, followed by the authority's
	Issued   time.Time
	NotAfter time.Time
}

// NewCA makes an authority with a new key.
func NewCA(now time.Time) (*CA, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "dinp cluster"}, NotBefore: now.Add(-setBack), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &CA{cert: cert, key: key, pem: encode(blockCert, der)}, err
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
}

// PEM is the authority's certificate, which is no secret.
func (c *CA) PEM() []byte { return c.pem }

// Hash is what a token says of the authority.
func (c *CA) Hash() string { return hash(c.cert.Raw) }

// HashPEM is Hash of an authority of which only the certificate is known.
func HashPEM(text []byte) (string, error) {
	b, err := decode(text, blockCert)
	if err != nil {
		return "", err
	}
	return hash(b), nil
}

func hash(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

// Sign makes a certificate for the key of a request, whatever else the request
// says.
func (c *CA) Sign(request []byte, id Identity, now time.Time, life time.Duration) (Signed, error) {
	if !id.Valid() {
		return Signed{}, fmt.Errorf("%q cannot stand in a certificate", id)
	}
	der, err := decode(request, blockRequest)
	if err != nil {
		return Signed{}, err
	}
	r, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = r.CheckSignature() // the sender has the key
	}
	if err != nil {
		return Signed{}, fmt.Errorf("certificate request: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return Signed{}, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: id.String()}, URIs: []*url.URL{id.address()},
		NotBefore: now.Add(-setBack), NotAfter: now.Add(life), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	leaf, err := x509.CreateCertificate(rand.Reader, t, c.cert, r.PublicKey, c.key)
	if err != nil {
		return Signed{}, fmt.Errorf("sign certificate: %w", err)
	}
	return Signed{
		Identity: id, Serial: serial.Text(16), PEM: append(encode(blockCert, leaf), c.pem...), Issued: now, NotAfter: t.NotAfter.Truncate(time.Second),
	}, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// decode returns the first block of a kind.
func decode(text []byte, kind string) ([]byte, error) {
	for b, rest := pem.Decode(text); b != nil; b, rest = pem.Decode(rest) {
		if b.Type == kind {
			return b.Bytes, nil
		}
	}
	return nil, errors.New("no " + strings.ToLower(kind) + " in the text")
}
