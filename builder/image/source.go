package image

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dinp/dinp/common/model"
)

// headTimeout bounds the question whether another registry has an image, so that a dead one costs seconds, not minutes.
const headTimeout = 20 * time.Second

// Import copies the image that a reference stands for into the app's repository and returns its name there. It looks in
// the platform's own registry, then where the reference points, then in the local engine, which may have an image that no
// registry has. say gets what was found.
func (r *Registry) Import(ctx context.Context, e *Engine, reference, app, tag string, say func(string)) (string, error) {
	var tried []string
	try := func(where string, err error) { tried = append(tried, fmt.Sprintf("%s: %v", where, err)) }

	if relative, ok := r.relative(reference, e.registry); ok {
		image, err := r.importOwn(ctx, relative, app, tag, say)
		if err == nil || !isNotFound(err) {
			return image, err
		}
		try("the platform's registry", errNotThere)
		if strings.HasPrefix(relative, "dinp/") {
			return "", noImage(reference, tried)
		}
	}
	ref, err := name.ParseReference(reference)
	if err != nil {
		return "", model.E(model.CodeNoImage, "%.200q is no image reference", reference).
			WithNext("write it as registry.example.org/team/app:tag").WithCause(err)
	}
	if err := r.mayImport(ref); err != nil {
		return "", err
	}
	img, err := r.foreign(ctx, ref)
	if err == nil {
		return r.importForeign(ctx, img, ref, app, tag, say)
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	try("registry "+ref.Context().RegistryStr(), brief(err))
	image, err := e.importLocal(ctx, reference, app, tag, say)
	if err == nil || ctx.Err() != nil || !isMissingLocally(err) {
		return image, err
	}
	try("the local Docker engine", brief(err))
	return "", noImage(reference, tried)
}

var errNotThere = fmt.Errorf("does not have it")

func noImage(reference string, tried []string) error {
	return model.E(model.CodeNoImage, "no image %.200q was found", reference).WithEvidence(tried...).
		WithNext("check the name and the tag; a private registry needs an image it gives to anybody, or one pushed to the platform's registry")
}

// relative tells whether a reference may mean the platform's own registry, and its name there.
func (r *Registry) relative(reference, engineAddress string) (string, bool) {
	for _, own := range []string{r.address, engineAddress} {
		if rest, ok := strings.CutPrefix(reference, own+"/"); ok && own != "" {
			return rest, true
		}
	}
	first, _, nested := strings.Cut(reference, "/")
	if nested && (strings.ContainsAny(first, ".:") || first == "localhost") {
		return "", false
	}
	return reference, true
}

func (r *Registry) importOwn(ctx context.Context, relative, app, tag string, say func(string)) (string, error) {
	ref, err := r.ref(relative)
	if err != nil {
		return "", model.E(model.CodeNoImage, "%.200q is no image reference", relative).
			WithNext("write it as registry.example.org/team/app:tag").WithCause(err)
	}
	img, err := remote.Image(ref, r.options(ctx)...)
	if err != nil {
		return "", r.explain(ctx, err)
	}
	return r.importAny(ctx, img, "the platform's registry", app, tag, say)
}

func (r *Registry) importForeign(ctx context.Context, img v1.Image, ref name.Reference, app, tag string, say func(string)) (string, error) {
	return r.importAny(ctx, img, ref.Context().RegistryStr(), app, tag, say)
}

func (r *Registry) importAny(ctx context.Context, img v1.Image, where, app, tag string, say func(string)) (string, error) {
	digest, err := img.Digest()
	if err != nil {
		return "", r.explain(ctx, err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		return "", model.E(model.CodeNoImage, "%s in %s is no image that can run", digest, where).
			WithNext("name an image, not an artifact or index of another kind").WithCause(err)
	}
	if cf.OS != platform().OS || cf.Architecture != platform().Architecture {
		return "", model.E(model.CodeNoImage, "the image is for %s/%s; the nodes are %s", cf.OS, cf.Architecture, platform()).
			WithNext("build it for %s, and push it", platform())
	}
	say(fmt.Sprintf("found %s in %s", digest, where))
	p, err := r.Push(ctx, img, app, tag)
	return p.Name, err
}

// brief is the first line of an error, short: registries answer with whole pages.
func brief(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return fmt.Errorf("%s", plain(text))
}
