package route

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func drawBackend(t *rapid.T) Backend {
	b := Backend{App: rapid.StringMatching(`[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?`).Filter(func(s string) bool {
		return !strings.HasPrefix(s, "xn--") && s != "dinp" && s != "dash" && s != "registry" && s != "www-dinp"
	}).Draw(t, "app"), Maintenance: rapid.Bool().Draw(t, "maintenance")}
	for i := range rapid.IntRange(0, 4).Draw(t, "endpoints") {
		b.Endpoints = append(b.Endpoints, Endpoint{
			Addr:     fmt.Sprintf("10.0.%d.%d:%d", i, rapid.IntRange(0, 255).Draw(t, "host"), rapid.IntRange(1, 65535).Draw(t, "port")),
			Instance: rapid.String().Draw(t, "instance"), Release: rapid.IntRange(1, 1<<30).Draw(t, "release"), Weight: rapid.IntRange(0, 10_000).Draw(t, "weight"),
		})
	}
	return b
}

func TestBackend_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := drawBackend(t)
		got, err := DecodeBackend(EncodeBackend(b))
		if err != nil || EncodeBackend(got) != EncodeBackend(b) || cmp.Diff(got, b) != "" {
			t.Fatalf("%+v came back as %+v, %v", b, got, err)
		}
	})
}

func TestBatch_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := Batch{Version: Version{rapid.Int64().Draw(t, "epoch"), rapid.Int64().Draw(t, "seq")}, Meant: rapid.Bool().Draw(t, "meant")}
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			c := Change{Key: rapid.SampledFrom([]string{BackendPrefix, DomainPrefix}).Draw(t, "prefix") + rapid.StringN(1, 20, -1).Draw(t, "key")}
			if rapid.Bool().Draw(t, "set") {
				v := rapid.String().Draw(t, "value")
				c.Value = &v
			}
			b.Changes = append(b.Changes, c)
		}
		got, err := DecodeBatch(EncodeBatch(b))
		if err != nil || cmp.Diff(got, b) != "" {
			t.Fatalf("%s, %v", cmp.Diff(got, b), err)
		}
	})
}

func TestRouterLine_RoundTrip(t *testing.T) {
	t.Parallel()
	l := RouterLine{ID: "r1", Addr: "10.0.0.1:80", Serves: Version{7, 9}, At: time.Unix(1, 5).UTC(), Started: time.Unix(0, 0).UTC(), Requests: 1<<64 - 1, Errors: 3, Stopped: true,
		Apps: []AppLine{{App: "shop", Release: 3, Requests: 9, Failed: 1, Seconds: 0.25, Latency: "17:9"}}, Omitted: 2}
	got, err := DecodeRouterLine(EncodeRouterLine(l))
	if err != nil || !cmp.Equal(got, l) {
		t.Errorf("%+v came back as %+v, %v", l, got, err)
	}
	if _, err := DecodeRouterLine("{"); err == nil {
		t.Error("half a line was read")
	}
}

