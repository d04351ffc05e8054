// Package acme has certificates issued by a real authority to real routers: the
// parts from the database to the handshake, but for dash and the server's life.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/router"
	"github.com/dinp/dinp/server/acme"
	"github.com/dinp/dinp/server/certs"
	"github.com/dinp/dinp/server/publish"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
	"github.com/dinp/dinp/test/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "a secret of the cluster"

var by = model.Actor{Name: "test"}

// rig is two routers that share their ports, so that either may be asked, and
// the leader's keeper of certificates.
type rig struct {
	t       *testing.T
	ca      *testenv.Authority
	store   *store.Store
	routers [2]*router.Router
}

func newRig(t *testing.T, life time.Duration, change func(*acme.Config)) *rig {
	t.Helper()
	r := &rig{t: t}
	redisAddr := testenv.Redis(t)
	r.startRouters(redisAddr)
	r.ca = testenv.NewAuthority(t, testenv.PortOf(t, r.routers[0].Addr()), life)
	var err error
	if r.store, err = store.Open(t.Context(), storetest.SQLite(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.store.Close() })
	cfg := acme.Config{Directory: r.ca.Directory, CAFile: r.ca.CAFile, Email: "ops@example.com"}
	if change != nil {
		change(&cfg)
	}
	r.keep(cfg, redisAddr)
	return r
}

// run runs f until the test ends.
func (r *rig) run(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}

func (r *rig) startRouters(redisAddr string) {
	r.t.Helper()
	for n := range r.routers {
		c := router.Default()
		c.Listen, c.TLS.Listen, c.Admin, c.Redis.Addr, c.Secret = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", redisAddr, secret
		c.ReusePort, c.Timeouts.LameDuck = true, 0
		c.ID = fmt.Sprint("r", n)
		if n > 0 {
			c.Listen = r.routers[0].Addr()
		}
		r.routers[n] = router.New(c, slog.New(slog.DiscardHandler))
		if err := r.routers[n].Listen(); err != nil {
			r.t.Fatal(err)
		}
		r.run(r.routers[n].Run)
	}
}

func (r *rig) keep(cfg acme.Config, redisAddr string) {
	r.t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: redisAddr})
	r.t.Cleanup(func() { rdb.Close() })
	target := publish.NewCertificates(rdb)
	issuer, err := acme.New(cfg, secret, target, r.store)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(issuer.Close)
	k, err := certs.New(certs.Config{Secret: secret, Epoch: 1, Every: 100 * time.Millisecond}, r.store, target, issuer, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	r.run(k.Run)
}

// want asks for a certificate, as dinp certs put HOST --acme does.
func (r *rig) want(host string) {
	r.t.Helper()
	if err := r.store.PutCertificate(r.t.Context(), model.Certificate{Host: host, Source: model.ByACME}, by); err != nil {
		r.t.Fatal(err)
	}
}

// row waits until the certificate of a host is as ok says.
func (r *rig) row(host string, ok func(model.Certificate) bool) (c model.Certificate) {
	r.t.Helper()
	testenv.Eventually(r.t, 2*time.Minute, func() error {
		all, err := r.store.Certificates(r.t.Context())
		if err != nil {
			return err
		}
		for _, c = range all {
			if c.Host == host && ok(c) {
				return nil
			}
		}
		return fmt.Errorf("%+v", all)
	})
	return c
}

// shown waits until both routers show a certificate for name that satisfies ok,
// and returns it.
func (r *rig) shown(name string, trust *tls.Config, ok func(*x509.Certificate) bool) (leaf *x509.Certificate) {
	r.t.Helper()
	trust.ServerName = name
	for _, one := range r.routers {
		testenv.Eventually(r.t, 2*time.Minute, func() error {
			c, err := tls.Dial("tcp", one.TLSAddr(), trust)
			if err != nil {
				return errors.Join(err, r.refused())
			}
			defer c.Close()
			if leaf = c.ConnectionState().PeerCertificates[0]; !ok(leaf) {
				return fmt.Errorf("%s is shown number %v, until %v", name, leaf.SerialNumber, leaf.NotAfter)
			}
			return nil
		})
	}
	return leaf
}

// refused says, and ends the test with it, what the authority held against us.
func (r *rig) refused() error {
	r.t.Helper()
	all, err := r.store.Certificates(r.t.Context())
	for _, c := range all {
		if c.Failures > 0 && c.Host != "elsewhere.example" {
			r.t.Fatal(c.Failure)
		}
	}
	return err
}

func any(*x509.Certificate) bool { return true }

