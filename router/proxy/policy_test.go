package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/crypto/bcrypt"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
)

// rule routes shop to the addresses under settings.
func (f *front) rule(s model.Routing, addrs ...string) {
	f.t.Helper()
	if err := s.Check(); err != nil {
		f.t.Fatal(err)
	}
	b := route.Backend{App: "shop", Settings: &s}
	for _, a := range addrs {
		b.Endpoints = append(b.Endpoints, route.Endpoint{Addr: a, Instance: "i-" + a, Release: 7, Weight: 100})
	}
	f.put(b)
}

func ruled(t *testing.T, s model.Routing, h http.HandlerFunc) *front {
	f := newFront(t, Config{HTTPSPort: func() string { return "8443" }})
	f.rule(s, app(t, h))
	f.srv.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return f
}

func (f *front) refused(resp *http.Response, status int, code model.Code) {
	f.t.Helper()
	if resp.StatusCode != status || resp.Header.Get("Dinp-Error") != string(code) {
		f.t.Errorf("got %d %s, want %d %s", resp.StatusCode, resp.Header.Get("Dinp-Error"), status, code)
	}
}

func TestAllowFrom_LetsInWhoIsOnTheList(t *testing.T) {
	t.Parallel()
	f := ruled(t, model.Routing{AllowFrom: []string{"10.0.0.0/8", "::1"}}, says("hi"))
	resp, _ := f.get("/")
	f.refused(resp, 403, model.CodeNotFromHere)
	f.rule(model.Routing{AllowFrom: []string{"127.0.0.0/8"}}, app(t, says("hi")))
	if resp, body := f.get("/"); resp.StatusCode != 200 || body != "hi" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

func TestHTTPSRedirect_SendsClearRequestsAndKeepsTheTarget(t *testing.T) {
	t.Parallel()
	f := ruled(t, model.Routing{HTTPSRedirect: true, BasicAuth: []model.BasicUser{{Name: "ann", Hash: hashOf(t, "secret")}}}, says("hi"))
	resp, _ := f.do(f.request("POST", "/a%20b?q=%zz", strings.NewReader("x")))
	if resp.StatusCode != 308 || resp.Header.Get("Location") != "https://shop.local:8443/a%20b?q=%zz" || resp.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	if r := f.record(0); r.Why != "https_redirect" || r.Status != 308 {
		t.Errorf("record %+v", r)
	}
}

func TestRedirects_FirstMatchWinsAndTheRestIsAppended(t *testing.T) {
	t.Parallel()
	f := ruled(t, model.Routing{Redirects: []model.Redirect{
		{From: "/old", To: "/new", Status: 301},
		{From: "/docs/*", To: "https://docs.example.com/*"},
		{From: "other.local/*", To: "https://never.example.com/*"},
		{From: "/x/*", To: "/*", Status: 307},
	}}, says("hi"))
	for path, want := range map[string]string{
		"/old":           "301 /new",
		"/old/":          "200 ",
		"/docs/a/b?c=d":  "302 https://docs.example.com/a/b?c=d",
		"/docs/":         "302 https://docs.example.com/",
		"/docs":          "200 ",
		"/x/y":           "307 /y",
		"/x//evil.com/z": "307 /",
		"/":              "200 ",
	} {
		resp, _ := f.get(path)
		if got := fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Location")); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func hashOf(t *testing.T, password string) string {
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func TestBasicAuth_AsksAndHidesThePasswordFromTheApp(t *testing.T) {
	t.Parallel()
	f := ruled(t, model.Routing{BasicAuth: []model.BasicUser{{Name: "ann", Hash: hashOf(t, "secret")}}}, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "auth:"+r.Header.Get("Authorization"))
	})
	for _, c := range []struct{ user, password string }{{"", ""}, {"ann", "wrong"}, {"bob", "secret"}, {"ann", ""}} {
		r := f.request("GET", "/", nil)
		if c.user != "" {
			r.SetBasicAuth(c.user, c.password)
		}
		resp, _ := f.do(r)
		f.refused(resp, 401, model.CodeNeedsLogin)
		if got := resp.Header.Get("WWW-Authenticate"); got != `Basic realm="shop", charset="UTF-8"` {
			t.Errorf("challenge %q", got)
		}
	}
	for range 2 { // the second time from memory
		r := f.request("GET", "/", nil)
		r.SetBasicAuth("ann", "secret")
		if resp, body := f.do(r); resp.StatusCode != 200 || body != "auth:" {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
	}
}

func TestRate_TooManyAreToldWhenToComeBack(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]model.Routing{
		"rate": {Rate: &model.Rate{PerSecond: 0.001, Burst: 3}}, "source_rate": {SourceRate: &model.Rate{PerSecond: 0.001, Burst: 3}},
	} {
		f := ruled(t, s, says("hi"))
		for range 3 {
			if resp, _ := f.get("/"); resp.StatusCode != 200 {
				t.Errorf("%s: %d within the burst", name, resp.StatusCode)
			}
		}
		resp, _ := f.get("/")
		f.refused(resp, 429, model.CodeRateLimited)
		if resp.Header.Get("Retry-After") == "" || f.record(3).Why != name {
			t.Errorf("Retry-After %q, record %+v", resp.Header.Get("Retry-After"), f.record(3))
		}
	}
}

func TestMaxInFlight_RefusesWhatIsMoreAndForgetsWhatEnded(t *testing.T) {
	t.Parallel()
	began, finish := make(chan struct{}), make(chan struct{})
	f := ruled(t, model.Routing{MaxInFlight: 1}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(began)
			<-finish
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp, err := f.srv.Client().Do(f.request("GET", "/slow", nil)); err == nil {
			resp.Body.Close()
		}
	}()
	<-began
	resp, _ := f.get("/")
	f.refused(resp, 503, model.CodeTooBusy)
	close(finish)
	<-done
	f.record(1)
	if resp, _ := f.get("/"); resp.StatusCode != 200 {
		t.Errorf("%d though the other has ended", resp.StatusCode)
	}
}

func TestMaxBody_WithAndWithoutALength(t *testing.T) {
	t.Parallel()
	f := ruled(t, model.Routing{MaxBody: 1000}, mirror)
	for size, want := range map[int]int{0: 200, 1000: 200, 1001: 413, 1 << 20: 413} {
		for _, known := range []bool{true, false} {
			body := io.Reader(bytes.NewReader(make([]byte, size)))
			if !known {
				body = io.MultiReader(body)
			}
			if got := f.statusOf(f.request("POST", "/", body)); got != want {
				t.Errorf("%d bytes, length known %v: %d, want %d", size, known, got, want)
			}
		}
	}
	if s := f.set.States(f.set.Table().Lookup(host, "/"))[0]; s.Ejected {
		t.Error("the endpoint was blamed for the client")
	}
}

func TestTimeouts_EndWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	silent := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	half := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	trickle := func(w http.ResponseWriter, r *http.Request) {
		for i := 0; ; i++ {
			if _, err := io.WriteString(w, "x"); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	// Where the app is to answer in time, a busy machine must not keep it from that.
	short, ample, more := model.Duration(100*time.Millisecond), model.Duration(2*time.Second), model.Duration(3*time.Second)
	for name, c := range map[string]struct {
		s      model.Routing
		h      http.HandlerFunc
		status int
		why    string
	}{
		"no head in time":               {model.Routing{HeaderTimeout: short}, silent, 504, "timeout"},
		"idle before the head":          {model.Routing{IdleTimeout: short}, silent, 504, "idle_timeout"},
		"total before the head":         {model.Routing{TotalTimeout: short}, silent, 504, "total_timeout"},
		"idle within the body":          {model.Routing{IdleTimeout: ample}, half, 200, "idle_timeout"},
		"total within the body":         {model.Routing{TotalTimeout: ample}, trickle, 200, "total_timeout"},
		"a trickle is not idle":         {model.Routing{IdleTimeout: ample, TotalTimeout: more}, trickle, 200, "total_timeout"},
		"the head's time is not a body": {model.Routing{HeaderTimeout: ample, TotalTimeout: more}, trickle, 200, "total_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := ruled(t, c.s, c.h)
			resp, err := f.srv.Client().Do(f.request("GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			_, bodyErr := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != c.status || (bodyErr == nil) != (c.status == 504) {
				t.Errorf("status %d, body %v", resp.StatusCode, bodyErr)
			}
			if r := f.record(0); r.Why != c.why || r.Status != c.status {
				t.Errorf("record %+v", r)
			}
		})
	}
}

func TestHeaderTimeout_IsOverWhenTheAppAnswersBeforeItHasReadAll(t *testing.T) {
	t.Parallel()
	_, end := context.WithCancelCause(t.Context())
	defer end(nil)
	c := &headClock{end: end, limit: time.Millisecond}
	c.over()
	if c.sent(httptrace.WroteRequestInfo{}); c.timer != nil {
		t.Error("the clock runs although the answer has begun")
	}
}

func TestPages_OfTheAppReplaceOurs(t *testing.T) {
	t.Parallel()
	own := `<h1>{title}</h1>{code} {request_id} {message}`
	f := newFront(t, Config{})
	f.rule(model.Routing{ErrorPage: own, MaintenancePage: "<p>back soon</p>"})
	html := func() *http.Request {
		r := f.request("GET", "/", nil)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("X-Request-Id", "r1")
		return r
	}
	resp, body := f.do(html())
	f.refused(resp, 503, model.CodeNoReady)
	if !strings.HasPrefix(body, "<h1>The app is not ready</h1>D161 r1 It exists") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("page %q, head %v", body, resp.Header)
	}
	f.put(route.Backend{App: "shop", Maintenance: true, Settings: f.set.Table().Host(host).Settings})
	if resp, body := f.do(html()); resp.StatusCode != 503 || body != "<p>back soon</p>" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
	if _, body := f.get("/"); !strings.Contains(body, `"code":"D164"`) {
		t.Errorf("a program got %q", body)
	}
}

func TestCompress_TextForWhoAcceptsIt(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("compress me ", 1000)
	f := ruled(t, model.Routing{Compress: true}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		w.Header().Set("Etag", `"1"`)
		if e := r.URL.Query().Get("encoding"); e != "" {
			w.Header().Set("Content-Encoding", e)
		}
		body := text
		if r.URL.Path == "/small" {
			body = "small"
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if r.Method != "HEAD" {
			io.WriteString(w, body)
		}
	})
	for _, c := range []struct {
		method, path, accept string
		want                 bool
	}{
		{"GET", "/?type=text/plain", "gzip, br", true},
		{"HEAD", "/?type=text/plain", "gzip", true},
		{"GET", "/?type=application/json%3Bcharset=utf-8", "*", true},
		{"GET", "/?type=text/plain", "br", false},
		{"GET", "/?type=text/plain", "gzip;q=0", false},
		{"GET", "/?type=text/plain", "", false},
		{"GET", "/?type=image/png", "gzip", false},
		{"GET", "/?type=text/event-stream", "gzip", false},
		{"GET", "/?type=text/plain&encoding=br", "gzip", false},
		{"GET", "/small?type=text/plain", "gzip", false},
	} {
		r := f.request(c.method, c.path, nil)
		r.Header.Set("Accept-Encoding", c.accept)
		resp, body := f.do(r)
		got := resp.Header.Get("Content-Encoding") == "gzip"
		if got != c.want || resp.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%+v: head %v", c, resp.Header)
		}
		if got && (resp.Header.Get("Etag") != `W/"1"` || resp.ContentLength > 1000) {
			t.Errorf("%+v: head %v", c, resp.Header)
		}
		if got && c.method == "GET" {
			z, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := io.ReadAll(z); err != nil || string(plain) != text {
				t.Errorf("%+v: %d bytes, %v", c, len(plain), err)
			}
		}
	}
	if r := f.record(0); r.Bytes == 0 || r.Bytes >= int64(len(text)) {
		t.Errorf("%d bytes recorded, want those sent", r.Bytes)
	}
}

