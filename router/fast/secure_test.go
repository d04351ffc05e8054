//go:build linux

package fast

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"

	"github.com/dinp/dinp/router/intake"
	"github.com/dinp/dinp/test/testenv"
)

// adopted is a client's connection to the engine, which has it adopted for TLS.
func (r *rig) adopted() net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	here, err := l.Accept()
	if err != nil {
		r.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	sheet := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.local"}}
	der, err := x509.CreateCertificate(rand.Reader, sheet, sheet, key.Public(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.AdoptTLS(&intake.Conn{TCPConn: here.(*net.TCPConn)}, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	return c
}

func TestTLS_ClientsAreAnsweredAndToldWhenTheStreamEnds(t *testing.T) {
	app, _ := okApp(t)
	r := newRig(t, app)
	c := tls.Client(r.adopted(), &tls.Config{InsecureSkipVerify: true})
	buf := make([]byte, 4096)
	for range 3 {
		if err := exchangeOn(c, buf); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.Connections(); n != 1 {
		t.Errorf("%d connections", n)
	}
	r.Shutdown(t.Context())
	// crypto/tls tells an end that was announced from one that was not.
	if _, err := c.Read(buf); err != io.EOF {
		t.Errorf("the connection ended with %v", err)
	}
}

func TestTLS_AHandshakeThatHangsEndsWithTheEngine(t *testing.T) {
	app, _ := okApp(t)
	r := newRig(t, app)
	c := r.adopted()
	testenv.Eventually(t, patience, func() error {
		if r.Connections() != 1 {
			return errors.New("it is not counted")
		}
		return nil
	})
	r.Close()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes instead of the end", n)
	}
	if n := r.Connections(); n != 0 {
		t.Errorf("%d connections", n)
	}
}
