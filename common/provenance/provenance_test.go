package provenance

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func keyOf(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+seed)), ed25519.SeedSize)))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func sample() Statement {
	return Statement{
		Type: StatementType, PredicateType: PredicateType,
		Subject: []Resource{{Name: "dinp/apps/shop", Digest: map[string]string{"sha256": strings.Repeat("1", 64)}}},
		Predicate: Predicate{
			BuildDefinition: Definition{
				BuildType: BuildType, ExternalParameters: External{App: "shop", Actor: "mia", From: "10.0.0.9"},
				InternalParameters:   Internal{Runtime: "static", RuntimeVersion: "1"},
				ResolvedDependencies: []Resource{{Name: Artifact, Digest: map[string]string{"sha256": strings.Repeat("2", 64)}}},
			},
			RunDetails: Run{Builder: Builder{ID: "b1"}, Metadata: Metadata{InvocationID: "build", StartedOn: time.Unix(1, 0).UTC(), FinishedOn: time.Unix(2, 0).UTC()}},
		},
	}
}

func TestSign_WhatIsSignedIsReadBack(t *testing.T) {
	t.Parallel()
	e, err := Sign(sample(), keyOf(0))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Verify(e, public(keyOf(1)), public(keyOf(0)))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), got); d != "" {
		t.Error(d)
	}
	if got.Dependency(Artifact) != strings.Repeat("2", 64) || got.Dependency(Base) != "" {
		t.Errorf("dependencies %v", got.Predicate.BuildDefinition.ResolvedDependencies)
	}
}

func TestVerify_NoChangeOfOneByteIsBelieved(t *testing.T) {
	t.Parallel()
	e, err := Sign(sample(), keyOf(0))
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	for i := range payload {
		forged := append([]byte(nil), payload...)
		forged[i] ^= 1
		f := e
		f.Payload = base64.StdEncoding.EncodeToString(forged)
		if _, err := Verify(f, public(keyOf(0))); !errors.Is(err, ErrSignature) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
}

func TestVerify_RefusesWhatIsNotSignedByAKnownKey(t *testing.T) {
	t.Parallel()
	e, err := Sign(sample(), keyOf(0))
	if err != nil {
		t.Fatal(err)
	}
	other, err := Sign(sample(), keyOf(1))
	if err != nil {
		t.Fatal(err)
	}
	liar := other // signed by another key under the known one's name
	liar.Signatures = []Signature{{KeyID: e.Signatures[0].KeyID, Sig: other.Signatures[0].Sig}}
	typed := e
	typed.PayloadType = "text/plain"
	bare := e
	bare.Signatures = nil
	garbled := e
	garbled.Signatures = []Signature{{Sig: "%"}}
	for name, c := range map[string]struct {
		e    Envelope
		want error
	}{"another key": {other, ErrKey}, "a stolen key id": {liar, ErrSignature}, "another type": {typed, ErrMalformed}, "no signature": {bare, ErrKey}, "garbled": {garbled, ErrMalformed}} {
		if _, err := Verify(c.e, public(keyOf(0))); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := Verify(e); !errors.Is(err, ErrKey) {
		t.Errorf("without keys: %v", err)
	}
}

// A signature over another kind of statement must not pass for provenance.
func TestVerify_RefusesAnotherPredicate(t *testing.T) {
	t.Parallel()
	s := sample()
	s.PredicateType = "https://example.org/other"
	e, err := Sign(s, keyOf(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(e, public(keyOf(0))); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// The vector is DSSE's own, from its protocol.md.
func TestPreAuthEncoding_IsThatOfDSSE(t *testing.T) {
	t.Parallel()
	got := string(preAuthEncoding("http://example.com/HelloWorld", []byte("hello world")))
	if want := "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	want := public(keyOf(3))
	got, err := ParseKey(base64.StdEncoding.EncodeToString(want))
	if err != nil || !got.Equal(want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "x", base64.StdEncoding.EncodeToString([]byte("short"))} {
		if _, err := ParseKey(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	e, err := Sign(sample(), keyOf(0))
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(e)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		var got Envelope
		if json.Unmarshal(text, &got) != nil {
			return
		}
		if s, err := Verify(got, public(keyOf(0))); err == nil {
			if d := cmp.Diff(sample(), s); d != "" {
				t.Errorf("believed another statement:\n%s", d)
			}
		}
	})
}
