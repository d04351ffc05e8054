package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

// hand stops the leader as for an upgrade: the other server, which has the
// defaults, goes on.
func (f *fleetRun) hand(ctx context.Context) error {
	return f.pass(ctx, "handover", func(s *child) error { return s.leave() })
}

// rest is what the leader needs while nothing happens and nobody asks: of its own
// process, in the time of two sweeps and two publications of all routes. What the
// agents, the database and Redis need is not counted in.
func (f *fleetRun) rest(ctx context.Context) error {
	window := time.Minute
	if f.hasty {
		window = time.Second
	}
	if err := wait(ctx, window/2); err != nil { // what is left of the start
		return err
	}
	before, err := f.servers[f.leads].cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := wait(ctx, window); err != nil {
		return err
	}
	after, err := f.servers[f.leads].cpu()
	if err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	f.t.report(100*(after-before).Seconds()/took, "%core-at-rest")
	f.t.report(1e6*(after-before).Seconds()/took/float64(f.nodes), "CPU-µs/agent-s")
	var m held
	if err := f.servers[f.leads].ask(&m, "memory"); err != nil {
		return err
	}
	f.t.report(float64(m.all())/float64(f.all()), "B/instance-in-all")
	return nil
}

// lose takes the power from some nodes; each is noticed so long after.
func (f *fleetRun) lose(ctx context.Context) error {
	dead, err := f.herds.die(max(1, min(20, f.nodes/20)))
	if err != nil {
		return err
	}
	began := time.Now()
	var took []float64
	err = f.until(ctx, "the dead nodes are noticed", func() (bool, string, error) {
		r, err := f.look(ctx)
		if err != nil {
			return false, err.Error(), nil
		}
		for _, n := range r.GetNodes() {
			if i := slices.Index(dead, n.GetId()); i >= 0 && n.GetStatus() != string(model.NodeReady) {
				took, dead = append(took, time.Since(began).Seconds()), slices.Delete(dead, i, i+1)
			}
		}
		return len(dead) == 0, fmt.Sprintf("%d are not", len(dead)), nil
	})
	if err != nil {
		return err
	}
	f.t.report(took[len(took)/2], "s-to-notice")
	f.t.report(took[len(took)-1], "s-to-notice-all")
	return nil
}

// change kills the leader, while all nodes live: what is then ordered is for no other
// reason.
func (f *fleetRun) change(ctx context.Context) error {
	return f.pass(ctx, "leader-change", func(s *child) error { s.kill(); return nil })
}

// pass ends the leader; the other server takes over, and all agents are with it
// and synced so long after. What is ordered until all apps are as wished is
// counted: nothing that runs may be started anew.
func (f *fleetRun) pass(ctx context.Context, word string, end func(*child) error) error {
	var r *pb.NodesReply
	if err := f.until(ctx, "the leader tells of its nodes", func() (ok bool, far string, err error) {
		r, err = f.look(ctx)
		return err == nil, fmt.Sprint(err), nil
	}); err != nil {
		return err
	}
	living := 0
	for _, n := range r.GetNodes() {
		if n.GetStatus() == string(model.NodeReady) {
			living++
		}
	}
	before, err := f.herds.counts()
	if err != nil {
		return err
	}
	next := 1 - f.leads
	if err := f.serve(ctx, next, 0); err != nil {
		return err
	}
	if f.hasty {
		if err := f.herds.connect(); err != nil {
			return err
		}
	}
	if err := f.until(ctx, "the agents' connections to the next leader stand by", func() (bool, string, error) {
		c, err := f.herds.counts()
		return c.Connections >= int64(2*living), fmt.Sprintf("%d of %d", c.Connections-int64(living), living), err
	}); err != nil {
		return err
	}
	stoodBy, err := f.servers[next].cpu()
	if err != nil {
		return err
	}
	herdsStoodBy, err := f.herds.cpu()
	if err != nil {
		return err
	}
	if err := f.profileFrom(next); err != nil {
		return err
	}
	if err := f.profileHerds("profile"); err != nil {
		return err
	}
	began := time.Now()
	if err := end(f.servers[f.leads]); err != nil {
		return err
	}
	f.servers[f.leads], f.leads = nil, next
	if err := f.allIn(ctx, living); err != nil {
		return err
	}
	f.t.report(time.Since(began).Seconds(), "s-"+word)
	if err := f.asWished(ctx); err != nil {
		return err
	}
	f.t.report(time.Since(began).Seconds(), "s-as-wished-after-"+word)
	used, err := f.servers[next].cpu()
	if err != nil {
		return err
	}
	f.t.report((used - stoodBy).Seconds(), "CPU-s-of-"+word)
	if used, err = f.herds.cpu(); err != nil {
		return err
	}
	f.t.report((used - herdsStoodBy).Seconds(), "CPU-s-of-agents-at-"+word)
	if err := f.profileHerds("profiled"); err != nil {
		return err
	}
	after, err := f.herds.counts()
	if err != nil {
		return err
	}
	f.t.report(float64(after.Starts-before.Starts+after.Stops-before.Stops), "commands-at-"+word)
	return nil
}
