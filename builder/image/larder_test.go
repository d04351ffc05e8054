package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/dinp/dinp/artifact"
	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/parts"
)

// noise is n bytes without a pattern, the same for the same seed.
func noise(seed byte, n int) []byte {
	out := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(out)
	return out
}

// stored keeps content as an artifact in the registry.
func stored(t *testing.T, r *Registry, content []byte) (sha string) {
	t.Helper()
	sum := sha256.Sum256(content)
	path := filepath.Join(t.TempDir(), "artifact")
	must(t, os.WriteFile(path, content, 0o600))
	must(t, r.StoreArtifact(t.Context(), path, hex.EncodeToString(sum[:])))
	return hex.EncodeToString(sum[:])
}

// fetched gets an artifact, which must be the content, and tells how much of it came from the registry.
func fetched(t *testing.T, r *Registry, sha string, content []byte, l *Larder) int64 {
	t.Helper()
	path := filepath.Join(t.TempDir(), "artifact")
	n, came, err := r.FetchArtifact(t.Context(), sha, path, l)
	must(t, err)
	got, err := os.ReadFile(path)
	must(t, err)
	if n != int64(len(content)) || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes that are not the artifact's %d", len(got), len(content))
	}
	return came
}

func TestFetchArtifact_AChangedArtifactMovesWhatIsNew(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	one := noise(1, 12<<20)
	two := slices.Concat(one[:5<<20], noise(2, 4711), one[5<<20:])
	l, err := OpenLarder(filepath.Join(t.TempDir(), "larder"), 1<<30)
	must(t, err)
	first, second := stored(t, r, one), stored(t, r, two)
	if came := fetched(t, r, first, one, l); came != int64(len(one)) {
		t.Errorf("the first: %d bytes of %d came", came, len(one))
	}
	if came := fetched(t, r, second, two, l); came == 0 || came > 5<<20 {
		t.Errorf("the second: %d bytes of %d came, want those of one part or two", came, len(two))
	}
	if came := fetched(t, r, first, one, nil); came != int64(len(one)) {
		t.Errorf("without a larder: %d bytes of %d came", came, len(one))
	}
}

func TestFetchArtifact_WhatIsDamagedInTheLarderComesFromTheRegistry(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	content := noise(3, 6<<20)
	l, err := OpenLarder(filepath.Join(t.TempDir(), "larder"), 1<<30)
	must(t, err)
	sha := stored(t, r, content)
	fetched(t, r, sha, content, l)
	kept, err := os.ReadDir(l.dir)
	must(t, err)
	damaged := int64(0)
	for i, damage := range []string{"", "x", strings.Repeat("y", 1<<20)}[:min(3, len(kept))] {
		info, err := kept[i].Info()
		must(t, err)
		damaged += info.Size()
		must(t, os.WriteFile(filepath.Join(l.dir, kept[i].Name()), []byte(damage), 0o600))
	}
	if came := fetched(t, r, sha, content, l); came != damaged {
		t.Errorf("%d bytes of %d came, want the %d of what was damaged", came, len(content), damaged)
	}
	if came := fetched(t, r, sha, content, l); came != 0 {
		t.Errorf("%d bytes came again", came)
	}
}

// promised keeps content in the registry as what olga promises to be the artifact of a digest.
func promised(t *testing.T, r *Registry, content []byte, sha string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "promised")
	must(t, os.WriteFile(path, content, 0o600))
	c := parts.NewCutter()
	_, _ = c.Write(content)
	cut, _ := c.Finish()
	name := model.PromisedArtifact(sha, "olga")
	img, err := artifact.Promise(artifact.FileLayers(path, cut), name)
	must(t, err)
	push(t, r, model.ArtifactRepository+":"+model.ArtifactTag(name), img)
}

func TestRedeemArtifact_WhatWasPromisedBecomesAnArtifact(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	content := noise(5, 6<<20)
	sum := sha256.Sum256(content)
	sha := hex.EncodeToString(sum[:])
	promised(t, r, content, sha)
	l, err := OpenLarder(filepath.Join(t.TempDir(), "larder"), 1<<30)
	must(t, err)
	asked := int64(0)
	right := func(size int64) error {
		_, there, err := r.HasArtifact(t.Context(), sha)
		if there || err != nil {
			t.Errorf("it was kept before it was said to be right: %v, %v", there, err)
		}
		asked = size
		return nil
	}
	n, came, err := r.RedeemArtifact(t.Context(), sha, "olga", filepath.Join(t.TempDir(), "a"), l, right)
	must(t, err)
	if n != int64(len(content)) || came != n || asked != n {
		t.Errorf("%d bytes, %d came, %d were said; want %d", n, came, asked, len(content))
	}
	fetched(t, r, sha, content, nil)
	_, _, err = r.RedeemArtifact(t.Context(), sha, "dora", filepath.Join(t.TempDir(), "a"), l, right)
	wantRefusal(t, err, model.CodeBadArtifact, "does not have the artifact")
}

// What a builder keeps is its other builds', too: a broken promise must not cost them their parts.
func TestRedeemArtifact_ABrokenPromiseKeepsNothingAndSpoilsNothing(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	content := noise(6, 6<<20)
	good := stored(t, r, content)
	l, err := OpenLarder(filepath.Join(t.TempDir(), "larder"), 1<<30)
	must(t, err)
	fetched(t, r, good, content, l)
	victim := strings.Repeat("5", 64)
	promised(t, r, slices.Concat(content, []byte("more")), victim)
	right := func(int64) error { t.Error("it was said to be right"); return nil }
	_, _, err = r.RedeemArtifact(t.Context(), victim, "olga", filepath.Join(t.TempDir(), "a"), l, right)
	wantRefusal(t, err, model.CodeBadArtifact, "announced was 555555555555")
	if _, there, err := r.HasArtifact(t.Context(), victim); there || err != nil {
		t.Errorf("it was kept: %v, %v", there, err)
	}
	if came := fetched(t, r, good, content, l); came != 0 {
		t.Errorf("%d bytes of another artifact had to come again", came)
	}
}

