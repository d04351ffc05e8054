package dash

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
)

func TestConfig_ListsAllThatIsWrong(t *testing.T) {
	t.Parallel()
	c := Default()
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "there is no certificate") {
		t.Errorf("without a certificate: %v", err)
	}
	c.Identity, c.Secret = cluster.Part(pki.RoleDash, "dash"), "s"
	if err := c.Validate(); err != nil {
		t.Fatalf("the defaults: %v", err)
	}
	bad := Config{Listen: "x", Admin: "y", Domain: "A/b", PublicScheme: "ftp", Servers: []string{"z"}, TrustedProxies: []string{"everybody"}}
	err := bad.Validate()
	for _, word := range []string{"listen", "admin", "domain", "public_scheme", "public_port", "servers", "certificate", "secret", "registry", "data", "max_upload_mib", "trusted_proxies"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s is not named in: %v", word, err)
		}
	}
	if !model.IsCode(err, model.CodeBadConfig) {
		t.Errorf("code: %v", err)
	}
	if text := slog.AnyValue(c).Resolve().String(); strings.Contains(text, "{s ") || !strings.Contains(text, "[redacted]") {
		t.Errorf("in the log: %s", text)
	}
}

func TestConfig_AppURL(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Config{
		"http://shop.a.b:8080/": {Domain: "a.b", PublicScheme: "http", PublicPort: 8080}, "http://shop.a.b/": {Domain: "a.b", PublicScheme: "http", PublicPort: 80},
		"https://shop.a.b/": {Domain: "a.b", PublicScheme: "https", PublicPort: 443}, "https://shop.a.b:80/": {Domain: "a.b", PublicScheme: "https", PublicPort: 80},
	} {
		if got := c.AppURL("shop"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestListen_NamesThePortThatIsTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	st, err := store.Open(t.Context(), storetest.SQLite(t))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for _, setting := range []string{"listen", "admin"} {
		c := Default()
		c.Secret = "s"
		c.Identity, c.Data, c.Listen, c.Admin = cluster.Part(pki.RoleDash, "dash"), t.TempDir(), "127.0.0.1:0", "127.0.0.1:0"
		if setting == "listen" {
			c.Listen = l.Addr().String()
		} else {
			c.Admin = l.Addr().String()
		}
		d, err := New(c, st, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		err = d.Listen()
		if !model.IsCode(err, model.CodePortTaken) || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(model.AsError(err).Next, "dash's "+setting+" ") {
			t.Errorf("%s: %v", setting, err)
		}
		if err := d.Run(t.Context()); setting == "listen" && err == nil {
			t.Error("ran without listening")
		}
	}
}

func TestAdmin_Pages(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.Version](r, 200, "GET", "/version", "", nil)
	get := func(path string) (int, string) {
		resp, err := http.Get("http://" + r.AdminAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	for _, p := range []string{"/healthz", "/readyz"} {
		if status, text := get(p); status != 200 || text != "ok\n" {
			t.Errorf("%s: %d %s", p, status, text)
		}
	}
	if _, text := get("/metrics"); !strings.Contains(text, `dinp_dash_requests_total{method="GET",route="/api/v1/version",status="200"} 1`) {
		t.Errorf("metrics: %s", text)
	}
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	if status, _ := get("/readyz"); status != 503 {
		t.Errorf("/readyz without a database: %d", status)
	}
	e := r.refused(model.CodeInternal, "GET", "/apps", r.admin, nil)
	if strings.Contains(e.Message, "sql") || !strings.Contains(e.Message, "request ") {
		t.Errorf("an internal error says %q", e.Message)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	_, text, h := r.call("GET", "/version", "", nil, "X-Forwarded-For", "10.66.66.66")
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cache-Control": "no-store"} {
		if h.Get(name) != want {
			t.Errorf("%s: %q", name, h.Get(name))
		}
	}
	if h.Get("X-Request-Id") == "" || !strings.Contains(text, `"url":"http://%s.apps.localhost:8080/"`) {
		t.Errorf("version: %v %s", h, text)
	}
	_, _, h = r.call("GET", "/apps", "", nil)
	if !strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("without a token: %v", h)
	}
	r.call("POST", "/login", "", api.Login{User: "admin", Password: "guess"}, "X-Forwarded-For", "10.66.66.66")
	if p := do[api.Page[api.Event]](r, 200, "GET", "/audit?limit=1", r.admin, nil); p.Items[0].From != "127.0.0.1" {
		t.Errorf("a stranger's header is believed: %+v", p.Items[0])
	}
}

func TestRecoverPanic_AnswersAndGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	g := gin.New()
	g.Use(r.observe, r.recoverPanic)
	g.GET("/api/v1/boom", func(*gin.Context) { panic("secret detail") })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: g}
	go func() { _ = s.Serve(l) }()
	defer s.Shutdown(context.WithoutCancel(t.Context()))
	resp, err := http.Get("http://" + l.Addr().String() + "/api/v1/boom")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 500 || strings.Contains(string(b), "secret detail") || !strings.Contains(string(b), "D100") {
		t.Errorf("got %d %s", resp.StatusCode, b)
	}
}

// TestOpenAPI_DescribesEveryRoute compares the description with what gin serves.
func TestOpenAPI_DescribesEveryRoute(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	doc := do[struct {
		OpenAPI    string
		Paths      map[string]map[string]map[string]any
		Components struct{ Schemas map[string]map[string]any }
	}](r, 200, "GET", "/openapi.json", "", nil)
	g := gin.New()
	r.registerAPI(g)
	n := 0
	for _, route := range g.Routes() {
		path, _ := openAPIPath(strings.TrimPrefix(route.Path, apiBase))
		op := doc.Paths[path][strings.ToLower(route.Method)]
		if op == nil || op["summary"] == "" || op["responses"] == nil {
			t.Errorf("%s %s is not described", route.Method, path)
		}
		n++
	}
	described := 0
	ids := map[any]bool{}
	for _, item := range doc.Paths {
		described += len(item)
		for _, op := range item {
			if ids[op["operationId"]] {
				t.Errorf("operationId %v twice", op["operationId"])
			}
			ids[op["operationId"]] = true
		}
	}
	if n != described || n < 50 || !strings.HasPrefix(doc.OpenAPI, "3.") {
		t.Errorf("%d routes, %d described, version %s", n, described, doc.OpenAPI)
	}
	text, err := json.Marshal(r.openAPI())
	if err != nil {
		t.Fatal(err)
	}
	for ref := range strings.SplitSeq(string(text), `"#/components/schemas/`) {
		name, _, _ := strings.Cut(ref, `"`)
		if !strings.HasPrefix(ref, "{") && doc.Components.Schemas[name]["properties"] == nil {
			t.Errorf("schema %q is referred to and not there", name)
		}
	}
	page := doc.Components.Schemas["AppPage"]["properties"].(map[string]any)
	deploy := doc.Components.Schemas["NewRelease"]["properties"].(map[string]any)
	if page["items"] == nil || deploy["image"] == nil || deploy["memory_mib"] == nil {
		t.Errorf("schemas: %v %v", page, deploy)
	}
}

// TestOpenAPI_KnowsEveryKindOfField fails when a type of the API has a field that
// the description would leave open.
func TestOpenAPI_KnowsEveryKindOfField(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	s := schemas{}
	for _, e := range r.endpoints() {
		for _, v := range []any{e.body, e.answer} {
			if v != nil {
				s.of(reflect.TypeOf(v))
			}
		}
	}
	for name, schema := range s {
		props, _ := schema.(object)["properties"].(object)
		for field, of := range props {
			if len(of.(object)) == 0 && name+"."+field != "Event.detail" {
				t.Errorf("%s.%s has no type", name, field)
			}
		}
	}
}
