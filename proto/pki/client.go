package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/credentials"
)

// Client is the calling end: it shows its own certificate, and talks to a
// server of its own cluster only.
func (k *Keeper) Client() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13,
		// Go would compare the server's name, which means nothing here; we compare
		// its authority and its role instead, at every handshake.
		InsecureSkipVerify:   true,
		VerifyConnection:     func(s tls.ConnectionState) error { return isServer(s, k.pair.Load().roots) },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &k.pair.Load().shown, nil },
	})
}

// Newcomer is the calling end of a part that has a token only. The server's
// chain must end in the authority that the token names.
func Newcomer(t Token) credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			for _, c := range s.PeerCertificates {
				if hash(c.Raw) == t.CA {
					roots := x509.NewCertPool()
					roots.AddCert(c)
					return isServer(s, roots)
				}
			}
			return errors.New("this is not the cluster that the token is for: its authority is another one")
		},
	})
}

// isServer reports whether the other end is a server of the cluster of roots.
func isServer(s tls.ConnectionState, roots *x509.CertPool) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server shows no certificate")
	}
	id, err := verify(s.PeerCertificates[0], roots, time.Now())
	if err != nil {
		return fmt.Errorf("this is not a server of our cluster: %w", err)
	}
	if id.Role != RoleServer {
		return fmt.Errorf("this is no server, but %s", id)
	}
	return nil
}

// verify reports who a certificate is of, if the authority in roots says so at a time.
func verify(leaf *x509.Certificate, roots *x509.CertPool, at time.Time) (Identity, error) {
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return Identity{}, err
	}
	return identityOf(leaf)
}
