package base_test

import (
	"io"
	"strings"
	"testing"

	"github.com/dinp/dinp/images/base"
	"github.com/dinp/dinp/test/testenv"
)

func TestPin_WritesTheDigestsThatTheRegistryNames(t *testing.T) {
	dir, registry := t.TempDir(), testenv.Registry(t)
	if err := base.Build(t.Context(), tiny("hello"), "tiny", dir, io.Discard); err != nil {
		t.Fatal(err)
	}
	pushed, err := base.Push(t.Context(), dir, registry, nil)
	if err != nil {
		t.Fatal(err)
	}
	file := "# ours\njava: " + registry + "/dinp/base/tiny:latest # newest\n\nnode: x.test/node@" + pushed["tiny"] + "\n"
	want := "# ours\njava: " + registry + "/dinp/base/tiny:latest@" + pushed["tiny"] + " # newest\n\nnode: x.test/node@" + pushed["tiny"] + "\n"
	got, changed, err := base.Pin(t.Context(), []byte(file))
	if err != nil || string(got) != want || len(changed) != 1 {
		t.Errorf("pinned\n%s, %q, %v; want\n%s", got, changed, err, want)
	}
	if again, changed, err := base.Pin(t.Context(), got); err != nil || string(again) != want || len(changed) != 0 {
		t.Errorf("pinned again\n%s, %q, %v", again, changed, err)
	}
	if _, _, err := base.Pin(t.Context(), []byte("node: "+registry+"/none:1\n")); err == nil || !strings.Contains(err.Error(), "node") {
		t.Errorf("an image that is not there: %v", err)
	}
}
