// Package docker drives a Docker engine for one node: translate.go says what a
// container of ours is made of, client.go makes the calls, this file says what
// their answers mean. Nothing else in the agent knows Docker's types.
//
// Every call looks at the labels of the container it is about and passes by
// those that are not this node's.
package docker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

// Options say how containers of a node are made and reached.
type Options struct {
	Host      string // of the engine: unix:///var/run/docker.sock
	NodeID    string
	Address   string // at which instances are reached, told to them as HOST_IP
	PublishIP string // on which their ports are published
	Registry  string // host:port before every image; "" for none
	AuthFile  string // with the login at the registry, see ReadAuth; "" for none
	// PullIdle is how long a pull may show no progress; 0: a minute.
	PullIdle time.Duration
}

// Docker is a runtime.Runtime on a Docker engine.
type Docker struct {
	o    Options
	api  *client.Client
	root atomic.Pointer[string] // its folder, once asked; nil after it was away: it may come back with another
}

// How long the engine may take to answer. They are wide because a loaded host
// is slow; they exist because a hung engine never answers at all.
const (
	askTimeout    = 15 * time.Second
	listTimeout   = 30 * time.Second
	changeTimeout = 60 * time.Second
	stopMargin    = 30 * time.Second // on top of the grace
	pullIdle      = time.Minute
)

// New returns a Runtime for the engine at o.Host. It does not connect: an
// engine that is away now may come later.
func New(o Options) (*Docker, error) {
	if o.PullIdle == 0 {
		o.PullIdle = pullIdle
	}
	opts := []client.Opt{client.WithAPIVersionNegotiation()}
	if o.Host != "" {
		opts = append(opts, client.WithHost(o.Host))
	}
	api, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker host %q: %w", o.Host, err)
	}
	return &Docker{o: o, api: api}, nil
}

// Close ends the connections to the engine.
func (d *Docker) Close() error { return d.api.Close() }

// Info implements runtime.Runtime.
func (d *Docker) Info(ctx context.Context) (runtime.Info, error) {
	var info runtime.Info
	err := within(ctx, askTimeout, func(ctx context.Context) error {
		v, err := d.api.ServerVersion(ctx)
		info.Version = v.Version
		return err
	})
	if err != nil {
		d.root.Store(nil)
		return info, err
	}
	info.Root = d.rootDir(ctx)
	return info, nil
}

// rootDir asks where the engine's files are, once: the answer is slow, because it
// counts all there is. An engine that does not say is asked again with the next
// Info.
func (d *Docker) rootDir(ctx context.Context) string {
	if known := d.root.Load(); known != nil {
		return *known
	}
	var dir string
	err := within(ctx, askTimeout, func(ctx context.Context) error {
		info, err := d.api.Info(ctx)
		dir = info.DockerRootDir
		return err
	})
	if err != nil {
		return ""
	}
	d.root.Store(&dir)
	return dir
}

// RemoveImage implements runtime.Runtime. It is never forced, and goes by name:
// an image that has another name as well loses ours only.
func (d *Docker) RemoveImage(ctx context.Context, name string) error {
	err := within(ctx, changeTimeout, func(ctx context.Context) error {
		_, err := d.api.ImageRemove(ctx, d.o.imageRef(name), image.RemoveOptions{PruneChildren: true})
		return err
	})
	switch {
	case errors.Is(err, runtime.ErrNotFound):
		return nil
	case isConflict(err):
		return fmt.Errorf("%w: %w", runtime.ErrImageUsed, err)
	}
	return err
}

