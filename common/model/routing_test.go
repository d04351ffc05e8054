package model

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

const someHash = "$2y$10$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func fullRouting() Routing {
	return Routing{
		Policy: PolicyHash, HashOn: "header:X-User", Sticky: []string{"JSESSIONID"}, HTTPSRedirect: true,
		Redirects: []Redirect{{From: "/a/*", To: "https://x.com/*", Status: 301}}, AllowFrom: []string{"10.0.0.0/8"},
		BasicAuth: []BasicUser{{Name: "ann", Hash: someHash}}, MaxBody: 1, MaxInFlight: 1, Rate: &Rate{PerSecond: 1}, SourceRate: &Rate{PerSecond: 0.5, Burst: 3},
		HeaderTimeout: Duration(1e9), IdleTimeout: Duration(1e9), TotalTimeout: Duration(1e9), Compress: true, MaintenancePage: "m", ErrorPage: "e",
	}
}

func TestRouting_EachFieldButThePolicyNeedsTheFullPath(t *testing.T) {
	t.Parallel()
	full := fullRouting()
	if err := full.Check(); err != nil {
		t.Fatal(err)
	}
	v := reflect.ValueOf(full)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not in the example", v.Type().Field(i).Name)
		}
		var one Routing
		reflect.ValueOf(&one).Elem().Field(i).Set(v.Field(i))
		if one.Plain() || one.Zero() {
			t.Errorf("with %s alone the routing counts as plain", v.Type().Field(i).Name)
		}
	}
	for _, p := range []string{"", PolicyLeast, PolicyRoundRobin, PolicyWeighted} {
		if r := (Routing{Policy: p}); !r.Plain() || r.Zero() != (p == "") {
			t.Errorf("policy %q: plain %v, zero %v", p, r.Plain(), r.Zero())
		}
	}
	if !(*Routing)(nil).Plain() || !(*Routing)(nil).Zero() || (*Routing)(nil).Check() != nil {
		t.Error("no routing is not plain")
	}
}

func TestRouting_CheckNamesEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]Routing{
		"policy":           {Policy: "random"},
		"hash_on":          {Policy: PolicyHash},
		"hash_on:":         {HashOn: "header:X"},
		"sticky":           {Sticky: []string{"a b"}},
		"allow_from":       {AllowFrom: []string{"10.0.0.0/33"}},
		"basic_auth":       {BasicAuth: []BasicUser{{Name: "a:b", Hash: someHash}}},
		"password":         {BasicAuth: []BasicUser{{Name: "ann", Hash: "secret"}}},
		"cost 4 to 12":     {BasicAuth: []BasicUser{{Name: "ann", Hash: strings.Replace(someHash, "$10$", "$31$", 1)}}},
		"twice":            {BasicAuth: []BasicUser{{Name: "ann", Hash: someHash}, {Name: "ann", Hash: someHash}}},
		"max_body":         {MaxBody: -1},
		"rate":             {Rate: &Rate{PerSecond: math.NaN()}},
		"source_rate":      {SourceRate: &Rate{PerSecond: 0}},
		"total_timeout":    {TotalTimeout: -1},
		"idle_timeout":     {IdleTimeout: 1},
		"redirects[0].to":  {Redirects: []Redirect{{From: "/a", To: "//evil.com"}}},
		"redirects[0].to:": {Redirects: []Redirect{{From: "/a", To: "javascript:alert(1)"}}},
		"].status":         {Redirects: []Redirect{{From: "/a", To: "/b", Status: 200}}},
		"].from":           {Redirects: []Redirect{{From: "a*b/", To: "/b"}}},
		"error_page":       {ErrorPage: strings.Repeat("x", MaxPageBytes+1)},
	} {
		err := r.Check()
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeBadRouting || !strings.Contains(strings.Join(e.Evidence, "\n"), strings.TrimSuffix(name, ":")) {
			t.Errorf("%s: %v", name, err)
		}
		if e != nil && strings.Contains(strings.Join(e.Evidence, " ")+e.Message, "secret") {
			t.Errorf("%s: the message shows a password", name)
		}
	}
}

func FuzzRouting(f *testing.F) {
	b, _ := json.Marshal(fullRouting())
	f.Add(string(b))
	f.Add(`{"rate":{"per_second":1e309}}`)
	f.Add(`{"redirects":[{"from":"/","to":"/*"}]}`)
	f.Fuzz(func(t *testing.T, s string) {
		var r Routing
		if json.Unmarshal([]byte(s), &r) != nil || r.Check() != nil {
			return
		}
		text, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		var back Routing
		if err := json.Unmarshal(text, &back); err != nil || back.Check() != nil || back.Plain() != r.Plain() {
			t.Errorf("%s does not survive: %v", text, err)
		}
	})
}
