// Package image puts images into the platform's registry: assembled as layers without a daemon, built by the Docker
// engine from a Dockerfile, or copied from where a reference points. It also fetches the artifacts that dash has put there.
//
// The builder's pipeline calls it. Names it returns never hold the registry's address, dinp/apps/shop@sha256:…, because
// every machine may reach the registry under another one. It never runs an artifact's code outside the engine.
package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/dinp/dinp/builder/source"
	"github.com/dinp/dinp/common/model"
)

// Registry is the platform's own image registry.
type Registry struct {
	address string
	auth    authn.AuthConfig
	names   []name.Option
	imports Imports
	guard   source.Guard                                 // of connections to other registries
	supply  func(ctx context.Context, base string) error // brings a base image before it is first used; nil for nobody
}

// NewRegistry returns the registry at address, host:port. Plain HTTP is spoken to loopback addresses, and to others if
// insecure is set. authFile, if not "", holds user:password.
func NewRegistry(address string, insecure bool, authFile string) (*Registry, error) {
	r := &Registry{address: address, imports: DefaultImports()}
	if insecure {
		r.names = append(r.names, name.Insecure)
	}
	if authFile != "" {
		b, err := os.ReadFile(authFile)
		if err != nil {
			return nil, fmt.Errorf("registry_auth_file: %w", err)
		}
		user, password, ok := strings.Cut(strings.TrimSpace(string(b)), ":")
		if !ok {
			return nil, fmt.Errorf("registry_auth_file %s: want user:password", authFile)
		}
		r.auth = authn.AuthConfig{Username: user, Password: password}
	}
	_, err := name.NewRegistry(address, r.names...)
	return r, err
}

// Ping asks the registry whether it serves.
func (r *Registry) Ping(ctx context.Context) error {
	reg, err := name.NewRegistry(r.address, r.names...)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, reg.Scheme()+"://"+r.address+"/v2/", nil)
	if err != nil {
		return err
	}
	res, err := remote.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("registry %s answers %s", r.address, res.Status)
	}
	return nil
}

// Digest returns the digest of the manifest that a name of this registry stands for.
func (r *Registry) Digest(ctx context.Context, relative string) (string, error) {
	ref, err := r.ref(relative)
	if err != nil {
		return "", err
	}
	d, err := remote.Head(ref, r.options(ctx)...)
	if err != nil {
		return "", r.explain(ctx, err)
	}
	return d.Digest.String(), nil
}

// Has reports whether the registry has the image.
func (r *Registry) Has(ctx context.Context, relative string) (bool, error) {
	_, err := r.Digest(ctx, relative)
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// SupplyBases lets bring be asked for each base image before its digest is looked up, so that a platform which has its base
// images at hand moves only those that are used. It is called before builds begin.
func (r *Registry) SupplyBases(bring func(ctx context.Context, base string) error) { r.supply = bring }

// BaseDigest returns the digest of a runtime's base image: a name of this registry, or a full reference.
func (r *Registry) BaseDigest(ctx context.Context, base string) (string, error) {
	if r.supply != nil {
		if err := r.supply(ctx, base); err != nil {
			return "", err
		}
	}
	ref, err := r.baseRef(base)
	if err != nil {
		return "", err
	}
	d, err := remote.Head(ref, r.options(ctx)...)
	if err != nil {
		return "", missingBase(base, r.explain(ctx, err))
	}
	return d.Digest.String(), nil
}

func missingBase(base string, err error) error {
	if !isNotFound(err) {
		return err
	}
	return model.E(model.CodeNoBaseImage, "the registry does not have the base image %s", base).
		WithNext("make base-images, then start dinp again or run: dinp base-images push").WithCause(err)
}

// ref is a registry-relative name in full.
func (r *Registry) ref(relative string) (name.Reference, error) {
	return name.ParseReference(r.address+"/"+relative, r.names...)
}

// baseRef takes dinp/… for a name in this registry and anything else as it stands.
func (r *Registry) baseRef(base string) (name.Reference, error) {
	if strings.HasPrefix(base, "dinp/") {
		return r.ref(base)
	}
	return name.ParseReference(base)
}

func (r *Registry) options(ctx context.Context) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx), remote.WithAuthFromKeychain(r), remote.WithPlatform(platform()), remote.WithUserAgent("dinp-builder"),
	}
}

// Resolve implements authn.Keychain: the credentials are for this registry alone.
func (r *Registry) Resolve(target authn.Resource) (authn.Authenticator, error) {
	if r.auth.Username == "" || target.RegistryStr() != r.address {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(r.auth), nil
}

// platform is what images are for: that of the builder, which is that of the nodes.
func platform() v1.Platform { return v1.Platform{OS: "linux", Architecture: runtime.GOARCH} }

func isNotFound(err error) bool {
	var e *transport.Error
	return errors.As(err, &e) && e.StatusCode == http.StatusNotFound
}

// explain makes a refusal of what went wrong between us and the registry. Not found stays as it is: only the caller
// knows what that means.
func (r *Registry) explain(ctx context.Context, err error) error {
	var e *transport.Error
	var n net.Error
	next := "the upload is kept: deploy again when the registry answers; its address is `registry` in the builder's configuration"
	switch {
	case err == nil, ctx.Err() != nil:
		return errors.Join(ctx.Err(), err)
	case isNotFound(err):
		return err
	case errors.As(err, &e) && (e.StatusCode == http.StatusUnauthorized || e.StatusCode == http.StatusForbidden):
		return model.E(model.CodeRegistryAway, "the registry %s refuses the builder: %d %s", r.address, e.StatusCode, http.StatusText(e.StatusCode)).
			WithNext("check registry_auth_file in the builder's configuration").WithCause(err)
	case errors.As(err, &e):
		return model.E(model.CodeRegistryAway, "the registry %s fails: %d %s", r.address, e.StatusCode, http.StatusText(e.StatusCode)).
			WithNext("%s", next).WithCause(err)
	case errors.As(err, &n), isCut(err):
		return model.E(model.CodeRegistryAway, "the registry %s does not answer", r.address).WithNext("%s", next).WithCause(err)
	}
	return err
}