// Create implements runtime.Runtime. A conflict means that an earlier call of
// ours had its effect although we did not hear of it: the container is adopted.
func (d *Docker) Create(ctx context.Context, s runtime.Spec) (runtime.Container, error) {
	made := runtime.Container{
		InstanceID: s.InstanceID, AppID: s.AppID, ReleaseID: s.ReleaseID, SpecHash: s.Hash,
		MemoryMiB: s.MemoryMiB, CPUMilli: s.CPUMilli,
		CreatedAt: time.Now().Round(0).UTC(), // until Inspect tells what the engine says
	}
	err := within(ctx, changeTimeout, func(ctx context.Context) error {
		r, err := d.api.ContainerCreate(ctx, d.o.containerConfig(s), d.o.hostConfig(s), nil, nil, model.ContainerName(s.InstanceID))
		made.ID = r.ID
		return err
	})
	switch {
	case isConflict(err):
		return d.adopt(ctx, s.InstanceID)
	case errors.Is(err, runtime.ErrNotFound):
		return made, fmt.Errorf("%w: %w", runtime.ErrNoImage, err)
	}
	return made, err
}

func (d *Docker) adopt(ctx context.Context, instanceID string) (runtime.Container, error) {
	c, err := d.Inspect(ctx, instanceID)
	if errors.Is(err, runtime.ErrNotFound) {
		// The name is taken and nobody has it: a create or a removal is under way in the engine.
		return c, fmt.Errorf("%w: the container's name is reserved", runtime.ErrAway)
	}
	return c, err
}

// Start implements runtime.Runtime.
func (d *Docker) Start(ctx context.Context, instanceID string) error {
	c, err := d.Inspect(ctx, instanceID)
	if err != nil || c.State != runtime.Created {
		return err
	}
	return within(ctx, changeTimeout, func(ctx context.Context) error {
		return d.api.ContainerStart(ctx, c.ID, container.StartOptions{})
	})
}

// Stop implements runtime.Runtime.
func (d *Docker) Stop(ctx context.Context, instanceID string, grace time.Duration) error {
	c, err := d.Inspect(ctx, instanceID)
	if err != nil || c.State != runtime.Running {
		return err
	}
	seconds := int((grace + time.Second - 1) / time.Second) // the engine counts whole seconds
	return within(ctx, grace+stopMargin, func(ctx context.Context) error {
		return d.api.ContainerStop(ctx, c.ID, container.StopOptions{Timeout: &seconds})
	})
}

// Remove implements runtime.Runtime.
func (d *Docker) Remove(ctx context.Context, instanceID string) error {
	c, err := d.Inspect(ctx, instanceID)
	if errors.Is(err, runtime.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	err = within(ctx, changeTimeout, func(ctx context.Context) error {
		return d.api.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
	})
	if errors.Is(err, runtime.ErrNotFound) {
		return nil
	}
	if isConflict(err) { // a removal is in progress already
		return fmt.Errorf("%w: %w", runtime.ErrAway, err)
	}
	return err
}

// Inspect implements runtime.Runtime.
func (d *Docker) Inspect(ctx context.Context, instanceID string) (runtime.Container, error) {
	var in container.InspectResponse
	err := within(ctx, askTimeout, func(ctx context.Context) (err error) {
		in, err = d.api.ContainerInspect(ctx, model.ContainerName(instanceID))
		return err
	})
	if err != nil {
		return runtime.Container{}, err
	}
	if in.Config == nil || !d.o.ours(in.Config.Labels, instanceID) {
		return runtime.Container{}, runtime.ErrForeign
	}
	return d.o.fromInspect(in), nil
}

// List implements runtime.Runtime.
func (d *Docker) List(ctx context.Context) ([]runtime.Container, error) {
	var list []container.Summary
	err := within(ctx, listTimeout, func(ctx context.Context) (err error) {
		list, err = d.api.ContainerList(ctx, container.ListOptions{All: true, Filters: d.o.onlyOurs()})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]runtime.Container, 0, len(list))
	for _, in := range list {
		// Someone may have copied our labels onto a container of another name: not ours either.
		if d.o.ours(in.Labels, in.Labels[model.LabelInstance]) && named(in.Names, in.Labels[model.LabelInstance]) {
			out = append(out, d.o.fromSummary(in))
		}
	}
	return out, nil
}

func named(names []string, instanceID string) bool {
	for _, n := range names {
		if n == "/"+model.ContainerName(instanceID) {
			return true
		}
	}
	return false
}
