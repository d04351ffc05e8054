package conformance

import (
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// kase is one exchange: what the client sends, what the app answers, and what
// each of them gets. In send and reply a line break stands for CRLF, and ¶
// for a bare LF. In what is wanted, … stands for any rest and * for anything.
type kase struct {
	name  string
	send  string // of the client; "" is a plain GET
	reply string // of the app; "" is a plain 200
	app   string // what the app gets, without what every request has; "-": nothing
	back  string // what the client gets; "" is the plain 200
	ends  bool   // the client's connection ends
	may   bool   // end or not, by who is faster

	// What the full path does otherwise, and why it may.
	fullApp, fullBack string
	fullEnds          *bool
	why               string
}

const (
	plainReply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	plainBack  = `200 OK | content-length: 2 | length "ok"`
)

func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\n", "\r\n"), "¶", "\n")
}

// usual are the fields every request gets on its way, and that tests of
// something else do not repeat.
var usual = regexp.MustCompile(`^(x-forwarded-for: 127\.0\.0\.1|x-forwarded-proto: https?|x-forwarded-host: shop\.local|x-real-ip: 127\.0\.0\.1|x-request-id: [A-Z2-7]{26}|host: shop\.local)$`)

// normal is a message without what is usual.
func normal(m message) string {
	m.fields = slices.DeleteFunc(m.fields, func(f string) bool {
		return usual.MatchString(f) || strings.HasPrefix(f, "date: ") || f == "connection: close" || f == "transfer-encoding: chunked"
	})
	m.first = strings.TrimSuffix(strings.ReplaceAll(m.first, "HTTP/1.1 ", ""), " HTTP/1.1")
	if m.framed == "length" && m.body == "" {
		m.framed = ""
	}
	return m.String()
}

func (k kase) run(t *testing.T, full bool, d *door, a *app) {
	wantApp, wantBack, wantEnds := k.app, k.back, k.ends
	if wantBack == "" {
		wantBack = plainBack
	}
	if full {
		wantApp, wantBack = either(k.fullApp, wantApp), either(k.fullBack, wantBack)
		if k.fullEnds != nil {
			wantEnds = *k.fullEnds
		}
	}
	got := k.exchange(t, d.dial(), a)
	if !matches(got.back, wantBack) {
		t.Errorf("the client got  %s\n           want  %s", brief(got.back), brief(wantBack))
	}
	if got.ended != wantEnds && !k.may {
		t.Errorf("the connection ended: %v, want %v", got.ended, wantEnds)
	}
	if !matches(got.app, wantApp) {
		t.Errorf("the app got  %s\n        want  %s", brief(got.app), brief(wantApp))
	}
	if len(got.bad) > 0 && !wantEnds && !k.may {
		t.Errorf("the app was sent nonsense: %v", got.bad)
	}
}

// result is what became of a case.
type result struct {
	back  string // what the client got
	app   string // what the app got; "-": nothing
	ended bool   // the client's connection
	bad   []error
}

// exchange has a visitor send what the case says.
func (k kase) exchange(t *testing.T, v *visitor, a *app) (r result) {
	if _, err := io.WriteString(v, k.request()); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(k.request(), " ")
	m, err := v.answer(method)
	r.back = normal(m)
	if err != nil {
		r.back = strings.TrimPrefix(r.back+" !broken", " ")
	}
	r.ended = err != nil || !v.goesOn()
	var got []message
	got, r.bad = a.messages()
	text := make([]string, 0, len(got))
	for _, m := range got {
		if !strings.HasPrefix(m.first, "GET /goes-on") {
			text = append(text, normal(m))
		}
	}
	r.app = either(strings.Join(text, " ; "), "-")
	return r
}

func matches(got, want string) bool {
	prefix, open := strings.CutSuffix(want, "…")
	return want == "*" || got == want || open && strings.HasPrefix(got, prefix)
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (k kase) request() string {
	if k.send == "" {
		return "GET / HTTP/1.1\r\nHost: shop.local\r\n\r\n"
	}
	return crlf(k.send)
}

// goesOn reports whether the connection serves another request.
func (v *visitor) goesOn() bool {
	if _, err := io.WriteString(v, "GET /goes-on HTTP/1.1\r\nHost: shop.local\r\n\r\n"); err != nil {
		return false
	}
	m, err := v.answer("GET")
	return err == nil && strings.HasPrefix(m.first, "HTTP/1.1 200")
}

func (k kase) answers(m message) string {
	if strings.HasPrefix(m.first, "GET /goes-on") || k.reply == "" {
		return plainReply
	}
	return crlf(k.reply)
}

func allCases() []kase {
	return slices.Concat(requestCases, bodyCases, targetCases, forwardCases, refusedCases, responseCases, brokenCases,
		hostCases, formCases, oldCases, hopCases, bodilessCases, answerCases)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	all := allCases()
	if len(all) < 300 {
		t.Errorf("%d cases", len(all))
	}
	for _, path := range []string{"fast", "full", "tls"} {
		for _, k := range all {
			t.Run(path+"/"+k.name, func(t *testing.T) {
				t.Parallel()
				if (k.fullApp != "" || k.fullBack != "" || k.fullEnds != nil) != (k.why != "") {
					t.Fatal("a difference and its reason go together")
				}
				d := open(t, options{full: path == "full"})
				a := newApp(t, k.answers)
				d.route(a.addr())
				k.run(t, path == "full", d, a)
			})
		}
	}
}

func brief(s string) string {
	if len(s) > 400 {
		return s[:300] + " … " + s[len(s)-80:]
	}
	return s
}
