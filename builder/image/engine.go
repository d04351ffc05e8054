package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
	dockerimage "github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/client"

	"github.com/dinp/dinp/common/model"
)

// DefaultDockerHost is where the engine listens on a usual Linux.
const DefaultDockerHost = "unix:///var/run/docker.sock"

// Limits is what a RUN line of a Dockerfile may use. The build's own deadline holds too.
type Limits struct {
	MemoryMiB  int64    `yaml:"memory_mib" help:"MiB of memory that a step of a Dockerfile may use"`
	CPUMilli   int64    `yaml:"cpu_milli" help:"thousandths of a core that a step of a Dockerfile may use"`
	Processes  int64    `yaml:"processes" help:"processes that a step of a Dockerfile may have at a time"`
	Network    bool     `yaml:"network" help:"let the steps of a Dockerfile use the network"`
	Registries []string `yaml:"registries" help:"registries that FROM may name, by host or host:port; docker.io stands for names without one"`
}

// DefaultLimits lets a build compile assets, not the world.
func DefaultLimits() Limits {
	return Limits{MemoryMiB: 1024, CPUMilli: 1000, Processes: 1024, Registries: []string{"docker.io"}}
}

// Problems lists what is wrong with the limits.
func (l Limits) Problems() []string {
	var out []string
	if l.MemoryMiB < 16 {
		out = append(out, fmt.Sprintf("dockerfile.memory_mib is %d; it must be at least 16", l.MemoryMiB))
	}
	if l.CPUMilli < 10 {
		out = append(out, fmt.Sprintf("dockerfile.cpu_milli is %d; it must be at least 10", l.CPUMilli))
	}
	if l.Processes < 16 {
		out = append(out, fmt.Sprintf("dockerfile.processes is %d; it must be at least 16", l.Processes))
	}
	return out
}

// Engine is the Docker engine on the builder's host. It is needed for Dockerfiles and for images that only it has; a
// builder without one does everything else.
type Engine struct {
	client   *client.Client
	registry string // the platform's registry as the engine reaches it
	auth     registry.AuthConfig
	limits   Limits
	owner    string // the builder, marked on everything it makes in the engine
}

// NewEngine returns the engine at host (DefaultDockerHost for ""), which knows r as address. No connection is made.
func NewEngine(host, address string, r *Registry, l Limits, owner string) (*Engine, error) {
	if host == "" {
		host = DefaultDockerHost
	}
	c, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, fmt.Errorf("docker_host: %w", err)
	}
	auth := registry.AuthConfig{Username: r.auth.Username, Password: r.auth.Password}
	return &Engine{client: c, registry: address, auth: auth, limits: l, owner: owner}, nil
}

// Close ends the connections to the engine.
func (e *Engine) Close() error { return e.client.Close() }

// label marks all that a build makes in the engine, as a Dockerfile writes it.
func (e *Engine) label(build string) string {
	return labelBuild + "=" + build + " " + labelOwner + "=" + e.owner
}

// importLocal pushes an image that the engine has into the app's repository.
func (e *Engine) importLocal(ctx context.Context, reference, app, tag string, say func(string)) (string, error) {
	info, err := e.client.ImageInspect(ctx, reference)
	if err != nil {
		return "", e.explain(err)
	}
	say(fmt.Sprintf("found %s in the local Docker engine", info.ID))
	return e.push(ctx, info.ID, app, tag)
}

func isMissingLocally(err error) bool {
	return errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err) || model.IsCode(err, model.CodeDockerAway)
}

// push tags an image for the registry, pushes it, takes the tag away again and returns the image's name by digest.
func (e *Engine) push(ctx context.Context, id, app, tag string) (_ string, err error) {
	target := e.target(app, tag)
	if err := e.client.ImageTag(ctx, id, target); err != nil {
		return "", e.explain(err)
	}
	defer func() { err = errors.Join(err, e.untag(context.WithoutCancel(ctx), target)) }()
	auth, err := registry.EncodeAuthConfig(e.auth)
	if err != nil {
		return "", err
	}
	body, err := e.client.ImagePush(ctx, target, dockerimage.PushOptions{RegistryAuth: auth})
	if err != nil {
		return "", e.explain(err)
	}
	defer body.Close()
	return e.pushed(ctx, body, model.AppRepository(app))
}

// target is the tag that an image has while it is pushed.
func (e *Engine) target(app, tag string) string {
	return e.registry + "/" + model.AppRepository(app) + ":" + tag
}

// untag takes a tag away, and the image with it if it has no other name.
func (e *Engine) untag(ctx context.Context, target string) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupTime)
	defer cancel()
	_, err := e.client.ImageRemove(ctx, target, dockerimage.RemoveOptions{PruneChildren: true})
	if err == nil || errdefs.IsNotFound(err) || client.IsErrConnectionFailed(err) {
		return nil
	}
	return err
}

// pushed reads the engine's report of a push; its end holds the digest.
func (e *Engine) pushed(ctx context.Context, body io.Reader, repository string) (string, error) {
	digest := ""
	err := readStream(body, func(m message) {
		var aux struct{ Digest string }
		if json.Unmarshal(m.Aux, &aux) == nil && aux.Digest != "" {
			digest = aux.Digest
		}
	})
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", model.E(model.CodeRegistryAway, "the Docker engine cannot push to the registry %s", e.registry).WithEvidence(brief(err).Error()).
			WithNext("check that the engine reaches it: docker_registry in the builder's configuration; then deploy again").WithCause(err)
	case digest == "":
		return "", errors.New("docker push gave no digest")
	}
	return repository + "@" + digest, nil
}

// explain names an engine that is away.
func (e *Engine) explain(err error) error {
	if client.IsErrConnectionFailed(err) {
		return model.E(model.CodeDockerAway, "the Docker engine at %s does not answer", e.client.DaemonHost()).
			WithNext("start it (systemctl start docker), or set docker_host in the builder's configuration; then deploy again").WithCause(err)
	}
	return err
}

// cleanupTime is for taking away what a build left, also after its own time is over.
const cleanupTime = 30 * time.Second
