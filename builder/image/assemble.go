package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/common/model"
)

// Layered is an image to be made of a base and a tree.
type Layered struct {
	Base    string // name, as in Runtime.Base
	Digest  string // of the base: what Base stood for when the build began
	Runtime recipe.Runtime
	Command []string // nil: the base's own
	Labels  map[string]string
	Earlier Earlier
	Scratch string // folder for the layers; the caller removes it
}

// Earlier is the app's image before this one. Its layers are taken again where this one's have the same content. The zero
// value is none.
type Earlier struct {
	Image  string
	Layers map[string]string // digest by content, as the builder that packed them wrote down
}

// Assembled is an image that is ready to be pushed.
type Assembled struct {
	Image  v1.Image
	Layers []Layer // on top of the base
}

// Layer is a layer on top of the base, for people.
type Layer struct {
	Name  string
	Bytes int64 // compressed
	Known bool  // as in the earlier image: neither packed nor pushed again

	Digest  v1.Hash
	Content string // what it was packed from, in hex; equal only for equal layers
}

// labelCompression says by which compression an image's layers were packed.
const labelCompression = "dinp.layers"

// Assemble lays the tree over the base image. Nothing runs, and only the base's manifest and config are read.
func (r *Registry) Assemble(ctx context.Context, t Tree, l Layered) (Assembled, error) {
	base, err := r.base(ctx, l)
	if err != nil {
		return Assembled{}, err
	}
	media, err := layerMedia(base)
	if err != nil {
		return Assembled{}, r.explain(ctx, err)
	}
	a := assembly{tree: t, Layered: l, media: media, known: r.earlierLayers(ctx, l.Earlier)}
	add, err := a.layers(ctx)
	if err != nil {
		return Assembled{}, err
	}
	img, err := mutate.Append(base, add...)
	if err != nil {
		return Assembled{}, r.explain(ctx, err)
	}
	img, err = configure(img, l)
	return Assembled{Image: img, Layers: a.said}, r.explain(ctx, err)
}

// earlierLayers are the layers of an image of this app, by their content. It is empty when there is no such image any more:
// that costs time, nothing else.
func (r *Registry) earlierLayers(ctx context.Context, e Earlier) func(content string) v1.Layer {
	none := func(string) v1.Layer { return nil }
	ref, err := r.ref(e.Image)
	if e.Image == "" || err != nil {
		return none
	}
	img, err := remote.Image(ref, r.options(ctx)...)
	if err != nil {
		return none
	}
	cf, err := img.ConfigFile()
	if err != nil || cf.Config.Labels[labelCompression] != compression {
		return none
	}
	return func(content string) v1.Layer {
		digest, err := v1.NewHash(e.Layers[content])
		if err != nil {
			return nil
		}
		l, err := img.LayerByDigest(digest)
		if err != nil {
			return nil
		}
		return l
	}
}

// assembly makes the layers of one image.
type assembly struct {
	Layered
	tree  Tree
	media types.MediaType
	known func(content string) v1.Layer
	said  []Layer
}

// named is a layer's content and what people call it.
type named struct {
	name string
	part
}

// parts are the layers' contents: the runtime's own files, its groups, and the rest of the artifact.
func (a *assembly) parts() []named {
	var out []named
	if len(a.Runtime.Files) > 0 {
		out = append(out, named{"runtime", runtimeFiles(a.Runtime.Files)})
	}
	for _, g := range a.Runtime.Groups(a.tree.Files) {
		out = append(out, named{g.Name, a.tree.part(g.Files, a.Runtime.Dest, a.Runtime.Owner)})
	}
	return out
}

// runtimeFiles are files of the runtime's definition, owned by root. Their time is that of no machine.
func runtimeFiles(files []recipe.RuntimeFile) part {
	content := map[string][]byte{}
	p := part{dest: "/", open: func(name string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content[name])), nil }}
	for _, f := range files {
		name := strings.TrimPrefix(f.To, "/")
		content[name] = f.Content
		p.files = append(p.files, recipe.File{Path: name, Size: int64(len(f.Content)), Exec: f.Exec, SHA256: sha256.Sum256(f.Content)})
	}
	return p
}

