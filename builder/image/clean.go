package image

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	dockerimage "github.com/docker/docker/api/types/image"
)

// Labels of what a build in progress has in the engine. The finished image has them empty, so that no container of an
// app is ever taken for something to clean up.
const (
	labelBuild = "dinp.build"
	labelOwner = "dinp.builder"
)

// cutQuiet is how long nothing more must appear after a build that was cut off. The engine hears of that at its next step:
// the one under way may yet leave an image, behind a sweep that has found nothing.
const cutQuiet = 3 * time.Second

// Clean removes every container and image that the build left in the engine, also when ctx is over already: then the
// build was cut off.
func (e *Engine) Clean(ctx context.Context, build string) error {
	quiet := time.Duration(0)
	if ctx.Err() != nil {
		quiet = cutQuiet
	}
	return e.clean(context.WithoutCancel(ctx), labelBuild+"="+build, quiet)
}

// CleanAll removes what builds of this builder left, for the start after a crash. An engine that is away has nothing.
func (e *Engine) CleanAll(ctx context.Context) error {
	if _, err := e.client.Ping(ctx); err != nil {
		return nil
	}
	return e.clean(ctx, labelOwner+"="+e.owner, 0)
}

// clean goes on until it has found nothing for a while: after a cancel the engine is still stopping the step, and images go
// from the youngest to the oldest.
func (e *Engine) clean(ctx context.Context, label string, quiet time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupTime)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for since := time.Now(); ; {
		left, err := e.sweep(ctx, label)
		if left != 0 || err != nil {
			since = time.Now()
		} else if time.Since(since) >= quiet {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d things with label %s stay in the engine: %w", left, label, errors.Join(err, ctx.Err()))
		case <-tick.C:
		}
	}
}

// sweep tries to remove everything with the label once and returns how much there was. What cannot go yet goes next time.
func (e *Engine) sweep(ctx context.Context, label string) (int, error) {
	only := filters.NewArgs(filters.Arg("label", label))
	containers, err := e.client.ContainerList(ctx, container.ListOptions{All: true, Filters: only})
	if err != nil {
		return 0, e.explain(err)
	}
	for _, c := range containers {
		err = errors.Join(err, e.client.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	}
	images, lerr := e.client.ImageList(ctx, dockerimage.ListOptions{All: true, Filters: only})
	for _, i := range images {
		_, rerr := e.client.ImageRemove(ctx, i.ID, dockerimage.RemoveOptions{PruneChildren: true})
		err = errors.Join(err, rerr)
	}
	if lerr != nil {
		return len(containers), lerr
	}
	if len(containers)+len(images) == 0 {
		return 0, nil
	}
	return len(containers) + len(images), err
}
