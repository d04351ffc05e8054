package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
	"github.com/dinp/dinp/sql/store"
)

// Safe mode: an agent has orders that were given later than what the database
// remembers. It was restored from a backup, or has failed over to a copy that was
// far behind; either way it holds neither what people want nor what runs, and
// acting on it would stop what serves. So nothing is acted upon, routes in force
// stay, and people decide.

// compareHistory looks for orders that the database has forgotten. Of a leader of
// this term or none there is nothing to learn, nor of the one that it goes on from:
// what this server wrote itself the database has.
func (c *Core) compareHistory(n *node, h *pb.Hello, now time.Time) {
	told := model.Moment{Epoch: h.GetMaxEpoch(), Age: h.GetWrittenMs()}
	c.vouched = c.vouched || told.Epoch >= c.lease.Before.Epoch
	if c.safe != nil || c.believed || c.cfg.SafeAfter == 0 || told.Epoch >= c.lease.Epoch || told.Epoch == c.lease.Below {
		return
	}
	lost := told.Since(c.lease.Before)
	if lost < c.cfg.SafeAfter {
		return // what the last moments before a failover began is mended by the ordinary rules
	}
	c.safe = &model.SafeMode{Epoch: c.lease.Epoch, Since: now.UTC(), Reason: missing(n.Name, told, c.lease.Before, lost)}
	c.unsaved = true
	c.deps.Routes.Hold(true)
	c.log().Error("safe mode: nothing is changed until a person decides", "why", c.safe.Reason, "next", "dinp safe-mode")
}

func missing(node string, told, stored model.Moment, lost time.Duration) string {
	at := func(m model.Moment) string { return m.At().Format("2006-01-02 15:04:05 MST") }
	if stored.Epoch == 0 {
		return fmt.Sprintf("node %s has orders of %s, and the database has never had a leader", node, at(told))
	}
	return fmt.Sprintf("node %s has orders of %s, but the database ends at %s: at least %s of it are missing", node, at(told), at(stored), lost.Round(time.Second))
}

// takeSafe takes in whether people want a safe mode to last.
func (c *Core) takeSafe(ctx context.Context, m *model.SafeMode) error {
	switch {
	case m != nil && c.safe == nil:
		c.safe, c.unsaved = m, false
		c.deps.Routes.Hold(true)
		c.log().Error("safe mode goes on: nothing is changed until a person decides", "why", m.Reason, "since", m.Since, "next", "dinp safe-mode")
	case m == nil && c.safe != nil && !c.unsaved:
		return c.leaveSafe(ctx)
	}
	return nil
}

// hold is a round in safe mode. Nodes and monitors are listened to, so that what
// is told and planned afterwards is true.
func (c *Core) hold(ctx context.Context) (time.Duration, error) {
	var batch store.Control
	c.writeNodes(&batch)
	if c.unsaved {
		batch.Safe = c.safe
		batch.Events = append(batch.Events, model.Event{Actor: "server", Verb: "safe-mode.began", Message: c.safe.Reason + "; nothing is changed until somebody decides: dinp safe-mode"})
	}
	if !batch.Empty() {
		if err := c.deps.Store.Apply(ctx, c.lease, batch); err != nil {
			return 0, err
		}
	}
	clear(c.newNodes)
	c.unsaved = false
	for _, id := range slices.Sorted(maps.Keys(c.dirty)) {
		if a := c.apps[id]; a != nil {
			c.syncTargets(a)
		}
		delete(c.dirty, id)
	}
	if err := c.findStrays(ctx); err != nil {
		return 0, err
	}
	now, next := c.deps.Now(), c.swept.Add(c.cfg.Sweep)
	if look := c.looks.next(); !look.IsZero() && look.Before(next) {
		next = look
	}
	return max(next.Sub(now), time.Millisecond), nil
}

// findStrays reads which endpoints in force the database does not know.
func (c *Core) findStrays(ctx context.Context) error {
	if c.strays != nil {
		return nil
	}
	table, _, err := c.deps.Routes.Current(ctx)
	if err != nil {
		return fmt.Errorf("read routes: %w", err)
	}
	c.strays = map[string]string{}
	for k, v := range table {
		host, ok := strings.CutPrefix(k, route.BackendPrefix)
		if !ok {
			continue
		}
		b, err := route.DecodeBackend(v)
		if err != nil {
			continue
		}
		for _, e := range b.Endpoints {
			if c.rows[e.Instance] == nil {
				c.strays[e.Instance] = host
			}
		}
	}
	return nil
}