// layers makes all layers, two at a time: one waits for the disk while another computes.
func (a *assembly) layers(ctx context.Context) ([]mutate.Addendum, error) {
	parts := a.parts()
	out := make([]mutate.Addendum, len(parts))
	a.said = make([]Layer, len(parts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for i, p := range parts {
		g.Go(func() (err error) {
			out[i].History = v1.History{CreatedBy: fmt.Sprintf("dinp %s %s: %s", a.Runtime.Name, a.Runtime.Version, p.name)}
			out[i].Layer, a.said[i], err = a.layer(ctx, i, p)
			return err
		})
	}
	return out, g.Wait()
}

// layer takes the layer from the earlier image, or makes it.
func (a *assembly) layer(ctx context.Context, i int, p named) (v1.Layer, Layer, error) {
	content := p.content()
	if l := a.known(content); l != nil {
		if said, ok := describe(l, a.media); ok {
			said.Name, said.Content, said.Known = p.name, content, true
			return l, said, nil
		}
	}
	l, err := newLayer(ctx, p.part, filepath.Join(a.Scratch, fmt.Sprintf("layer-%d", i)), a.media)
	if err != nil {
		return nil, Layer{}, err
	}
	return l, Layer{Name: p.name, Bytes: l.size, Digest: l.digest, Content: content}, nil
}

// describe reads what is known of a layer in the registry; false if it is of the other family.
func describe(l v1.Layer, media types.MediaType) (Layer, bool) {
	is, err := l.MediaType()
	if err != nil || is != media {
		return Layer{}, false
	}
	size, serr := l.Size()
	digest, derr := l.Digest()
	return Layer{Bytes: size, Digest: digest}, serr == nil && derr == nil
}

func (r *Registry) base(ctx context.Context, l Layered) (v1.Image, error) {
	ref, err := r.baseRef(l.Base)
	if err != nil {
		return nil, err
	}
	img, err := remote.Image(ref.Context().Digest(l.Digest), r.options(ctx)...)
	if err != nil {
		return nil, missingBase(l.Base, r.explain(ctx, err))
	}
	return img, nil
}

// layerMedia is the layer type that belongs to the base's manifest; the two families must not be mixed.
func layerMedia(base v1.Image) (types.MediaType, error) {
	m, err := base.MediaType()
	if m == types.OCIManifestSchema1 {
		return types.OCILayer, err
	}
	return types.DockerLayer, err
}

func configure(img v1.Image, l Layered) (v1.Image, error) {
	old, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cf := old.DeepCopy()
	c := &cf.Config
	if l.Command != nil {
		c.Entrypoint, c.Cmd = nil, l.Command
	}
	if l.Runtime.Workdir != "" {
		c.WorkingDir = path.Clean(l.Runtime.Workdir)
	}
	if l.Runtime.User != "" {
		c.User = l.Runtime.User
	}
	c.Env = mergeEnv(c.Env, l.Runtime.Env)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	for _, labels := range []map[string]string{l.Runtime.Labels, l.Labels, {labelCompression: compression}} {
		for k, v := range labels {
			c.Labels[k] = v
		}
	}
	return mutate.ConfigFile(img, cf)
}

// mergeEnv sets variables in an image's list, keeping its order and adding new ones sorted.
func mergeEnv(env []string, set map[string]string) []string {
	out := make([]string, 0, len(env)+len(set))
	for _, kv := range env {
		k, _, _ := strings.Cut(kv, "=")
		if _, ok := set[k]; !ok {
			out = append(out, kv)
		}
	}
	for _, k := range sortedKeys(set) {
		out = append(out, k+"="+set[k])
	}
	return out
}

// Pushed is what a push has moved.
type Pushed struct {
	Name  string // dinp/apps/<app>@sha256:…
	Bytes int64  // that went over the network, manifest and config included
	Blobs int    // layers and config that the registry did not have
}

// Push writes the image to the app's repository under tag.
func (r *Registry) Push(ctx context.Context, img v1.Image, app, tag string) (Pushed, error) {
	digest, err := img.Digest()
	if err != nil {
		return Pushed{}, err
	}
	ref, err := r.ref(model.AppRepository(app) + ":" + tag)
	if err != nil {
		return Pushed{}, err
	}
	var c counter
	if err := remote.Write(ref, img, append(r.options(ctx), remote.WithJobs(4), remote.WithTransport(&c))...); err != nil {
		return Pushed{}, r.explain(ctx, err)
	}
	return Pushed{Name: model.AppRepository(app) + "@" + digest.String(), Bytes: c.bytes.Load(), Blobs: int(c.blobs.Load())}, nil
}

// counter counts what is sent.
type counter struct{ bytes, blobs atomic.Int64 }

// RoundTrip implements http.RoundTripper.
func (c *counter) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/blobs/uploads/") {
		c.blobs.Add(1)
	}
	if req.Body != nil && req.Body != http.NoBody {
		req = req.Clone(req.Context())
		req.Body = &countedBody{ReadCloser: req.Body, bytes: &c.bytes}
	}
	return remote.DefaultTransport.RoundTrip(req)
}

type countedBody struct {
	io.ReadCloser
	bytes *atomic.Int64
}

// Read implements io.Reader.
func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes.Add(int64(n))
	return n, err
}
