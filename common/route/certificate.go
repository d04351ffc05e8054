package route

import (
	"encoding/json"
	"fmt"
)

// The keys of certificates and ACME challenges in Redis.
//
//	GET /cert/shop.example.com      a Certificate as JSON, sealed with seal.Routers for its key
//	GET /cert/*.apps.example.com    the same of a wildcard
//	HGETALL /certs/version          epoch, seq and count of the last write
//	GET /acme/<token>               the key authorization that answers an HTTP-01 challenge; expires
//
// The version grows with each write, and a router reads all again when it
// does; certificates change a few times a day at most.
const (
	CertPrefix      = "/cert/"
	CertVersionKey  = "/certs/version" // hash: epoch, seq, count
	ChallengePrefix = "/acme/"
)

// Certificate is one certificate with its key, for one name.
type Certificate struct {
	Chain string `json:"chain"` // PEM, the leaf first
	Key   string `json:"key"`   // PEM
}

// EncodeCertificate returns what is to be sealed for Redis.
func EncodeCertificate(c Certificate) string { return encode(c) }

// DecodeCertificate reads what was sealed.
func DecodeCertificate(b []byte) (Certificate, error) {
	var c Certificate
	if err := json.Unmarshal(b, &c); err != nil {
		return Certificate{}, fmt.Errorf("decode certificate: %w", err)
	}
	return c, nil
}

// Limits of challenge tokens: base64url, at least 128 bits, says RFC 8555 §8.3.
const (
	minToken = 22
	maxToken = 128
)

// IsToken reports whether s can be the token of an ACME challenge.
func IsToken(s string) bool {
	if len(s) < minToken || len(s) > maxToken {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
