package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/common/seal"
	"github.com/dinp/dinp/server/publish"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
	"github.com/dinp/dinp/test/testenv"
)

const secret = "a secret of the cluster"

var by = model.Actor{Name: "test"}

// authority issues from memory.
type authority struct {
	t     *testing.T
	life  time.Duration
	fails error
	asked []string
}

func (a *authority) Issue(_ context.Context, host string) (chain, key string, err error) {
	a.asked = append(a.asked, host)
	if a.fails != nil {
		return "", "", a.fails
	}
	chain, key = issue(a.t, a.life, host)
	return chain, key, nil
}

func issue(t *testing.T, life time.Duration, host string) (chain, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(life)}
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

// rig is a keeper on a real database and a real Redis.
type rig struct {
	*Keeper
	t     *testing.T
	store *store.Store
	rdb   *redis.Client
	ca    *authority
}

func newRig(t *testing.T) *rig {
	t.Helper()
	st, err := store.Open(t.Context(), storetest.SQLite(t))
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: testenv.Redis(t), DisableIdentity: true})
	t.Cleanup(func() { rdb.Close(); st.Close() })
	r := &rig{t: t, store: st, rdb: rdb, ca: &authority{t: t, life: 90 * 24 * time.Hour}}
	r.Keeper = r.leader(100)
	return r
}

func (r *rig) leader(epoch int64) *Keeper {
	k, err := New(Config{Secret: secret, Epoch: epoch, Every: time.Second}, r.store, publish.NewCertificates(r.rdb), r.ca, slog.New(slog.DiscardHandler))
	if err != nil {
		r.t.Fatal(err)
	}
	return k
}

func (r *rig) upload(host string) (chain string) {
	r.t.Helper()
	chain, key := issue(r.t, time.Hour, host)
	k, err := seal.New(secret, seal.AtRest)
	if err != nil {
		r.t.Fatal(err)
	}
	sealed, err := k.Seal(rand.Reader, []byte(key), host)
	if err == nil {
		err = r.store.PutCertificate(r.t.Context(), model.Certificate{Host: host, Source: model.Uploaded, Chain: chain, SealedKey: sealed, NotAfter: time.Now().Add(time.Hour)}, by)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return chain
}

func (r *rig) turn(k *Keeper, now time.Time) {
	r.t.Helper()
	if err := k.round(r.t.Context(), now); err != nil {
		r.t.Fatal(err)
	}
}

// inRedis opens what routers would.
func (r *rig) inRedis(host string) (route.Certificate, string) {
	r.t.Helper()
	text, err := r.rdb.Get(r.t.Context(), route.CertPrefix+host).Result()
	if errors.Is(err, redis.Nil) {
		return route.Certificate{}, ""
	}
	k, errKey := seal.New(secret, seal.Routers)
	plain, errOpen := k.Open(text, host)
	if err := errors.Join(err, errKey, errOpen); err != nil {
		r.t.Fatal(err)
	}
	c, err := route.DecodeCertificate(plain)
	if err != nil {
		r.t.Fatal(err)
	}
	return c, text
}

func (r *rig) version() route.Version {
	r.t.Helper()
	v, err := publish.NewCertificates(r.rdb).Version(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func TestKeeper_PublishesWhatChangesSealedAndNothingTwice(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.turn(r.Keeper, time.Now())
	if v := r.version(); v != (route.Version{}) {
		t.Errorf("published nothing as %v", v)
	}
	a := r.upload("a.example")
	r.turn(r.Keeper, time.Now())
	c, first := r.inRedis("a.example")
	if c.Chain != a || !strings.Contains(c.Key, "PRIVATE KEY") || strings.Contains(first, "PRIVATE KEY") {
		t.Errorf("in Redis: %q", first)
	}
	before := r.version()
	r.turn(r.Keeper, time.Now())
	if v := r.version(); v != before {
		t.Errorf("written again as %v without a change", v)
	}
	r.upload("b.example")
	if err := r.store.DeleteCertificate(t.Context(), "a.example", by); err != nil {
		t.Fatal(err)
	}
	r.turn(r.Keeper, time.Now())
	if _, text := r.inRedis("a.example"); text != "" {
		t.Error("a removed certificate stays")
	}
	if c, _ := r.inRedis("b.example"); c.Chain == "" {
		t.Error("the new one is missing")
	}
}

func TestKeeper_WritesAgainWhatRedisHasLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.upload("a.example")
	r.turn(r.Keeper, time.Now())
	was := r.version()
	r.rdb.FlushAll(t.Context())
	r.turn(r.Keeper, time.Now())
	if v := r.version(); !was.Less(v) {
		t.Errorf("version %v after %v", v, was)
	}
	if c, _ := r.inRedis("a.example"); c.Chain == "" {
		t.Error("not written again")
	}
}

func TestKeeper_AnOldLeaderWritesNoMore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.upload("a.example")
	newer := r.leader(200)
	r.turn(newer, time.Now())
	r.upload("b.example")
	if err := r.round(t.Context(), time.Now()); !errors.Is(err, publish.ErrOldEpoch) {
		t.Errorf("got %v", err)
	}
	if _, text := r.inRedis("b.example"); text != "" {
		t.Error("it wrote all the same")
	}
}

func TestKeeper_HasCertificatesIssuedAndRenewsThemBeforeTheyEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.store.PutCertificate(t.Context(), model.Certificate{Host: "a.example", Source: model.ByACME}, by); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	r.turn(r.Keeper, now)
	r.turn(r.Keeper, now) // publishes it
	first, _ := r.inRedis("a.example")
	if first.Chain == "" || len(r.ca.asked) != 1 {
		t.Fatalf("asked %v", r.ca.asked)
	}
	r.turn(r.Keeper, now.AddDate(0, 0, 59))
	if len(r.ca.asked) != 1 {
		t.Errorf("asked again with a third of its life left: %v", r.ca.asked)
	}
	r.turn(r.Keeper, now.AddDate(0, 0, 61))
	r.turn(r.Keeper, now)
	if again, _ := r.inRedis("a.example"); again.Chain == first.Chain || len(r.ca.asked) != 2 {
		t.Errorf("not renewed; asked %v", r.ca.asked)
	}
}

func TestKeeper_AFailedIssueIsToldAndTriedLaterAndLater(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ca.fails = model.E(model.CodeACME, "the name leads elsewhere")
	if err := r.store.PutCertificate(t.Context(), model.Certificate{Host: "a.example", Source: model.ByACME}, by); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for n, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		r.turn(r.Keeper, now)
		r.turn(r.Keeper, now.Add(wait-time.Second))
		all, err := r.store.Certificates(t.Context())
		if err != nil || len(r.ca.asked) != n+1 || all[0].Failures != n+1 || !strings.Contains(all[0].Failure, "leads elsewhere") {
			t.Fatalf("after %d: asked %d times, %+v %v", n+1, len(r.ca.asked), all, err)
		}
		now = now.Add(wait)
	}
	if got := retryAfter(100); got != retryMax {
		t.Errorf("after a hundred failures it waits %v", got)
	}
}

func TestKeeper_AKeyOfAnotherSecretHoldsNothingElseUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.upload("good.example")
	if err := r.store.PutCertificate(t.Context(), model.Certificate{Host: "bad.example", Source: model.Uploaded, Chain: "x", SealedKey: "y"}, by); err != nil {
		t.Fatal(err)
	}
	r.turn(r.Keeper, time.Now())
	if c, _ := r.inRedis("good.example"); c.Chain == "" {
		t.Error("not published")
	}
}
