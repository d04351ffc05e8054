package base

import (
	"archive/tar"
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// system is a tar as mmdebstrap gives it.
func system(t *testing.T, headers ...*tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := h.PAXRecords["test.content"]
		h.PAXRecords, h.Size = nil, int64(len(content))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func reg(name, content string, at time.Time) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: at, PAXRecords: map[string]string{"test.content": content}}
}

func folder(name string, mode int64, at time.Time) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, ModTime: at}
}

var (
	began    = time.Unix(2_000_000, 0)
	packaged = time.Unix(1_000_000, 0)
)

// laid makes an image of a system, upon another one.
func laid(t *testing.T, b *below, tree io.Reader) (v1.Image, []string) {
	t.Helper()
	scratch := t.TempDir()
	if b != nil {
		if err := b.flatten(scratch); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Create(filepath.Join(scratch, "layer"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	l := newLayer(file, began, b)
	if err := l.addTree(tree, func(string) bool { return false }, nil); err != nil {
		t.Fatal(err)
	}
	layer, err := l.close()
	if err != nil {
		t.Fatal(err)
	}
	r := &recipe{Workdir: "/app", Cmd: []string{"/x"}, User: user{Name: "app", UID: 1000}}
	img, err := image(r, "test", "key", b, layer)
	if err != nil {
		t.Fatal(err)
	}
	content, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var names []string
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if err == io.EOF {
			return img, names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}

func TestLayer_HoldsOnlyWhatTheImageBelowHasNot(t *testing.T) {
	lower, _ := laid(t, nil, system(t,
		folder("./", 0o755, packaged), folder("./root/", 0o700, packaged), folder("./usr/", 0o755, packaged), folder("./usr/lib/", 0o755, began),
		reg("./usr/lib/libc", "libc 1", packaged), reg("./usr/lib/cache", "made", began), reg("./usr/lib/status", "one", began), reg("./root/gone", "x", packaged),
		folder("./usr/old/", 0o755, packaged), reg("./usr/old/a", "a", packaged)))
	img, got := laid(t, &below{image: lower}, system(t,
		folder("./", 0o755, packaged), folder("./root/", 0o700, packaged), folder("./usr/", 0o755, began), folder("./usr/lib/", 0o755, began),
		reg("./usr/lib/libc", "libc 1", packaged), reg("./usr/lib/cache", "made", time.Unix(0, 0)), reg("./usr/lib/status", "two", began), reg("./usr/lib/new", "new", packaged)))
	want := []string{"usr/", "usr/lib/", "usr/lib/status", "usr/lib/new", "root/", "root/.wh.gone", "usr/.wh.old"}
	if !slices.Equal(got, want) {
		t.Errorf("the upper layer holds %q, want %q", got, want)
	}
	b := &below{image: img}
	if err := b.flatten(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(slices.Sorted(maps.Keys(b.entries)), " "), "root usr usr/lib usr/lib/cache usr/lib/libc usr/lib/new usr/lib/status"; got != want {
		t.Errorf("both layers together hold %s, want %s", got, want)
	}
	if mode := b.entries["root"].header; !strings.Contains(mode, " 700 ") {
		t.Errorf("a folder got another mode on the way: %s", mode)
	}
	if layers, err := img.Layers(); err != nil || len(layers) != 2 {
		t.Errorf("%d layers, %v", len(layers), err)
	}
}

func TestLoad_FollowsTheImagesBelowDownToDebian(t *testing.T) {
	own := "\nuser: {name: app, uid: 1000, home: /app}\nworkdir: /app\ncmd: [/x]\n"
	recipes := fstest.MapFS{}
	for name, from := range map[string]string{
		"debian-one": "debian", "good": "debian-one", "better": "good", "flat": "scratch", "onflat": "flat",
		"a": "b", "b": "a", "self": "self", "orphan": "nobody", "outside": "../good",
	} {
		recipes[name+"/base.yaml"] = &fstest.MapFile{Data: []byte("from: " + from + own)}
	}
	for name, good := range map[string]bool{
		"debian-one": true, "good": true, "better": true, "flat": true,
		"onflat": false, "a": false, "b": false, "self": false, "orphan": false, "outside": false,
	} {
		if _, err := load(recipes, name); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
}
