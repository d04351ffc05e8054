package image

import (
	"archive/tar"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
)

var site = map[string]string{"index.html": "<p>hi", "css/a.css": "body{}", "run": "#!/bin/sh\n"}

func assemble(t *testing.T, r *Registry, tr Tree, base string, rt recipe.Runtime, command []string) Assembled {
	t.Helper()
	digest, err := r.BaseDigest(t.Context(), base)
	must(t, err)
	a, err := r.Assemble(t.Context(), tr, Layered{
		Base: base, Digest: digest, Runtime: rt, Command: command,
		Labels: map[string]string{"dinp.runtime": rt.Name}, Scratch: t.TempDir(),
	})
	must(t, err)
	return a
}

func TestAssemble(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	rt := recipe.Runtime{Name: "binary", Dest: "/srv/app", Owner: 1000, Workdir: "/srv/app", User: "1000", Env: map[string]string{"A": "own", "B": "new"}}
	for _, media := range []types.MediaType{types.OCIManifestSchema1, types.DockerManifestSchema2} {
		base := "dinp/base/" + map[types.MediaType]string{types.OCIManifestSchema1: "oci", types.DockerManifestSchema2: "docker"}[media]
		pushBase(t, r, base, media)
		a := assemble(t, r, tree(t, "", site), base, rt, []string{"./run"})
		pushed, err := r.Push(t.Context(), a.Image, "shop", "build-1")
		must(t, err)
		name := pushed.Name
		if want := (model.Spec{Image: name, Port: 1, MemoryMiB: 16, Strategy: "rolling", Deadline: model.DefaultDeadline}).Check(); want != nil {
			t.Errorf("image name %q is refused by the model: %v", name, want)
		}
		img := pull(t, r, name)
		must(t, validate.Image(img))
		checkMedia(t, img, media)
		checkConfig(t, img)
		checkTopLayer(t, img)
	}
}

func checkMedia(t *testing.T, img v1.Image, media types.MediaType) {
	t.Helper()
	m, err := img.Manifest()
	must(t, err)
	if m.MediaType != media || len(m.Layers) != 2 || m.Layers[0].MediaType != m.Layers[1].MediaType {
		t.Errorf("manifest is %s with layers %v; want %s and one kind of layer", m.MediaType, m.Layers, media)
	}
}

func checkConfig(t *testing.T, img v1.Image) {
	t.Helper()
	cf, err := img.ConfigFile()
	must(t, err)
	want := v1.Config{
		Cmd: []string{"./run"}, Env: []string{"PATH=/bin", "A=own", "B=new"}, WorkingDir: "/srv/app", User: "1000",
		Labels: map[string]string{"dinp.runtime": "binary", labelCompression: compression},
	}
	if d := cmp.Diff(want, cf.Config); d != "" {
		t.Errorf("config (-want +got):\n%s", d)
	}
}

func checkTopLayer(t *testing.T, img v1.Image) {
	t.Helper()
	layers, err := img.Layers()
	must(t, err)
	rc, err := layers[1].Uncompressed()
	must(t, err)
	defer rc.Close()
	type entry struct {
		Name string
		Mode int64
		Uid  int
	}
	var got []entry
	for tr := tar.NewReader(rc); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		got = append(got, entry{h.Name, h.Mode, h.Uid})
	}
	want := []entry{
		{"srv/", 0o755, 0}, {"srv/app/", 0o755, 1000}, {"srv/app/css/", 0o755, 1000}, {"srv/app/css/a.css", 0o644, 1000},
		{"srv/app/index.html", 0o644, 1000}, {"srv/app/run", 0o755, 1000},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("layer (-want +got):\n%s", d)
	}
}

func TestAssemble_SameInputSameDigest(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	pushBase(t, r, "dinp/base/static", types.OCIManifestSchema1)
	rt := recipe.Runtime{Name: "static", Dest: "/app"}
	digests := map[v1.Hash]bool{}
	other := map[string]string{"index.html": "<p>ho", "css/a.css": "body{}", "run": "#!/bin/sh\n"}
	for _, tr := range []Tree{tree(t, "", site), tree(t, "top/", site), tree(t, "", site), tree(t, "", other)} {
		a := assemble(t, r, tr, "dinp/base/static", rt, nil)
		d, err := a.Image.Digest()
		must(t, err)
		digests[d] = true
	}
	if len(digests) != 2 {
		t.Errorf("three equal trees and one other gave %d digests, want 2", len(digests))
	}
}

func TestAssemble_KeepsTheBasesCommand(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	pushBase(t, r, "dinp/base/static", types.OCIManifestSchema1)
	cf, err := assemble(t, r, tree(t, "", site), "dinp/base/static", recipe.Runtime{Name: "static", Dest: "/app"}, nil).Image.ConfigFile()
	must(t, err)
	if strings.Join(cf.Config.Entrypoint, " ") != "/entry" || strings.Join(cf.Config.Cmd, " ") != "/server" {
		t.Errorf("entrypoint %q, command %q", cf.Config.Entrypoint, cf.Config.Cmd)
	}
}

func TestBaseDigest_MissingSaysWhatToDo(t *testing.T) {
	t.Parallel()
	_, err := newRegistry(t).BaseDigest(t.Context(), "dinp/base/static")
	if e := wantRefusal(t, err, model.CodeNoBaseImage, "does not have the base image dinp/base/static"); !strings.Contains(e.Next, "make base-images") {
		t.Errorf("next is %q", e.Next)
	}
}

func TestHas(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	pushBase(t, r, "dinp/apps/a:1", types.OCIManifestSchema1)
	for name, want := range map[string]bool{"dinp/apps/a:1": true, "dinp/apps/a:2": false, "dinp/apps/b:1": false} {
		if got, err := r.Has(t.Context(), name); got != want || err != nil {
			t.Errorf("has %s: %v, %v; want %v", name, got, err, want)
		}
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"\x1b[91mred\x1b[0m":    "red",
		"10%\r50%\r100%":        "100%",
		"done\r":                "done",
		"bad\xff\x00\x07 bytes": "bad\ufffd bytes",
		"tab\tstays":            "tab\tstays",
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
}