func TestCompress_ABrokenBodyDoesNotLookWhole(t *testing.T) {
	t.Parallel()
	f := ruled(t, model.Routing{Compress: true}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		io.WriteString(w, strings.Repeat("x", 1<<16))
		panic(http.ErrAbortHandler)
	})
	r := f.request("GET", "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	resp, err := f.srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the client cannot tell that half is missing")
	}
}

// instances that open a session on /login and tell who they are.
func sessionApp(t *testing.T, name string) string {
	return app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "JSESSIONID", Value: "s-" + name})
		}
		io.WriteString(w, name)
	})
}

func TestSticky_ASessionStaysAndMovesOnlyWhenItsInstanceGoes(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{})
	addrs := map[string]string{"a": sessionApp(t, "a"), "b": sessionApp(t, "b"), "c": sessionApp(t, "c")}
	sticky := model.Routing{Sticky: []string{"JSESSIONID"}}
	f.rule(sticky, addrs["a"], addrs["b"], addrs["c"])
	if resp, _ := f.get("/"); len(resp.Cookies()) != 0 {
		t.Errorf("a cookie without a session: %v", resp.Cookies())
	}
	resp, home := f.get("/login")
	cookies := resp.Cookies()
	if len(cookies) != 2 || cookies[1].Name != "dinp-session-shop" || !cookies[1].HttpOnly || strings.Contains(cookies[1].Value, "127") {
		t.Fatalf("cookies %v", cookies)
	}
	visit := func() (*http.Response, string) {
		r := f.request("GET", "/", nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		return f.do(r)
	}
	for range 30 {
		if resp, at := visit(); at != home || len(resp.Cookies()) != 0 {
			t.Fatalf("served by %s with %v, the session is at %s", at, resp.Cookies(), home)
		}
	}
	delete(addrs, home)
	var left []string
	for _, a := range addrs {
		left = append(left, a)
	}
	f.rule(sticky, left...)
	resp, home = visit()
	if len(resp.Cookies()) != 1 {
		t.Fatalf("moved to %s without a new cookie", home)
	}
	cookies[1] = resp.Cookies()[0]
	for range 30 {
		if _, at := visit(); at != home {
			t.Fatalf("served by %s, the session moved to %s", at, home)
		}
	}
}

