package router

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/common/seal"
	"github.com/dinp/dinp/router/cert"
	"github.com/dinp/dinp/test/testenv"
)

const clusterSecret = "a secret of the cluster"

// certify publishes certificates as the leader does.
func (l *leader) certify(seq int, hosts map[string][2][]byte) {
	l.t.Helper()
	key, err := seal.New(clusterSecret, seal.Routers)
	if err != nil {
		l.t.Fatal(err)
	}
	p := l.c.TxPipeline()
	for host, pair := range hosts {
		text, err := key.Seal(rand.Reader, []byte(route.EncodeCertificate(route.Certificate{Chain: string(pair[0]), Key: string(pair[1])})), host)
		if err != nil {
			l.t.Fatal(err)
		}
		p.Set(l.t.Context(), route.CertPrefix+host, text, 0)
	}
	p.HSet(l.t.Context(), route.CertVersionKey, "epoch", 7, "seq", seq, "count", len(hosts))
	if _, err := p.Exec(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
}

// serves waits until a handshake for a name shows the certificate.
func (r *running) serves(name string, chain []byte) {
	r.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(chain)
	testenv.Eventually(r.t, 20*time.Second, func() error {
		c, err := tls.Dial("tcp", r.TLSAddr(), &tls.Config{ServerName: name, RootCAs: roots})
		if err == nil {
			c.Close()
		}
		return err
	})
}

func TestRouter_ServesPublishedCertificatesReloadsThemAndStartsWithoutRedis(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	c := config(t, l.c.Options().Addr)
	c.TLS.Listen, c.TLS.Snapshot, c.Secret = "127.0.0.1:0", filepath.Join(t.TempDir(), "certs"), clusterSecret
	r := start(t, c)
	one, oneKey := issue(t, "shop.local")
	wild, wildKey := issue(t, "*.apps.local")
	l.certify(1, map[string][2][]byte{"shop.local": {one, oneKey}, "*.apps.local": {wild, wildKey}})
	r.serves("shop.local", one)
	r.serves("any.apps.local", wild)
	two, twoKey := issue(t, "shop.local")
	l.certify(2, map[string][2][]byte{"shop.local": {two, twoKey}, "*.apps.local": {wild, wildKey}})
	r.serves("shop.local", two)
	l.c.FlushAll(t.Context())
	r.serves("shop.local", two)
	r.end()
	c.Redis.Addr = "127.0.0.1:1"
	start(t, c).serves("shop.local", two)
}

func TestRouter_ACertificateThatChangesUnderLoadFailsNoRequestAndCutsNoConnection(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	l.publish(shop(app(t, says("ok"))))
	c := config(t, l.c.Options().Addr)
	c.TLS.Listen, c.Secret = "127.0.0.1:0", clusterSecret
	r := start(t, c)
	roots := x509.NewCertPool()
	issued := make([][2][]byte, 4)
	for i := range issued {
		issued[i][0], issued[i][1] = issue(t, "shop.local")
		roots.AppendCertsFromPEM(issued[i][0])
	}
	l.certify(1, map[string][2][]byte{"shop.local": issued[0]})
	r.serves("shop.local", issued[0][0])
	l.acknowledged("r1")
	trust := &tls.Config{RootCAs: roots}
	ctx, end := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for _, keeps := range []bool{true, true, false, false} {
		load.Go(func() {
			client, reused := client(t, r.TLSAddr(), trust, http1), true
			client.Transport.(*http.Transport).DisableKeepAlives = !keeps
			for n := 0; ctx.Err() == nil || n < 2; n++ {
				trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
				req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), "GET", "https://shop.local/", nil)
				resp, err := client.Do(req)
				if status, _, err := answer(resp, err); err != nil || status != 200 || keeps && n > 0 && !reused {
					t.Errorf("request %d, on a kept connection: %v of %v: %d %v", n, reused, keeps, status, err)
					return
				}
			}
		})
	}
	for i, pair := range issued[1:] {
		l.certify(i+2, map[string][2][]byte{"shop.local": pair})
		r.serves("shop.local", pair[0])
	}
	end()
	load.Wait()
}

func TestRouter_ClientResumesItsSessionAtAnotherRouter(t *testing.T) {
	t.Parallel()
	c, trust := secured(t, "127.0.0.1:1", "shop.local")
	c.Secret = clusterSecret
	first := start(t, c)
	c.ID, c.Snapshot = "r2", filepath.Join(t.TempDir(), "routes")
	second := start(t, c)
	trust.ServerName, trust.ClientSessionCache = "shop.local", tls.NewLRUClientSessionCache(1)
	for n, r := range []*running{first, second} {
		conn, err := tls.Dial("tcp", r.TLSAddr(), trust)
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().DidResume; got != (n == 1) {
			t.Errorf("router %d: resumed %v", n+1, got)
		}
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		io.ReadAll(conn) // the tickets come with the answer
		conn.Close()
	}
}

func TestRouter_AnyRouterAnswersTheAuthoritysChallenge(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	l.publish(shop(app(t, says("of the app"))))
	r := start(t, config(t, l.c.Options().Addr)) // without HTTPS: a name that has none yet, perhaps
	l.acknowledged("r1")
	const token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"
	if err := l.c.Set(t.Context(), route.ChallengePrefix+token, token+".thumbprint", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if status, body, err := r.get("not.yet.routed", challengePath+token); err != nil || status != 200 || body != token+".thumbprint" {
		t.Errorf("%d %q %v", status, body, err)
	}
	if _, body, err := r.get("shop.local", challengePath+token); err != nil || body != token+".thumbprint" {
		t.Errorf("of an app that is served: %q %v", body, err)
	}
	if _, body, _ := r.get("shop.local", challengePath+"0123456789012345678901"); body != "of the app" {
		t.Errorf("a token that is not ours gets %q", body)
	}
	if _, body, _ := r.get("shop.local", challengePath+"../../x"); body == "" {
		t.Error("no answer")
	}
}

// Visitors do not wait for Redis: a token that only looks like one is the
// app's within a second, also when Redis is gone.
func TestRouter_ChallengeWithRedisAwayIsTheAppsAffair(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	l.publish(shop(app(t, says("of the app"))))
	c, _ := secured(t, l.c.Options().Addr, "shop.local")
	r := start(t, c)
	l.acknowledged("r1")
	r.end()
	c.Redis.Addr = "127.0.0.1:1"
	r = start(t, c)
	if status, body, err := r.get("shop.local", challengePath+"0123456789012345678901"); err != nil || body != "of the app" {
		t.Errorf("%d %q %v", status, body, err)
	}
}

func TestRouter_SelfSignedOnlyWhenWished(t *testing.T) {
	t.Parallel()
	c := config(t, "127.0.0.1:1")
	c.TLS.Listen, c.TLS.SelfSigned = "127.0.0.1:0", true
	r := start(t, c)
	conn, err := tls.Dial("tcp", r.TLSAddr(), &tls.Config{ServerName: "any.example", InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if name := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; name != "dinp router, self-signed" {
		t.Errorf("got %q", name)
	}
}

func TestRouter_BrokenCertificateFileIsNamedAtTheStart(t *testing.T) {
	t.Parallel()
	c := config(t, "127.0.0.1:1")
	c.TLS.Listen = "127.0.0.1:0"
	c.TLS.Certificates = []cert.File{onDisk(t, []byte("no PEM"), []byte("none"))}
	err := New(c, slog.New(slog.DiscardHandler)).Listen()
	if err == nil || !strings.Contains(fmt.Sprint(err), c.TLS.Certificates[0].Chain) {
		t.Errorf("got %v", err)
	}
}
