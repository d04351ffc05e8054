package image

import (
	"context"
	"sync"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

// limitProcesses bounds how many processes the steps of a build may have, until stop. The engine's build call has no such
// limit, so each step's container gets it at its start: a fork bomb has what it made in the milliseconds before, within
// the step's memory, and goes no further. It returns once the engine tells of new containers.
func (e *Engine) limitProcesses(ctx context.Context, build string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	started, failed := e.client.Events(ctx, events.ListOptions{Filters: filters.NewArgs(
		filters.Arg("type", string(events.ContainerEventType)), filters.Arg("event", string(events.ActionStart)), filters.Arg("label", labelBuild+"="+build))})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case m := <-started:
				// A step that has ended by now needs no limit; for any other the engine knows the call.
				_, _ = e.client.ContainerUpdate(ctx, m.Actor.ID, container.UpdateConfig{Resources: container.Resources{PidsLimit: &e.limits.Processes}})
			case <-failed: // the build has ended, or the engine is away and the build with it
				return
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}