func TestFetchArtifact_ALarderThatCannotBeWrittenStopsNothing(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	content := noise(4, 3<<20)
	sha := stored(t, r, content)
	l, err := OpenLarder(filepath.Join(t.TempDir(), "larder"), 1<<30)
	must(t, err)
	must(t, os.RemoveAll(l.dir))
	if came := fetched(t, r, sha, content, l); came != int64(len(content)) {
		t.Errorf("%d bytes of %d came", came, len(content))
	}
}

func TestLarder_TrimKeepsWhatWasUsedLast(t *testing.T) {
	t.Parallel()
	l, err := OpenLarder(t.TempDir(), 25)
	must(t, err)
	var names []string
	for i := range 5 {
		content := noise(byte(i), 10)
		sum := sha256.Sum256(content)
		name := hex.EncodeToString(sum[:])
		path := filepath.Join(l.dir, name)
		must(t, os.WriteFile(path, content, 0o600))
		at := time.Now().Add(time.Duration(i-100) * time.Hour)
		must(t, os.Chtimes(path, at, at))
		names = append(names, name)
	}
	must(t, os.WriteFile(filepath.Join(l.dir, "new-now"), nil, 0o600))
	old := filepath.Join(l.dir, "new-old")
	must(t, os.WriteFile(old, nil, 0o600))
	must(t, os.Chtimes(old, time.Now().Add(-2*unfinished), time.Now().Add(-2*unfinished)))
	f := l.take(names[1])
	if f == nil {
		t.Fatal("a part is not there")
	}
	must(t, f.Close())
	must(t, l.Trim())
	if got, want := left(t, l), []string{names[1], names[4], "new-now"}; !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("left %v, want %v", got, want)
	}
	must(t, l.Empty())
	if got := left(t, l); !slices.Equal(got, []string{"new-now"}) {
		t.Errorf("left %v", got)
	}
}

func left(t *testing.T, l *Larder) (out []string) {
	t.Helper()
	files, err := os.ReadDir(l.dir)
	must(t, err)
	for _, f := range files {
		out = append(out, f.Name())
	}
	return out
}

// The earlier image is asked for a layer by what that was packed from; then no file of it is read.
func TestAssemble_TakesALayerOfTheEarlierImageWithoutReadingItsFiles(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	pushBase(t, r, "dinp/base/static", types.OCIManifestSchema1)
	rt := recipe.Runtime{Name: "static", Dest: "/app"}
	first := assemble(t, r, tree(t, "", site), "dinp/base/static", rt, nil)
	pushed, err := r.Push(t.Context(), first.Image, "shop", "build-1")
	must(t, err)
	digest, err := r.BaseDigest(t.Context(), "dinp/base/static")
	must(t, err)
	again := tree(t, "", site)
	must(t, again.Root.Remove("index.html"))
	l := Layered{Base: "dinp/base/static", Digest: digest, Runtime: rt, Labels: map[string]string{"dinp.runtime": rt.Name}, Scratch: t.TempDir()}
	l.Earlier = Earlier{Image: pushed.Name, Layers: map[string]string{first.Layers[0].Content: first.Layers[0].Digest.String()}}
	second, err := r.Assemble(t.Context(), again, l)
	must(t, err)
	was, err := first.Image.Digest()
	must(t, err)
	is, err := second.Image.Digest()
	must(t, err)
	if !second.Layers[0].Known || was != is {
		t.Errorf("layers %+v, image %s; want the layer of before and %s", second.Layers, is, was)
	}
	l.Earlier.Layers = map[string]string{first.Layers[0].Content: "sha256:" + strings.Repeat("0", 64)} // not of that image
	l.Scratch = t.TempDir()
	if _, err := r.Assemble(t.Context(), again, l); err == nil {
		t.Error("a layer that the earlier image does not have was taken")
	}
}

func TestPart_ContentTellsPartsApart(t *testing.T) {
	t.Parallel()
	file := recipe.File{Path: "a", Size: 1, ModTime: 7, SHA256: sha256.Sum256([]byte("a"))}
	of := func(dest string, owner int, change func(*recipe.File)) string {
		f := file
		change(&f)
		return part{dest: dest, owner: owner, files: []recipe.File{f}}.content()
	}
	same := func(*recipe.File) {}
	seen := map[string]string{}
	for name, content := range map[string]string{
		"it": of("/app", 0, same), "elsewhere": of("/srv", 0, same), "of another owner": of("/app", 1000, same),
		"of another name": of("/app", 0, func(f *recipe.File) { f.Path = "b" }), "newer": of("/app", 0, func(f *recipe.File) { f.ModTime++ }),
		"a program": of("/app", 0, func(f *recipe.File) { f.Exec = true }), "a link": of("/app", 0, func(f *recipe.File) { f.Link = "b" }),
		"of other bytes": of("/app", 0, func(f *recipe.File) { f.SHA256[0]++ }), "a folder": of("/app", 0, func(f *recipe.File) { f.Dir = true }),
	} {
		if other := seen[content]; other != "" || content == "" {
			t.Errorf("a part that is %s has the content %q, as one that is %s", name, content, other)
		}
		seen[content] = name
	}
	if got := of("/app", 0, func(f *recipe.File) { f.SHA256 = [32]byte{} }); got != "" {
		t.Errorf("content %q although a file's sum is not known", got)
	}
}