func TestSticky_OurCookieMeansNothingWithoutASession(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{})
	f.rule(model.Routing{Sticky: []string{"JSESSIONID"}}, sessionApp(t, "a"), sessionApp(t, "b"), sessionApp(t, "c"))
	resp, home := f.get("/login")
	ours := resp.Cookies()[1]
	used := map[string]bool{}
	for n := range 60 { // the app has ended the session: its cookie is gone, ours is not
		r := f.request("GET", []string{"/", "/login"}[n%2], nil)
		r.AddCookie(ours)
		resp, at := f.do(r)
		used[at] = true
		told := len(resp.Cookies()) == 2 && (resp.Cookies()[1].Value == ours.Value) == (at == home)
		if n%2 == 1 && !told || n%2 == 0 && len(resp.Cookies()) != 0 {
			t.Fatalf("request %d, at %s where the old session was at %s: cookies %v", n, at, home, resp.Cookies())
		}
	}
	if len(used) < 2 {
		t.Errorf("without a session all went to %v", used)
	}
}

func TestHash_WhoSendsNoKeyIsServedByAll(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{})
	for _, on := range []string{"header:X-User", "cookie:user"} {
		f.rule(model.Routing{Policy: "hash", HashOn: on}, app(t, says("a")), app(t, says("b")), app(t, says("c")))
		used := map[string]bool{}
		for range 60 {
			resp, at := f.get("/")
			if used[at] = true; resp.StatusCode != 200 {
				t.Fatalf("%s: %d", on, resp.StatusCode)
			}
		}
		if len(used) != 3 {
			t.Errorf("%s: 60 requests without a key went to %v", on, used)
		}
	}
}

