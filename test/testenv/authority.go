package testenv

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Authority is a certificate authority that speaks ACME (pebble, the one Let's
// Encrypt tests clients with), with a DNS of its own in which every name leads
// to 127.0.0.1.
type Authority struct {
	Directory string         // URL
	CAFile    string         // PEM; what the directory's own HTTPS is checked with
	Roots     *x509.CertPool // of the certificates it issues
	DNSAdmin  string         // base URL at which records are set: POST /set-txt {"host","value"}, /clear-txt, /add-a
}

// NewAuthority starts an authority that asks for HTTP-01 at a port of loopback,
// and issues certificates of a life of whole seconds.
func NewAuthority(t testing.TB, httpPort int, life time.Duration) *Authority {
	t.Helper()
	a, err := newAuthority(t, httpPort, life)
	if err != nil {
		t.Fatalf("authority: %v", err)
	}
	return a
}

func newAuthority(t testing.TB, httpPort int, life time.Duration) (*Authority, error) {
	f, err := theFamily()
	if err != nil {
		return nil, err
	}
	a := &Authority{}
	dns, err := a.startDNS(t, f)
	if err != nil {
		return nil, err
	}
	dir, err := f.newDir("authority")
	if err != nil {
		return nil, err
	}
	a.CAFile = filepath.Join(dir, "cert.pem")
	if err := writeLoopbackCertificate(a.CAFile, filepath.Join(dir, "key.pem")); err != nil {
		return nil, err
	}
	pebble, err := tool("pebble")
	if err != nil {
		return nil, err
	}
	var admin string
	addr, c, err := f.startOnFreePort(pebble, func(own, addr string) (args []string, err error) {
		if admin, err = freeAddr(); err != nil {
			return nil, err
		}
		config := filepath.Join(own, "config.json")
		return []string{"-config", config, "-dnsserver", dns}, os.WriteFile(config, pebbleConfig(dir, addr, admin, httpPort, life), 0o600)
	})
	if err != nil {
		return nil, err
	}
	t.Cleanup(c.stop)
	a.Directory = "https://" + addr + "/dir"
	a.Roots, err = a.roots("https://" + admin + "/roots/0")
	return a, err
}

func pebbleConfig(dir, addr, admin string, httpPort int, life time.Duration) []byte {
	text, _ := json.Marshal(map[string]any{"pebble": map[string]any{ // maps of text and numbers always encode
		"listenAddress": addr, "managementListenAddress": admin,
		"certificate": filepath.Join(dir, "cert.pem"), "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": httpPort, "tlsPort": 1, "keyAlgorithm": "ecdsa", "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{"default": map[string]any{"description": "of tests", "validityPeriod": int(life.Seconds())}},
	}})
	return text
}

// startDNS starts the DNS, and returns its address.
func (a *Authority) startDNS(t testing.TB, f *family) (string, error) {
	path, err := tool("pebble-challtestsrv")
	if err != nil {
		return "", err
	}
	dns, c, err := f.startOnFreePort(path, func(_, addr string) ([]string, error) {
		admin, err := freeAddr()
		a.DNSAdmin = "http://" + admin
		return []string{"-dnsserver", addr, "-management", admin, "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""}, err
	})
	if err != nil {
		return "", err
	}
	t.Cleanup(c.stop)
	return dns, poll(startTimeout, func() error { return dialable("tcp", a.DNSAdmin[len("http://"):]) })
}

// SetAddress makes a name lead to another address.
func (a *Authority) SetAddress(t testing.TB, name, address string) {
	t.Helper()
	body, _ := json.Marshal(map[string]any{"host": name + ".", "addresses": []string{address}}) // as above
	resp, err := http.Post(a.DNSAdmin+"/add-a", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("set the address of %s: %s", name, resp.Status)
	}
}

// roots asks for the root of this run; it is made at each start.
func (a *Authority) roots(url string) (*x509.CertPool, error) {
	text, err := os.ReadFile(a.CAFile)
	if err != nil {
		return nil, err
	}
	own := x509.NewCertPool()
	own.AppendCertsFromPEM(text)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own}, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	roots := x509.NewCertPool()
	return roots, poll(startTimeout, func() error {
		resp, err := web.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err == nil && !roots.AppendCertsFromPEM(text) {
			err = fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return err
	})
}

// writeLoopbackCertificate makes a certificate for 127.0.0.1 that is its own root.
func writeLoopbackCertificate(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600)
}

// PortOf returns the port of host:port.
func PortOf(t testing.TB, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
