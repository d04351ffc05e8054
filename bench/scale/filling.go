package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/place"
	"github.com/dinp/dinp/sql/store"
)

// mostFilled is how many instances go the whole way, from the wish to the
// acknowledgement. What a larger cluster has besides was there before.
const mostFilled = 100_000

// filled and all are how many instances there are after the filling, and in the end.
func (f *fleetRun) filled() int {
	if f.hasty {
		return f.all() / 2
	}
	return min(f.all(), mostFilled)
}

func (f *fleetRun) all() int { return f.nodes * f.each }

// unswept is a sweep that never comes: what is written down while the leader
// runs is to be noticed when it is told.
const unswept = time.Hour

// costOfAgents is what the leader keeps for an agent that has no instances.
func (f *fleetRun) costOfAgents(ctx context.Context) (err error) {
	if err := f.serve(ctx, 0, unswept); err != nil {
		return err
	}
	if err := f.until(ctx, "the first server leads", func() (ok bool, _ string, err error) {
		err = f.servers[0].ask(&ok, "leads")
		return ok, "", err
	}); err != nil {
		return err
	}
	var before, after held
	if err := f.servers[0].ask(&before, "memory"); err != nil {
		return err
	}
	if err := f.gather(ctx, f.addrs); err != nil {
		return err
	}
	began, err := f.servers[0].cpu()
	if err != nil {
		return err
	}
	if err := f.allIn(ctx, f.nodes); err != nil {
		return err
	}
	if err := f.servers[0].ask(&after, "memory"); err != nil {
		return err
	}
	f.t.report(float64(after.all()-before.all())/float64(f.nodes)/1000, "KB/agent")
	f.t.report(float64(after.Stacks-before.Stacks)/float64(f.nodes)/1000, "KB-of-stacks/agent")
	ended, err := f.servers[0].cpu()
	f.t.report((ended-began).Seconds()/float64(f.nodes)*1000, "CPU-ms/connect")
	return err
}

// want writes down what is to be filled, without telling the leader.
func (f *fleetRun) want(ctx context.Context) error {
	_, err := f.createApps(ctx, 0, f.filled()/perApp)
	return err
}

