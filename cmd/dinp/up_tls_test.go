package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dinp/dinp/router/cert"
	"github.com/dinp/dinp/test/testenv"
)

// shows waits until a handshake for name succeeds with a root, and returns the
// certificate that was shown.
func (s *stage) shows(name string, root []byte) []byte {
	s.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	var shown []byte
	testenv.Eventually(s.t, 60*time.Second, func() error {
		c, err := tls.Dial("tcp", s.tls, &tls.Config{ServerName: name, RootCAs: roots})
		if err != nil {
			return err
		}
		defer c.Close()
		shown = c.ConnectionState().PeerCertificates[0].Raw
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name)
		head := make([]byte, 12)
		if _, err := c.Read(head); err != nil || !bytes.HasPrefix(head, []byte("HTTP/1.1 404")) {
			return fmt.Errorf("answered %q: %w", head, errors.Join(err, errors.New("want 404: there is no such app")))
		}
		return nil
	})
	return shown
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestUp_AnswersHTTPSSelfSignedUntilACertificateIsPutAndKeepsBothOverARestart(t *testing.T) {
	t.Parallel()
	s := newStageOn(t, "unix://"+filepath.Join(t.TempDir(), "nobody-listens"))
	s.start("docker-down")
	self := read(t, filepath.Join(s.data, "router", "self-signed.crt"))
	first := s.shows("any.apps.localhost", self)

	chain, key, err := cert.SelfSigned(time.Now(), "shop.apps.localhost") // a person's own
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(dir+"/chain", chain, 0o600), os.WriteFile(dir+"/key", key, 0o600)); err != nil {
		t.Fatal(err)
	}
	s.dinp("certs", "put", "shop.apps.localhost", "--chain", dir+"/chain", "--key", dir+"/key")
	if out := s.dinp("certs"); !strings.Contains(out, "shop.apps.localhost") || !strings.Contains(out, "in use") {
		t.Errorf("certs: %s", out)
	}
	put := s.shows("shop.apps.localhost", chain)

	s.proc.end(syscall.SIGTERM)
	s.start("docker-down")
	if again := s.shows("any.apps.localhost", self); !bytes.Equal(first, again) {
		t.Error("a restart made another self-signed certificate")
	}
	if again := s.shows("shop.apps.localhost", chain); !bytes.Equal(put, again) {
		t.Error("the certificate that was put is not the one shown after a restart")
	}
	s.dinp("certs", "remove", "shop.apps.localhost")
	s.shows("shop.apps.localhost", self)
}

func TestUp_ATakenPortOfHTTPSNamesItsFlag(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newStageOn(t, "unix://"+filepath.Join(t.TempDir(), "nobody-listens"))
	s.tls = l.Addr().String()
	if out := s.refused("D110", s.upArgs()...); !strings.Contains(out, "--router-tls") || !strings.Contains(out, s.tls) {
		t.Errorf("neither the address nor the flag is named:\n%s", out)
	}
}
