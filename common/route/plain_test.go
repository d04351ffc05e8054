package route

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
)

// many is the backend of an app with n endpoints.
func many(n int) Backend {
	b := Backend{App: "shop", Endpoints: []Endpoint{}}
	for i := range n {
		b.Endpoints = append(b.Endpoints, Endpoint{
			Addr: fmt.Sprintf("10.0.%d.%d:%d", i>>8&255, i&255, 30000+i%30000), Instance: fmt.Sprintf("0199a3c4-0000-7000-8000-%012d", i), Release: 1 + i%3, Weight: NormalWeight,
		})
	}
	return b
}

// asJSON is what encoding/json reads.
func asJSON(s string) (b Backend, ok bool) {
	return b, json.Unmarshal([]byte(s), &b) == nil
}

func TestPlain_ReadsWhatIsWrittenAsJSONDoes(t *testing.T) {
	for _, b := range []Backend{many(0), many(1), many(50), {App: "a", Maintenance: true, Endpoints: []Endpoint{{Release: 0, Weight: 10_000}}}} {
		s := EncodeBackend(b)
		got, ok := plain(s)
		want, _ := asJSON(s)
		if d := cmp.Diff(want, got); !ok || d != "" {
			t.Errorf("%s: %v\n%s", s, ok, d)
		}
	}
}

func TestPlain_LeavesTheRestToJSON(t *testing.T) {
	for _, s := range []string{
		"", "{}", `{"app":"shop"}`, `{"app":"shop","endpoints":null}`, `{"app":"shop","endpoints":[]`, `{"app":"shop","endpoints":[]} `, `{"app":"sh\u006fp","endpoints":[]}`,
		`{"app":"shöp","endpoints":[]}`, `{ "app":"shop","endpoints":[]}`, `{"endpoints":[],"app":"shop"}`, `{"app":"shop","maintenance":false,"endpoints":[]}`,
		`{"app":"shop","endpoints":[],"drain":"5s"}`, `{"app":"shop","endpoints":[{"addr":"1.2.3.4:5","instance":"i","release":01,"weight":1}]}`,
		`{"app":"shop","endpoints":[{"addr":"1.2.3.4:5","instance":"i","release":1,"weight":-1}]}`, `{"app":"shop","endpoints":[{"addr":"1.2.3.4:5","instance":"i","release":1,"weight":1.5}]}`,
		`{"app":"shop","endpoints":[{"addr":"1.2.3.4:5","instance":"i","release":1,"weight":1234567890}]}`, `{"app":"shop","endpoints":[,]}`,
		`{"app":"shop","endpoints":[{"addr":"1.2.3.4:5","instance":"i","release":1,"weight":1},]}`,
	} {
		if b, ok := plain(s); ok {
			t.Errorf("%s is read as %+v", s, b)
		}
	}
}

// What is spoilt at one place is read as JSON reads it, or not at all.
func TestPlain_NeverReadsAnythingElseThanJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := []byte(EncodeBackend(many(rapid.IntRange(0, 3).Draw(t, "n"))))
		for range rapid.IntRange(0, 3).Draw(t, "spoilt") {
			s[rapid.IntRange(0, len(s)-1).Draw(t, "at")] = rapid.SampledFrom([]byte("\"\\{}[],:0123456789 a-.\x00é")).Draw(t, "by")
		}
		got, ok := plain(string(s))
		want, is := asJSON(string(s))
		if d := cmp.Diff(want, got); ok && (!is || d != "") {
			t.Fatalf("%s\n%s", s, d)
		}
	})
}

func TestPlainText_IsWhatJSONWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBackend(t)
		if rapid.Bool().Draw(t, "drains") {
			b.Drain = 1
		}
		if rapid.Bool().Draw(t, "has settings") {
			b.Settings = &model.Routing{}
		}
		if b.Endpoints == nil && rapid.Bool().Draw(t, "none") {
			b.Endpoints = []Endpoint{}
		}
		for i := range b.Endpoints {
			if rapid.Bool().Draw(t, "usual") {
				b.Endpoints[i].Instance = "0199a3c4-0000-7000-8000-000000000001"
			}
			b.Endpoints[i].Release = rapid.Int().Draw(t, "any release")
		}
		if got, ok := plainText(b); ok && got != encode(b) {
			t.Fatalf("%s instead of %s", got, encode(b))
		}
	})
	for c := range 256 { // each byte by itself
		b := Backend{App: "a", Endpoints: []Endpoint{{Instance: "x" + string([]byte{byte(c)})}}}
		if got, ok := plainText(b); ok && got != encode(b) {
			t.Errorf("byte %d: %s instead of %s", c, got, encode(b))
		}
	}
	if got, ok := plainText(many(50)); !ok || got != encode(many(50)) {
		t.Error("what is usual is left to JSON")
	}
}

func BenchmarkEncodeBackend(b *testing.B) {
	const endpoints = 50
	of := many(endpoints)
	for b.Loop() {
		EncodeBackend(of)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*endpoints), "ns/endpoint")
}

func BenchmarkDecodeBackend(b *testing.B) {
	const endpoints = 50
	s := EncodeBackend(many(endpoints))
	for b.Loop() {
		if _, err := DecodeBackend(s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*endpoints), "ns/endpoint")
}