// createApps writes down the wish for apps with these numbers, of perApp
// instances each, and returns their releases.
func (f *fleetRun) createApps(ctx context.Context, from, to int) ([]model.Release, error) {
	instances, by := perApp, model.Actor{Name: "bench"}
	releases := make([]model.Release, to-from)
	errs := make(chan error, 16)
	var done atomic.Int64
	defer telling("apps are wished for", len(releases), &done)()
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := from + w; i < to; i += 16 {
				app, err := f.store.CreateApp(ctx, fmt.Sprintf("app-%d", i), "", by)
				if err == nil {
					releases[i-from], _, err = f.store.CreateRelease(ctx, store.NewRelease{AppID: app.ID, Cause: model.CauseDeploy, Instances: &instances, Spec: func(base model.Release) (model.Spec, error) {
						base.Spec.Image, base.Spec.MemoryMiB = "apps/x@sha256:"+strings.Repeat("0", 64), 64
						return base.Spec, nil
					}}, by)
				}
				if err != nil {
					errs <- err
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	close(errs)
	return releases, <-errs
}

// fill tells the leader of all that: each instance is placed, committed,
// ordered over its node's stream, and acknowledged.
func (f *fleetRun) fill(ctx context.Context) error {
	began, err := f.servers[f.leads].cpu()
	if err != nil {
		return err
	}
	if err := f.until(ctx, "the leader is told", func() (bool, string, error) {
		_, err := ask(ctx, f, func(ctx context.Context, c pb.PlatformClient) (*pb.NudgeReply, error) {
			return c.Nudge(ctx, &pb.NudgeRequest{Nodes: true})
		})
		return err == nil, fmt.Sprint(err), nil // on a busy machine it may have to take its lease again
	}); err != nil {
		return err
	}
	var c tally
	if err := f.until(ctx, "all instances run", func() (bool, string, error) {
		var err error
		c, err = f.herds.counts()
		return c.Instances == int64(f.filled()), fmt.Sprintf("%d of %d", c.Instances, f.filled()), err
	}); err != nil {
		return err
	}
	ended, err := f.servers[f.leads].cpu()
	if err != nil {
		return err
	}
	took := time.Duration(c.LastAck - c.FirstStart)
	f.t.report(float64(c.Instances)/took.Seconds(), "instances/s")
	f.t.report(float64(c.Instances)/(ended-began).Seconds(), "instances/CPU-s")
	f.t.report(float64(c.Starts)/float64(c.Instances), "commands/instance")
	return f.asWished(ctx)
}

// asWished waits until all instances are ready.
func (f *fleetRun) asWished(ctx context.Context) error {
	return f.until(ctx, "all apps are as wished", func() (bool, string, error) {
		r, err := ask(ctx, f, func(ctx context.Context, c pb.PlatformClient) (*pb.AppsReply, error) {
			return c.Apps(ctx, &pb.AppsRequest{})
		})
		if err != nil {
			return false, err.Error(), nil // the leader is busy
		}
		good := 0
		for _, a := range r.GetApps() {
			if a.GetReady() == perApp {
				good++
			}
		}
		return good == len(r.GetApps()), fmt.Sprintf("%d of %d", good, len(r.GetApps())), nil
	})
}

// stock brings the cluster to all its instances, while no server runs: rows of
// instances that run already, at agents that have them.
func (f *fleetRun) stock(ctx context.Context) error {
	if f.filled() == f.all() {
		return nil
	}
	if err := f.servers[f.leads].leave(); err != nil {
		return err
	}
	if err := f.writeStock(ctx, f.filled()/perApp); err != nil {
		return fmt.Errorf("stock: %w", err)
	}
	if err := f.herds.stock(); err != nil {
		return err
	}
	if err := f.serve(ctx, f.leads, unswept); err != nil {
		return err
	}
	if err := f.allIn(ctx, f.nodes); err != nil {
		return err
	}
	return f.asWished(ctx)
}

// found begins with a cluster that has all its instances: a server takes over what
// runs at agents that it has yet to meet.
func (f *fleetRun) found(ctx context.Context) (err error) {
	if err := f.writeStock(ctx, 0); err != nil {
		return fmt.Errorf("stock: %w", err)
	}
	if err := f.gather(ctx, f.addrs[:f.connections]); err != nil {
		return err
	}
	if err := f.herds.stock(); err != nil {
		return err
	}
	began := time.Now()
	if err := f.serve(ctx, 0, 0); err != nil {
		return err
	}
	if err := f.allIn(ctx, f.nodes); err != nil {
		return err
	}
	f.t.report(time.Since(began).Seconds(), "s-to-sync")
	if err := f.asWished(ctx); err != nil {
		return err
	}
	f.t.report(time.Since(began).Seconds(), "s-to-be-as-wished")
	used, err := f.servers[0].cpu()
	f.t.report(used.Seconds(), "CPU-s-to-be-as-wished")
	return err
}

// writeStock writes down the apps from a number on, with their instances.
func (f *fleetRun) writeStock(ctx context.Context, from int) error {
	releases, err := f.createApps(ctx, from, f.all()/perApp)
	if err != nil {
		return err
	}
	seen, err := f.store.Lease(ctx, "leader")
	if err != nil {
		return err
	}
	lease, err := f.store.TakeLease(ctx, seen, "bench", "", time.Now().UnixMilli())
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	var done atomic.Int64
	defer telling("instances are written down", len(releases)*perApp, &done)()
	for some := range slices.Chunk(releases, 40) {
		var c store.Control
		for _, r := range some {
			c.Deployments = append(c.Deployments, model.Deployment{ReleaseID: r.ID, AppID: r.AppID, Status: model.DeploymentSucceeded, StartedAt: now, EndedAt: now})
			first := int(place.Seed(r.AppID) % uint64(f.nodes))
			for slot := range perApp {
				c.Insert = append(c.Insert, model.Instance{
					ID: store.NewID(), AppID: r.AppID, ReleaseID: r.ID, Slot: slot, Role: model.Primary, Epoch: lease.Epoch, CreatedAt: now,
					NodeID: memberID((first + slot*7919) % f.nodes),
				})
			}
		}
		if err := f.store.Apply(ctx, lease, c); err != nil {
			return err
		}
		done.Add(int64(len(c.Insert)))
	}
	return f.store.ReleaseLease(ctx, lease)
}