// leaveSafe makes the ordinary rules apply again. Strays of an app that exists
// serve it as guests until its own instances do.
func (c *Core) leaveSafe(ctx context.Context) error {
	if err := c.findStrays(ctx); err != nil {
		return err
	}
	byHost := map[string]*app{}
	for _, a := range c.apps {
		if a.Name != "" && a.DeletedAt.IsZero() {
			byHost[a.host] = a
		}
	}
	if err := c.withdrawLost(ctx, byHost); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(c.strays)) {
		if a := byHost[c.strays[id]]; a != nil {
			c.keepStray(a, id)
		}
	}
	c.log().Warn("safe mode ended: the database is believed", "why_it_was", c.safe.Reason, "guests", len(c.guests))
	now := c.deps.Now()
	c.safe, c.strays, c.believed, c.held = nil, nil, true, true
	c.resumeHeld(now)
	for id, o := range c.orphans {
		o.since, o.unrouted = c.orphanSince(o, now), 0
		c.orphans[id] = o
	}
	for id := range c.apps {
		c.dirty[id] = true
	}
	return nil
}

// goOnWriting ends the hold on routes that a safe mode began, once each app's were set
// anew: what had waited was decided by a database that was not known to be set back.
func (c *Core) goOnWriting() {
	if c.held {
		c.held = false
		c.deps.Routes.Hold(false)
	}
}

// withdrawLost takes back the routes of apps that the database does not know. It
// asks for each by name: people have decided so, and routers hold back what goes
// in masses without that.
func (c *Core) withdrawLost(ctx context.Context, byHost map[string]*app) error {
	table, _, err := c.deps.Routes.Current(ctx)
	if err != nil {
		return fmt.Errorf("read routes: %w", err)
	}
	var lost []route.Change
	for _, key := range slices.Sorted(maps.Keys(table)) {
		host, is := strings.CutPrefix(key, route.BackendPrefix)
		if !is {
			host = table[key] // a domain leads to a host
		}
		if byHost[host] == nil {
			lost = append(lost, route.Change{Key: key})
		}
	}
	if len(lost) > 0 {
		c.deps.Routes.Set(lost)
	}
	return nil
}

// SafeModeReply tells why nothing is changed, and what would be if the database
// were believed. Call it by Do.
func (c *Core) SafeModeReply() *pb.SafeModeReply {
	out := &pb.SafeModeReply{On: c.safe != nil}
	if c.safe == nil {
		return out
	}
	out.SinceMs, out.Reason = wire.Millis(c.safe.Since), c.safe.Reason
	c.resumeHeld(c.deps.Now())   // as at its end
	strays := map[string]int32{} // by host
	for _, host := range c.strays {
		strays[host]++
	}
	for _, id := range slices.Sorted(maps.Keys(c.apps)) {
		a := c.apps[id]
		if a.Name == "" {
			continue
		}
		if s := c.wouldDo(a); s.Start+s.Stop+strays[a.host] > 0 {
			s.Unknown = strays[a.host]
			out.Apps = append(out.Apps, s)
		}
		delete(strays, a.host)
	}
	for _, host := range slices.Sorted(maps.Keys(strays)) {
		out.Apps = append(out.Apps, &pb.SafeModeApp{Name: host, Unknown: strays[host], Lost: true})
	}
	out.Notes = c.safeNotes()
	return out
}

// wouldDo is what the next rounds would do for an app. What its nodes do not have
// is started there again.
func (c *Core) wouldDo(a *app) *pb.SafeModeApp {
	d, _ := c.decide(a, c.deps.Now())
	s := &pb.SafeModeApp{Name: a.Name, Start: int32(len(d.plan.Start)), Stop: int32(len(d.plan.Stop))}
	for _, r := range a.rows {
		switch {
		case r.Stopping:
			s.Stop++
		case r.node.Synced && !r.seen.Known:
			s.Start++
		}
	}
	return s
}

func (c *Core) safeNotes() (notes []string) {
	silent, others := 0, 0
	for _, n := range c.nodes {
		if !n.Synced {
			silent++
		}
	}
	if silent > 0 {
		notes = append(notes, fmt.Sprintf("%d of %d nodes have not told yet what they run", silent, len(c.nodes)))
	}
	for id := range c.orphans {
		if c.strays[id] == "" {
			others++
		}
	}
	if others > 0 {
		notes = append(notes, fmt.Sprintf("%d instances that no route leads to, and that the database does not know, would be stopped after %s", others, c.cfg.OrphanAfter))
	}
	return notes
}