func TestRules_WhoMayNotComeIsToldNothingElse(t *testing.T) {
	t.Parallel()
	f := ruled(t, model.Routing{}, says("hi"))
	all := model.Routing{
		AllowFrom: []string{"10.0.0.0/8"}, HTTPSRedirect: true, Redirects: []model.Redirect{{From: "/old", To: "/new"}},
		Rate: &model.Rate{PerSecond: 0.001, Burst: 1}, BasicAuth: []model.BasicUser{{Name: "ann", Hash: hashOf(t, "secret")}}, MaintenancePage: "<p>back soon</p>",
	}
	for n, step := range []struct {
		lift   func() // what the step before was about
		status int
		why    string
	}{
		{func() {}, 403, "allow_from"},
		{func() { all.AllowFrom = []string{"127.0.0.0/8"} }, 308, "https_redirect"},
		{func() { all.HTTPSRedirect = false }, 302, "redirect"},
		{func() { all.Redirects = nil }, 401, "no_login"}, // and the rate is used up
		{func() {}, 429, "rate"},
		{func() { all.Rate = nil }, 401, "no_login"},
		{func() { all.BasicAuth = nil }, 503, "maintenance"},
	} {
		step.lift()
		f.put(route.Backend{App: "shop", Maintenance: true, Settings: &all})
		resp, _ := f.get("/old")
		if r := f.record(n); resp.StatusCode != step.status || r.Why != step.why {
			t.Errorf("%d because of %q, want %d and %q", resp.StatusCode, r.Why, step.status, step.why)
		}
	}
}

func TestHash_OneKeyIsServedByOneInstance(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{})
	var addrs []string
	for i := range 4 {
		addrs = append(addrs, app(t, says(fmt.Sprint(i))))
	}
	for _, on := range []string{"header:X-User", "cookie:user"} {
		f.rule(model.Routing{Policy: "hash", HashOn: on}, addrs...)
		used := map[string]bool{}
		for user := range 20 {
			home := ""
			for range 5 {
				r := f.request("GET", "/", nil)
				r.Header.Set("X-User", fmt.Sprint(user))
				r.AddCookie(&http.Cookie{Name: "user", Value: fmt.Sprint(user)})
				_, at := f.do(r)
				if home == "" {
					home = at
				}
				if at != home {
					t.Fatalf("%s: user %d went to %s and %s", on, user, home, at)
				}
			}
			used[home] = true
		}
		if len(used) < 3 {
			t.Errorf("%s: 20 users are on %d of 4 instances", on, len(used))
		}
	}
}

func TestEject_AnInstanceThatAnswers503IsLeftOut(t *testing.T) {
	t.Parallel()
	sick := app(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	f := newFront(t, Config{}, sick, app(t, says("ok")))
	bad := 0
	for range 60 {
		if resp, _ := f.get("/"); resp.StatusCode == 503 {
			bad++
		}
	}
	// A second later it is tried again: where that is now, its state does not tell.
	if bad > 10 {
		t.Errorf("%d of 60 went to the sick one", bad)
	}
}
