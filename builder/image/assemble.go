package image

import (
	"context"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

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
	Scratch string // path of a file for the layer; the caller removes it
}

// Assembled is an image that is ready to be pushed.
type Assembled struct {
	Image v1.Image
	Bytes int64 // of the layer, compressed
}

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
	top, err := newLayer(ctx, t, l.Runtime.Dest, l.Runtime.Owner, l.Scratch, media)
	if err != nil {
		return Assembled{}, err
	}
	img, err := mutate.Append(base, mutate.Addendum{Layer: top, History: v1.History{CreatedBy: "dinp " + l.Runtime.Name + " " + l.Runtime.Version}})
	if err != nil {
		return Assembled{}, r.explain(ctx, err)
	}
	img, err = configure(img, l)
	return Assembled{Image: img, Bytes: top.size}, r.explain(ctx, err)
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
	for _, labels := range []map[string]string{l.Runtime.Labels, l.Labels} {
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

// Push writes the image to the app's repository under tag and returns its name, dinp/apps/<app>@sha256:….
func (r *Registry) Push(ctx context.Context, img v1.Image, app, tag string) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", err
	}
	ref, err := r.ref(model.AppRepository(app) + ":" + tag)
	if err != nil {
		return "", err
	}
	if err := remote.Write(ref, img, append(r.options(ctx), remote.WithJobs(4))...); err != nil {
		return "", r.explain(ctx, err)
	}
	return model.AppRepository(app) + "@" + digest.String(), nil
}
