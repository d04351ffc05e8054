package model

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestRouting_NamesAreThoseOfItsJSON(t *testing.T) {
	t.Parallel()
	var want []string
	for f := range reflect.TypeFor[Routing]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		want = append(want, name)
	}
	got := slices.Clone(RoutingNames)
	slices.Sort(want)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("RoutingNames are %v, the fields %v", got, want)
	}
}

func TestRouting_WhatIsShownCanBeTypedAgain(t *testing.T) {
	t.Parallel()
	full := fullRouting()
	var typed *Routing
	for _, name := range RoutingNames { // policy and hash_on need each other
		changes := map[string]any{}
		for _, n := range []string{"policy", "hash_on", name} {
			v, err := RoutingValue(n, full.Show(n))
			if err != nil {
				t.Fatal(err)
			}
			changes[n] = v
		}
		known := typed
		if name == "basic_auth" {
			with := *typed
			with.SetPassword("ann", someHash)
			known = &with
		}
		next, err := known.Merge(changes)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		typed = next
	}
	if !reflect.DeepEqual(*typed, full) {
		t.Errorf("typed again:\n%+v\nwant\n%+v", *typed, full)
	}
	back, err := typed.Text().Routing()
	if err != nil || !reflect.DeepEqual(*back, full) {
		t.Errorf("stored and read: %+v, %v", back, err)
	}
	for _, name := range RoutingNames {
		v, err := RoutingValue(name, " ")
		if v != nil || err != nil {
			t.Errorf("%s of nothing is %v, %v", name, v, err)
		}
		if typed, err = typed.Merge(map[string]any{name: nil, "policy": nil, "hash_on": nil}); err != nil {
			t.Fatal(err)
		}
	}
	if typed.Text() != "" {
		t.Errorf("with nothing set it is stored as %s", typed.Text())
	}
}

func TestRouting_MergeRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for name, changes := range map[string]map[string]any{
		"unknown":        {"polcy": "least"},
		"kind":           {"max_body": "ten"},
		"unknown inside": {"rate": map[string]any{"per_second": 1, "color": "red"}},
		"bad":            {"allow_from": []string{"nowhere"}},
		"large":          {"redirects": slices.Repeat([]Redirect{{From: "/" + strings.Repeat("a", 1000), To: "/"}}, 100)},
		"no hash":        {"basic_auth": []BasicUser{{Name: "eve"}}},
	} {
		old := fullRouting()
		if r, err := old.Merge(changes); !IsCode(err, CodeBadRouting) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if !reflect.DeepEqual(old, fullRouting()) {
			t.Errorf("%s: the old settings were changed", name)
		}
	}
	for name, text := range map[string]string{
		"max_body": "many", "max_in_flight": "x", "rate": "fast", "source_rate": "-1", "header_timeout": "5", "https_redirect": "maybe", "redirects": "/a", "nothing": "x",
	} {
		if v, err := RoutingValue(name, text); !IsCode(err, CodeBadRouting) {
			t.Errorf("%s=%s: %v, %v", name, text, v, err)
		}
	}
}

func TestRouting_PasswordsAreKeptAndNeverShown(t *testing.T) {
	t.Parallel()
	r := fullRouting()
	next, err := r.Merge(map[string]any{"basic_auth": []any{map[string]any{"name": "ann"}}})
	if err != nil || next.BasicAuth[0].Hash != someHash {
		t.Errorf("the user lost the password: %+v, %v", next, err)
	}
	shown := r.Shown()
	if shown.BasicAuth[0].Hash != "" || r.BasicAuth[0].Hash == "" || strings.Contains(string(shown.Text()), "$2y$") {
		t.Errorf("shown: %+v of %+v", shown.BasicAuth, r.BasicAuth)
	}
	if next.SetPassword("ann", ""); len(next.BasicAuth) != 0 {
		t.Errorf("the user is still there: %+v", next.BasicAuth)
	}
	none := (*Routing)(nil).Shown()
	if !none.Zero() {
		t.Error("no settings show something")
	}
}

func TestRoutingChanges_NamesWhatDiffers(t *testing.T) {
	t.Parallel()
	a, b := fullRouting(), fullRouting()
	b.MaxBody, b.Rate = 7, nil
	if got := RoutingChanges(a.Text(), b.Text()); !slices.Equal(got, []string{"max_body", "rate"}) {
		t.Errorf("changed: %v", got)
	}
	if got := RoutingChanges("", "{"); !slices.Equal(got, []string{"all"}) {
		t.Errorf("of what cannot be read: %v", got)
	}
}