// The text is the contract with routers of other versions and with redis-cli.
func TestEncode_IsStable(t *testing.T) {
	t.Parallel()
	set := "x"
	for want, got := range map[string]string{
		`{"app":"shop","endpoints":[{"addr":"10.0.0.1:31000","instance":"i1","release":3,"weight":100}]}`: EncodeBackend(Backend{App: "shop", Endpoints: []Endpoint{{"10.0.0.1:31000", "i1", 3, 100}}}),
		`{"app":"shop","maintenance":true,"endpoints":null}`:                                              EncodeBackend(Backend{App: "shop", Maintenance: true}),
		`{"epoch":7,"seq":9,"changes":[{"key":"/rs/a","value":"x"},{"key":"/cname/b","value":null}]}`:     EncodeBatch(Batch{Version: Version{7, 9}, Changes: []Change{{"/rs/a", &set}, {"/cname/b", nil}}}),
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if Host("shop", "apps.localhost") != "shop.apps.localhost" || (Version{7, 9}).String() != "7.9" {
		t.Error("a name changed")
	}
}

func TestDecodeBackend_Refusals(t *testing.T) {
	t.Parallel()
	many := strings.Repeat(`{"addr":"1.2.3.4:5"},`, maxEndpoints) + `{"addr":"1.2.3.4:5"}`
	for name, text := range map[string]string{
		"empty": "", "null": "null", "list": "[]", "no app": `{"endpoints":[]}`, "bad app": `{"app":"A"}`, "host name": `{"app":"a","endpoints":[{"addr":"web1:80"}]}`, "no port": `{"app":"a","endpoints":[{"addr":"1.2.3.4"}]}`,
		"no addr": `{"app":"a","endpoints":[{}]}`, "big port": `{"app":"a","endpoints":[{"addr":"1.2.3.4:65536"}]}`, "port 0": `{"app":"a","endpoints":[{"addr":"1.2.3.4:0"}]}`, "weight -1": `{"app":"a","endpoints":[{"addr":"1.2.3.4:5","weight":-1}]}`,
		"weight huge": `{"app":"a","endpoints":[{"addr":"1.2.3.4:5","weight":10001}]}`, "two values": `{"app":"a"}{"app":"b"}`, "too many": `{"app":"a","endpoints":[` + many + `]}`,
		"too long": `{"app":"a"` + strings.Repeat(" ", maxValueBytes) + "}",
	} {
		if b, err := DecodeBackend(text); err == nil || b.App != "" || !strings.HasPrefix(err.Error(), "decode backend: ") {
			t.Errorf("%s: got %+v, %v", name, b.App, err)
		}
	}
	if _, err := DecodeBackend(`{"app":"a","endpoints":[{"addr":"[2001:db8::1]:80","future":1}],"future":2}`); err != nil {
		t.Errorf("a field of a later version was refused: %v", err)
	}
}

func TestDecodeBatch_Refusals(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "[]", `{"changes":[{"key":"/routers"}]}`, `{"changes":[{"key":""}]}`, `{"changes":[{"key":"/routes/version","value":"x"}]}`, `{"epoch":"7"}`, `{"changes":[{"key":"/rs/"}]}`, `{"changes":[{"key":"/cname/"}]}`} {
		if b, err := DecodeBatch(text); err == nil {
			t.Errorf("%s: got %+v", text, b)
		}
	}
}

func TestVersion_IsATotalOrder(t *testing.T) {
	t.Parallel()
	draw := func(t *rapid.T, name string) Version {
		n := rapid.Int64Range(-2, 2)
		return Version{n.Draw(t, name+" epoch"), n.Draw(t, name+" seq")}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := draw(t, "a"), draw(t, "b"), draw(t, "c")
		if a.Less(b) && b.Less(a) || a == b && a.Less(b) || a != b && !a.Less(b) && !b.Less(a) || a.Less(b) && b.Less(c) && !a.Less(c) {
			t.Fatalf("%v, %v, %v are in no order", a, b, c)
		}
		if a.Epoch < b.Epoch && !a.Less(b) {
			t.Fatal("a later leader's write is not newer")
		}
	})
}

func FuzzDecodeBackend(f *testing.F) {
	f.Add(`{"app":"a","endpoints":[{"addr":"1.2.3.4:5","instance":"i","release":1,"weight":100}]}`)
	f.Add(`{"app":"a","endpoints":null}`)
	f.Add(`{"app":"a","endpoints":[{"addr":"[::1%lo]:80"}]}`)
	f.Fuzz(func(t *testing.T, s string) {
		b, err := DecodeBackend(s)
		if err != nil {
			return
		}
		if again, err := DecodeBackend(EncodeBackend(b)); err != nil || cmp.Diff(again, b) != "" {
			t.Fatalf("%q: %+v, then %+v, %v", s, b, again, err)
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(`{"epoch":1,"seq":2,"changes":[{"key":"/rs/a","value":"{}"},{"key":"/cname/b","value":null}],"meant":true}`)
	f.Add(`{"changes":null}`)
	f.Fuzz(func(t *testing.T, s string) {
		b, err := DecodeBatch(s)
		if err != nil {
			return
		}
		if again, err := DecodeBatch(EncodeBatch(b)); err != nil || cmp.Diff(again, b) != "" {
			t.Fatalf("%q: %+v, then %+v, %v", s, b, again, err)
		}
	})
}

func FuzzDecodeRouterLine(f *testing.F) {
	f.Add(`{"id":"r","addr":"1.2.3.4:80","serves":{"epoch":1,"seq":2},"at":"2026-11-21T09:30:00Z"}`)
	f.Fuzz(func(t *testing.T, s string) {
		if l, err := DecodeRouterLine(s); err == nil {
			if again, err := DecodeRouterLine(EncodeRouterLine(l)); err != nil || !again.At.Equal(l.At) {
				t.Fatalf("%q: %+v, then %+v, %v", s, l, again, err)
			}
		}
	})
}
