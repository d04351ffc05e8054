package dash

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/seal"
	"github.com/dinp/dinp/sql/store/storetest"
)

// issue makes a certificate that is its own root.
func issue(t *testing.T, life time.Duration, names ...string) api.PutCertificate {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return api.PutCertificate{
		Chain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Key:   string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})),
	}
}

func TestCertificates_AreKeptSealedAndToldWithoutTheirKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	in := issue(t, time.Hour, "*.apps.localhost")
	status, text, _ := r.call("PUT", "/certificates/*.apps.localhost", r.admin, in)
	if status != 200 || strings.Contains(text, "PRIVATE") {
		t.Fatalf("%d %s", status, text)
	}
	p := do[api.Page[api.Certificate]](r, 200, "GET", "/certificates", r.admin, nil)
	if len(p.Items) != 1 || p.Items[0].State != "in use" || p.Items[0].Host != "*.apps.localhost" {
		t.Errorf("%+v", p)
	}
	all, err := r.store.Certificates(t.Context())
	if err != nil || len(all) != 1 || strings.Contains(all[0].SealedKey, "PRIVATE") {
		t.Fatalf("%+v %v", all, err)
	}
	key, err := seal.New(testSecret, seal.AtRest)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := key.Open(all[0].SealedKey, "*.apps.localhost"); err != nil || string(plain) != in.Key {
		t.Errorf("the key opens as %q, %v", plain, err)
	}
	do[any](r, 204, "DELETE", "/certificates/*.apps.localhost", r.admin, nil)
	r.refused(model.CodeNotFound, "DELETE", "/certificates/*.apps.localhost", r.admin, nil)
}

func TestCertificates_ThatCannotServeAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	good, other := issue(t, time.Hour, "a.example"), issue(t, time.Hour, "b.example")
	for name, c := range map[string]struct {
		in   api.PutCertificate
		says string
	}{
		"another name":     {other, "is for b.example, not for a.example"},
		"another's key":    {api.PutCertificate{Chain: good.Chain, Key: other.Key}, "private key does not match"},
		"expired":          {issue(t, -time.Minute, "a.example"), "expired"},
		"no PEM":           {api.PutCertificate{Chain: "x", Key: "y"}, "cannot be used"},
		"huge":             {api.PutCertificate{Chain: strings.Repeat("x", 70_000), Key: "y"}, "at most"},
		"nothing":          {api.PutCertificate{}, "cannot be used"},
		"only of its host": {issue(t, time.Hour, "*.example"), ""},
	} {
		if c.says == "" {
			do[api.Certificate](r, 200, "PUT", "/certificates/a.example", r.admin, c.in)
			continue
		}
		if e := r.refused(model.CodeBadCert, "PUT", "/certificates/a.example", r.admin, c.in); !strings.Contains(e.Message, c.says) {
			t.Errorf("%s: %s", name, e.Message)
		}
	}
	both := good
	both.ACME = true
	r.refused(model.CodeBadRequest, "PUT", "/certificates/a.example", r.admin, both)
	r.refused(model.CodeBadDomain, "PUT", "/certificates/*.*.example", r.admin, good)
}

func TestCertificates_AnAppsOperatorChangesThoseOfItsHostsAndSeesNoOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	do[api.Domain](r, 201, "POST", "/apps/shop/domains", r.admin, api.Domain{Host: "www.shop.example"})
	operator, deployer := r.user("op", model.Operator), r.user("dep", model.Deployer)
	acme := api.PutCertificate{ACME: true}
	for _, host := range []string{"www.shop.example", "shop.apps.localhost"} {
		if c := do[api.Certificate](r, 200, "PUT", "/certificates/"+host, operator, acme); c.State != "waiting" || c.Source != "acme" {
			t.Errorf("%+v", c)
		}
		r.refused(model.CodeDenied, "PUT", "/certificates/"+host, deployer, acme)
	}
	for _, host := range []string{"*.apps.localhost", "other.example", "none.apps.localhost"} {
		r.refused(model.CodeDenied, "PUT", "/certificates/"+host, operator, acme)
		do[api.Certificate](r, 200, "PUT", "/certificates/"+host, r.admin, acme)
	}
	if p := do[api.Page[api.Certificate]](r, 200, "GET", "/certificates", operator, nil); len(p.Items) != 2 {
		t.Errorf("an operator sees %+v", p.Items)
	}
	if p := do[api.Page[api.Certificate]](r, 200, "GET", "/certificates", r.admin, nil); len(p.Items) != 5 {
		t.Errorf("an admin sees %+v", p.Items)
	}
}

func TestCertificates_OneInUseStaysUntilAnotherIsIssued(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	in := issue(t, time.Hour, "a.example")
	do[api.Certificate](r, 200, "PUT", "/certificates/a.example", r.admin, in)
	do[api.Certificate](r, 200, "PUT", "/certificates/a.example", r.admin, api.PutCertificate{ACME: true})
	all, err := r.store.Certificates(t.Context())
	if err != nil || len(all) != 1 || all[0].Chain != in.Chain || all[0].Source != model.ByACME {
		t.Errorf("%+v %v", all, err)
	}
}
