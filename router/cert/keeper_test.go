package cert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/common/seal"
)

const secret = "a secret of the cluster"

func issue(t *testing.T, names ...string) (chain, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

// sealed is a certificate as it stands in Redis.
func sealed(t *testing.T, host string, names ...string) string {
	t.Helper()
	chain, key := issue(t, names...)
	k, err := seal.New(secret, seal.Routers)
	if err != nil {
		t.Fatal(err)
	}
	text, err := k.Seal(rand.Reader, []byte(route.EncodeCertificate(route.Certificate{Chain: chain, Key: key})), host)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func keeper(t *testing.T, c Config) *Keeper {
	t.Helper()
	k, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func write(t *testing.T, f File, chain, key string) {
	t.Helper()
	for name, text := range map[string]string{f.Chain: chain, f.Key: key} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTable_FindsTheNameItselfThenTheWildcardOneLabelAbove(t *testing.T) {
	t.Parallel()
	exact, wild := &tls.Certificate{}, &tls.Certificate{}
	table := &Table{byName: map[string]*tls.Certificate{"a.example.com": exact, "*.example.com": wild}}
	for name, want := range map[string]*tls.Certificate{
		"a.example.com": exact, "b.example.com": wild, "example.com": nil, "x.a.example.com": nil, "": nil, "com": nil, "*.example.com": wild,
	} {
		if got := table.Lookup(name); got != want {
			t.Errorf("%q: the wrong one", name)
		}
	}
}

func TestPublish_OlderVersionsAndRuinedValuesTakeNothingAway(t *testing.T) {
	t.Parallel()
	k := keeper(t, Config{Secret: secret})
	v := func(seq int64) route.Version { return route.Version{Epoch: 7, Seq: seq} }
	a := sealed(t, "a.example", "a.example")
	k.Publish(v(2), map[string]string{"a.example": a})
	first := k.Table().Lookup("a.example")
	if first == nil {
		t.Fatal("not taken")
	}
	k.Publish(v(1), map[string]string{})
	k.Publish(v(3), map[string]string{"a.example": "ruined", "b.example": sealed(t, "other.example", "b.example")})
	if k.Table().Lookup("a.example") != first || k.Table().Lookup("b.example") != nil {
		t.Errorf("in use: %v", k.Table().Names())
	}
	k.Publish(v(4), map[string]string{"a.example": a})
	if k.Table().Lookup("a.example") != first {
		t.Error("what did not change was read anew")
	}
	k.Publish(v(5), map[string]string{})
	if len(k.Table().Names()) != 0 {
		t.Errorf("removed, and still in use: %v", k.Table().Names())
	}
	if k.Wants(v(5)) || !k.Wants(v(6)) {
		t.Error("wants what it has, or not what is new")
	}
}

func TestPublish_OutlivesTheProcessAndNoKeyLiesOnDisk(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "certs.json")
	k := keeper(t, Config{Secret: secret, Snapshot: file})
	at := route.Version{Epoch: 7, Seq: 2}
	k.Publish(at, map[string]string{"a.example": sealed(t, "a.example", "a.example")})
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "PRIVATE") {
		t.Fatalf("%s %v", text, err)
	}
	again := keeper(t, Config{Secret: secret, Snapshot: file})
	if again.Table().Lookup("a.example") == nil || again.Wants(at) {
		t.Error("a new process does not have it")
	}
	if other := keeper(t, Config{Secret: secret + "!", Snapshot: file}); len(other.Table().Names()) != 0 || !other.Wants(at) {
		t.Error("another secret opens it, or does not read Redis again")
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	keeper(t, Config{Secret: secret, Snapshot: file})
}

func TestFiles_AreReadAgainWhenTheyChangeAndKeptWhenTheyBreak(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := File{Chain: filepath.Join(dir, "c"), Key: filepath.Join(dir, "k")}
	chain, key := issue(t, "a.example")
	write(t, f, chain, key)
	k := keeper(t, Config{Files: []File{f}})
	first := k.Table().Lookup("a.example")
	k.check(time.Now())
	if k.Table().Lookup("a.example") != first {
		t.Error("read again without a change")
	}
	later := time.Now().Add(time.Minute)
	write(t, f, "broken", key)
	os.Chtimes(f.Chain, later, later)
	k.check(time.Now())
	if k.Table().Lookup("a.example") != first {
		t.Error("a broken file took a certificate away")
	}
	chain, key = issue(t, "a.example", "b.example")
	write(t, f, chain, key)
	later = later.Add(time.Minute)
	os.Chtimes(f.Chain, later, later)
	k.check(time.Now())
	if k.Table().Lookup("b.example") == nil || k.Table().Lookup("a.example") == first {
		t.Error("the new file is not in use")
	}
	if _, err := New(Config{Files: []File{{Chain: "/nowhere", Key: "/nowhere"}}}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file that is missing at the start is no error")
	}
}

func TestTickets_AreSharedByRoutersAndTurn(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	one, err := newTickets(secret)
	if err != nil {
		t.Fatal(err)
	}
	two, _ := newTickets(secret)
	foreign, _ := newTickets(secret + "!")
	mine := one.at(now)
	if mine[0] != two.at(now)[0] || mine[0] == foreign.at(now)[0] {
		t.Error("keys follow not from the secret alone")
	}
	if one.turned(now) || !one.turned(now.Add(ticketPeriod)) {
		t.Error("turned when it is not due, or not when it is")
	}
	next := two.at(now.Add(ticketPeriod))
	if next[0] == mine[0] || next[1] != mine[0] || mine[2] != next[0] {
		t.Error("a ticket of the period before is not taken, or not that of a router whose clock is ahead")
	}
}
