package pki

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// The authority's key lies in the database under AES-256-GCM; the key to that is
// drawn from the cluster's secret by PBKDF2 (RFC 8018), so that who copies the
// database alone can sign nothing.
const (
	sealForm   = "v1"
	sealRounds = 210_000 // of HMAC-SHA-512; the figure is the OWASP password storage cheat sheet's
	saltBytes  = 16
)

// ErrWrongSecret says that the authority was sealed with another secret.
var ErrWrongSecret = errors.New("the cluster's authority was sealed with another secret")

// Seal returns the authority's key, encrypted with the cluster's secret.
func (c *CA) Seal(secret string) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.key)
	if err != nil {
		return "", err
	}
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	box, err := sealer(secret, salt)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, box.NonceSize())
	rand.Read(nonce)
	sealed := append(salt, box.Seal(nonce, nonce, der, c.cert.Raw)...)
	return sealForm + ":" + base64.StdEncoding.EncodeToString(sealed), nil
}

func sealer(secret string, salt []byte) (cipher.AEAD, error) {
	key, err := pbkdf2.Key(sha512.New, secret, salt, sealRounds, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// OpenCA returns the authority of a certificate and its sealed key.
func OpenCA(certificate []byte, sealed, secret string) (*CA, error) {
	der, err := decode(certificate, blockCert)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	form, text, _ := strings.Cut(sealed, ":")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || form != sealForm || len(raw) < saltBytes {
		return nil, errors.New("authority: the form of its key is not known")
	}
	box, err := sealer(secret, raw[:saltBytes])
	if err != nil {
		return nil, err
	}
	raw = raw[saltBytes:]
	if len(raw) < box.NonceSize() {
		return nil, errors.New("authority: its key is cut short")
	}
	plain, err := box.Open(nil, raw[:box.NonceSize()], raw[box.NonceSize():], der)
	if err != nil {
		return nil, ErrWrongSecret
	}
	key, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || !ec.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("authority: its key is not its certificate's")
	}
	return &CA{cert: cert, key: ec, pem: encode(blockCert, der)}, nil
}
