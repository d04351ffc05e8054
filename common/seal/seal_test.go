package seal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const secret = "a secret of the cluster"

func key(t rapid.TB, secret string, p Purpose) Key {
	k, err := New(secret, p)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSeal_OpensOnlyWithItsSecretPurposeAndPlace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		k := key(t, secret, AtRest)
		sealed, err := k.Seal(rand.Reader, plain, "shop.example.com")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Open(sealed, "shop.example.com"); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("%q %v", got, err)
		}
		if len(plain) > 8 && strings.Contains(sealed, string(plain)) {
			t.Fatal("it can be read")
		}
		b := []byte(sealed)
		b[rapid.IntRange(len(prefix), len(b)-1).Draw(t, "at")] ^= 1
		for name, try := range map[string]func() ([]byte, error){
			"another place":   func() ([]byte, error) { return k.Open(sealed, "evil.example.com") },
			"another purpose": func() ([]byte, error) { return key(t, secret, Routers).Open(sealed, "shop.example.com") },
			"another secret":  func() ([]byte, error) { return key(t, secret+"!", AtRest).Open(sealed, "shop.example.com") },
			"half of it":      func() ([]byte, error) { return k.Open(sealed[:len(sealed)/2], "shop.example.com") },
			"nothing":         func() ([]byte, error) { return k.Open("", "shop.example.com") },
		} {
			if got, err := try(); !errors.Is(err, ErrWrongKey) {
				t.Fatalf("%s: %q %v", name, got, err)
			}
		}
		if got, err := k.Open(string(b), "shop.example.com"); err == nil && !bytes.Equal(got, plain) {
			t.Fatalf("damaged, it opens as %q", got)
		}
	})
}

func TestSeal_TheSameTwiceLooksDifferent(t *testing.T) {
	t.Parallel()
	k := key(t, secret, Routers)
	a, _ := k.Seal(rand.Reader, []byte("x"), "p")
	b, _ := k.Seal(rand.Reader, []byte("x"), "p")
	if a == b {
		t.Error("a nonce was used twice")
	}
}

func TestNew_RefusesAShortSecretAndKeysDoNotPrint(t *testing.T) {
	t.Parallel()
	if _, err := New("short", AtRest); err == nil {
		t.Error("taken")
	}
	if s := fmt.Sprintf("%v %s %d", key(t, secret, AtRest), key(t, secret, AtRest), 1); strings.Contains(s, "aead") {
		t.Error(s)
	}
}
