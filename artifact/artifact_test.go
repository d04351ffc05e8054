package artifact

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/parts"
)

func TestImage_ItsManifestListsThePartsOfTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("one two"), 0o600); err != nil {
		t.Fatal(err)
	}
	cut := []parts.Part{{SHA256: "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed", Size: 3}, {SHA256: "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3", Offset: 3, Size: 4}}
	img, err := Image(FileLayers(path, cut))
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if got := Parts(m); !slices.Equal(got, cut) {
		t.Errorf("parts %v, want %v", got, cut)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if r.Close(); err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	if string(all) != "one two" {
		t.Errorf("the layers together are %q", all)
	}
}

func TestParts_AnotherImageHasNone(t *testing.T) {
	t.Parallel()
	good := v1.Descriptor{MediaType: model.ArtifactMediaType, Size: 1, Digest: v1.Hash{Algorithm: "sha256", Hex: "aa"}}
	for name, change := range map[string]func(*v1.Descriptor){
		"a layer of files": func(d *v1.Descriptor) { d.MediaType = types.OCILayer },
		"another digest":   func(d *v1.Descriptor) { d.Digest.Algorithm = "sha512" },
		"less than nothing": func(d *v1.Descriptor) {
			d.Size = -1
		},
	} {
		bad := good
		change(&bad)
		if got := Parts(&v1.Manifest{Layers: []v1.Descriptor{good, bad}}); got != nil {
			t.Errorf("%s: parts %v", name, got)
		}
	}
	if got := Parts(&v1.Manifest{}); got != nil {
		t.Errorf("no layers: parts %v", got)
	}
}

// Removal from a registry goes by digest, and must not take the artifact with the promise.
func TestPromise_IsAnotherImageOfTheSameParts(t *testing.T) {
	t.Parallel()
	layers := FileLayers("nowhere", []parts.Part{{SHA256: "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed", Size: 3}})
	img, err := Image(layers)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[v1.Hash]bool{}
	for _, name := range []string{"", "one", "another"} {
		if name != "" {
			if img, err = Promise(layers, name); err != nil {
				t.Fatal(err)
			}
		}
		digest, err := img.Digest()
		if err != nil || seen[digest] {
			t.Errorf("promise %q: digest %s, %v", name, digest, err)
		}
		seen[digest] = true
		if m, err := img.Manifest(); err != nil || len(Parts(m)) != 1 {
			t.Errorf("promise %q: manifest %+v, %v", name, m, err)
		}
	}
}
