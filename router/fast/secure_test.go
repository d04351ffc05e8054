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
	"runtime"
	"strings"
	"sync"
	"syscall"
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
	r.AdoptTLS(&intake.Conn{TCPConn: here.(*net.TCPConn)}, ofServer())
	return c
}

// ofServer is how the engine speaks TLS, with a certificate that nobody checks.
var ofServer = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	sheet := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.local"}}
	der, err := x509.CreateCertificate(rand.Reader, sheet, sheet, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

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

// What stays of a client in TLS is crypto/tls's: keys, ciphers, and the buffer it
// has read records into, which grows to the largest of them, and is not given back.
func TestTLS_IdleConnectionsAreBounded(t *testing.T) {
	app, _ := okApp(t)
	r := newRig(t, app)
	const count = 200
	for _, c := range []struct {
		name, request string
		limit         int64
	}{
		{"after a GET", ask, 12 << 10},
		{"after a body in records of the largest size", "POST / HTTP/1.1\r\nHost: shop.local\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("x", 64<<10), 12 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			measure := func(m *runtime.MemStats) { runtime.GC(); runtime.GC(); runtime.ReadMemStats(m) }
			measure(&before)
			for range count {
				r.settle(t, c.request)
			}
			measure(&after)
			each := (int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse)) / count
			t.Logf("%d bytes each", each)
			if each > c.limit {
				t.Errorf("%d bytes each, want at most %d", each, c.limit)
			}
		})
	}
}

func TestTLS_TheBuffersThatAreGivenBackAreThoseOfThisCryptoTLS(t *testing.T) {
	for name, at := range map[string]uintptr{"rawInput": rawInput, "hand": handshake, "input": input} {
		if at == noField {
			t.Errorf("a tls.Conn has no %s any more, or of another type: see what it keeps of what it has read", name)
		}
	}
}

// settle opens a connection in TLS, has it served once, and leaves nothing of
// the client behind but its socket.
func (r *rig) settle(t *testing.T, request string) {
	here := r.adopted()
	c, buf := tls.Client(here, &tls.Config{InsecureSkipVerify: true}), make([]byte, 4096)
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200") {
		t.Fatalf("%q %v", buf[:n], err)
	}
	f, err := here.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	f.Close()
	here.Close()
}
