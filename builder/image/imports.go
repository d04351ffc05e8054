package image

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/dinp/dinp/builder/source"
	"github.com/dinp/dinp/common/model"
)

// Imports says from which registries images are taken by reference.
type Imports struct {
	Registries []string `yaml:"registries" help:"registries whose images may be deployed by reference, by host or host:port; docker.io stands for names without one, * for any public one"`
}

// DefaultImports are the registries that publish images for everybody.
func DefaultImports() Imports {
	return Imports{Registries: []string{
		"docker.io", "ghcr.io", "quay.io", "gcr.io", "registry.k8s.io", "mcr.microsoft.com", "public.ecr.aws", "registry.gitlab.com", "registry.access.redhat.com",
	}}
}

// Problems lists what is wrong with the settings.
func (i Imports) Problems() []string {
	var out []string
	for _, r := range i.Registries {
		if _, err := name.NewRegistry(r); r != "*" && err != nil {
			out = append(out, fmt.Sprintf("import.registries: %q is no registry; write it as registry.example.org or registry.example.org:5000", r))
		}
	}
	return out
}

// lists reports whether a registry is named, and not only meant by "*".
func (i Imports) lists(r name.Registry) bool {
	return slices.ContainsFunc(i.Registries, func(text string) bool {
		listed, err := name.NewRegistry(text)
		return err == nil && text != "*" && listed.RegistryStr() == r.RegistryStr()
	})
}

// SetImports says where images by reference may come from; guard decides which addresses may be connected to.
func (r *Registry) SetImports(i Imports, guard source.Guard) { r.imports, r.guard = i, guard }

// mayImport refuses registries that are not listed.
func (r *Registry) mayImport(ref name.Reference) error {
	from := ref.Context().Registry
	if r.imports.lists(from) || slices.Contains(r.imports.Registries, "*") {
		return nil
	}
	return model.E(model.CodeBadRegistry, "images of the registry %s are not taken here", from.RegistryStr()).
		WithEvidence("taken are those of: "+strings.Join(r.imports.Registries, ", ")).
		WithNext("push the image to one of these, or let an operator add %s to import.registries of the builder", from.RegistryStr())
}

// outside reaches the registry of a reference. What is listed may lie at a private address; what it redirects to, and
// where it sends for a token, may not.
func (r *Registry) outside(from name.Registry) http.RoundTripper {
	guard := r.guard
	if r.imports.lists(from) {
		guard = guard.WithHost(withPort(from))
	}
	t := remote.DefaultTransport.(*http.Transport).Clone()
	t.DialContext, t.Proxy = guard.DialContext, nil
	t.DisableKeepAlives = true // one import, one transport: nothing may stay open
	return t
}

// withPort is a registry as it is dialled.
func withPort(r name.Registry) string {
	host := r.RegistryStr()
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	if r.Scheme() == "http" {
		return net.JoinHostPort(host, "80")
	}
	return net.JoinHostPort(host, "443")
}

// foreign finds an image in any other registry.
func (r *Registry) foreign(ctx context.Context, ref name.Reference) (v1.Image, error) {
	options := []remote.Option{remote.WithPlatform(platform()), remote.WithUserAgent("dinp-builder"), remote.WithTransport(r.outside(ref.Context().Registry))}
	head, cancel := context.WithTimeout(ctx, headTimeout)
	defer cancel()
	// Some registries do not answer HEAD; the manifest itself is small.
	d, err := remote.Get(ref, append(options, remote.WithContext(head))...)
	if err != nil {
		return nil, err
	}
	return remote.Image(ref.Context().Digest(d.Digest.String()), append(options, remote.WithContext(ctx))...)
}
