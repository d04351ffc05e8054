// Package seal encrypts small secrets, such as the private keys of
// certificates, with keys derived from the cluster's shared secret, so that
// they never lie readable in the database or in Redis.
//
// A key is HKDF-SHA256 (RFC 5869) of the secret and a purpose; the cipher is
// AES-256-GCM with a random nonce. What a value is for (its host, say) is
// authenticated with it: a sealed value moved to another place does not open.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Purpose tells the keys of one secret apart.
type Purpose string

// The purposes in use.
const (
	AtRest  Purpose = "dinp: certificates in the database"
	Routers Purpose = "dinp: certificates for routers"
	Tickets Purpose = "dinp: TLS session tickets"
)

// prefix names the format, so that there can be another one day.
const prefix = "dinp1:"

// MinSecret is the shortest secret that keys are made of, in bytes.
const MinSecret = 16

// ErrWrongKey says that a value was sealed with another secret, for another
// purpose or place, or was changed.
var ErrWrongKey = errors.New("sealed with another secret, or damaged")

// Key seals and opens for one purpose. It prints as nothing.
type Key struct{ aead cipher.AEAD }

// Derive returns size bytes for a purpose.
func Derive(secret string, p Purpose, size int) ([]byte, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the cluster secret has %d bytes, at least %d are needed", len(secret), MinSecret)
	}
	return hkdf.Key(sha256.New, []byte(secret), nil, string(p), size)
}

// New derives the key for a purpose from the cluster's secret.
func New(secret string, p Purpose) (Key, error) {
	raw, err := Derive(secret, p, 32)
	if err != nil {
		return Key{}, err
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return Key{}, err
	}
	aead, err := cipher.NewGCM(block)
	return Key{aead}, err
}

// String hides the key from logs.
func (Key) String() string { return "seal.Key" }

// Seal returns plain encrypted as text, for the place it will be kept at.
// random gives the nonce: crypto/rand.Reader.
func (k Key) Seal(random io.Reader, plain []byte, place string) (string, error) {
	nonce := make([]byte, k.aead.NonceSize(), k.aead.NonceSize()+len(plain)+k.aead.Overhead())
	if _, err := io.ReadFull(random, nonce); err != nil {
		return "", err
	}
	return prefix + base64.StdEncoding.EncodeToString(k.aead.Seal(nonce, nonce, plain, []byte(place))), nil
}

// Open returns what was sealed for the place, or ErrWrongKey.
func (k Key) Open(sealed, place string) ([]byte, error) {
	text, ok := strings.CutPrefix(sealed, prefix)
	if !ok {
		return nil, ErrWrongKey
	}
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) < k.aead.NonceSize() {
		return nil, ErrWrongKey
	}
	n := k.aead.NonceSize()
	plain, err := k.aead.Open(nil, b[:n], b[n:], []byte(place))
	if err != nil {
		return nil, ErrWrongKey
	}
	return plain, nil
}