func TestACME_AnyRouterProvesANameAndAllServeItsCertificate(t *testing.T) {
	t.Parallel()
	r := newRig(t, time.Hour, nil)
	for _, host := range []string{"www.shop.example", "blog.example"} {
		r.want(host)
		leaf := r.shown(host, &tls.Config{RootCAs: r.ca.Roots}, any)
		if got := leaf.NotAfter.Sub(leaf.NotBefore).Round(time.Minute); got != time.Hour {
			t.Errorf("%s is valid for %v", host, got)
		}
	}
	if c := r.row("blog.example", func(c model.Certificate) bool { return c.Chain != "" }); strings.Contains(c.SealedKey, "PRIVATE") || c.Failure != "" || c.TryAt.After(c.NotAfter) {
		t.Errorf("kept as %+v", c)
	}
}

func TestACME_CertificatesAreRenewedBeforeTheyEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, 15*time.Second, nil)
	r.want("www.shop.example")
	trust := &tls.Config{InsecureSkipVerify: true} // a loaded machine may look too late; the row says what was in time
	first := r.shown("www.shop.example", trust, any)
	r.shown("www.shop.example", trust, func(c *x509.Certificate) bool { return c.SerialNumber.Cmp(first.SerialNumber) != 0 })
	if c := r.row("www.shop.example", func(c model.Certificate) bool { return c.Generation > 2 }); c.Failure != "" {
		t.Errorf("renewed, and still %q", c.Failure)
	}
}

func TestACME_WhatTheAuthorityHeldAgainstItIsToldAndTriedAgainLater(t *testing.T) {
	t.Parallel()
	r := newRig(t, time.Hour, nil)
	r.ca.SetAddress(t, "elsewhere.example", "127.0.0.9") // where nobody listens
	r.want("elsewhere.example")
	c := r.row("elsewhere.example", func(c model.Certificate) bool { return c.Failures > 0 })
	for _, want := range []string{"no certificate for elsewhere.example", "acme:error:connection", "connection refused"} {
		if !strings.Contains(c.Failure, want) {
			t.Errorf("%q does not say %q", c.Failure, want)
		}
	}
	if wait := c.TryAt.Sub(c.UpdatedAt); wait < 50*time.Second {
		t.Errorf("tried again after %v", wait)
	}
	r.want("good.example") // one that fails holds no other up
	r.shown("good.example", &tls.Config{RootCAs: r.ca.Roots}, any)
}

func TestACME_WithoutAHookAWildcardSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	r := newRig(t, time.Hour, nil)
	r.want("*.shop.example")
	c := r.row("*.shop.example", func(c model.Certificate) bool { return c.Failures > 0 })
	if !strings.Contains(c.Failure, "dns_hook") {
		t.Errorf("got %q", c.Failure)
	}
}

// hook sets records as an operator's program would, and notes how it was called.
const hook = `#!/bin/sh
set -eu
echo "$1 $2" >> "$(dirname "$0")/calls"
case $1 in
present) path=set-txt; body="{\"host\":\"$2.\",\"value\":\"$3\"}" ;;
cleanup) path=clear-txt; body="{\"host\":\"$2.\"}" ;;
esac
curl -fsS -d "$body" "$(cat "$(dirname "$0")/dns")/$path"
`

func TestACME_WildcardsAreProvenByTheDNSHookWhichCleansUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := filepath.Join(dir, "hook")
	if err := os.WriteFile(script, []byte(hook), 0o700); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, time.Hour, func(c *acme.Config) { c.DNSHook = script })
	if err := os.WriteFile(filepath.Join(dir, "dns"), []byte(r.ca.DNSAdmin), 0o600); err != nil {
		t.Fatal(err)
	}
	r.want("*.shop.example")
	r.shown("any.shop.example", &tls.Config{RootCAs: r.ca.Roots}, any)
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	if want := "present _acme-challenge.shop.example\ncleanup _acme-challenge.shop.example\n"; err != nil || string(calls) != want {
		t.Errorf("the hook was called %q, want %q: %v", calls, want, err)
	}
}

func TestACME_AHookThatFailsIsQuotedInTheReason(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho no such zone >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, time.Hour, func(c *acme.Config) { c.DNSHook = script })
	r.want("*.shop.example")
	c := r.row("*.shop.example", func(c model.Certificate) bool { return c.Failures > 0 })
	if !strings.Contains(c.Failure, "exit status 3") || !strings.Contains(c.Failure, "no such zone") {
		t.Errorf("got %q", c.Failure)
	}
}
