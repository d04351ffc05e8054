package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

// When a node is at fault itself (R13): instances of so many different apps ended
// by themselves on it within so long.
const (
	badApps   = 5
	badWithin = 5 * time.Minute
	// badFor is how long it stays accused before it is closed. All its instances end
	// with its engine, too, and that is no fault of the node's: within this time its
	// agent has told of it (two pings, one heartbeat).
	badFor = 20 * time.Second
)

// suspect notes that an instance ended by itself on its node. An app whose
// release ends elsewhere, too, says nothing of the node.
func (c *Core) suspect(r *row, now time.Time) {
	n := r.node
	maps.DeleteFunc(n.blamed, func(_ string, at time.Time) bool { return now.Sub(at) > badWithin })
	elsewhere := r.app.failsElsewhere(r)
	for _, id := range elsewhere {
		if o := c.nodes[id]; o != nil {
			delete(o.blamed, r.AppID)
		}
	}
	if len(elsewhere) > 0 {
		delete(n.blamed, r.AppID)
		return
	}
	if n.blamed == nil {
		n.blamed = map[string]time.Time{}
	}
	n.blamed[r.AppID] = now
	if len(n.blamed) >= badApps && !c.bad[n.ID] {
		c.bad[n.ID], n.badAt = true, now
	}
}

// turned acquits a node whose engine is away, or may have been restarted: it
// takes all containers along.
func (c *Core) turned(n *node, ok bool, turns uint32) {
	if ok && turns == n.turns {
		return
	}
	n.turns = turns
	clear(n.blamed)
	delete(c.bad, n.ID)
}

// failsElsewhere lists the other nodes on which instances of the app have ended by
// themselves of late.
func (a *app) failsElsewhere(r *row) (nodes []string) {
	for _, s := range a.slots {
		if s.Node != "" && s.Node != r.NodeID {
			nodes = append(nodes, s.Node)
		}
	}
	if a.failuresOf == r.ReleaseID {
		for node := range a.failedOn {
			if node != r.NodeID {
				nodes = append(nodes, node)
			}
		}
	}
	return nodes
}

// cordonBad closes nodes that are at fault to new placements. People take them
// back; the last node that takes instances stays open.
func (c *Core) cordonBad(ctx context.Context, now time.Time) error {
	var batch store.Control
	for _, id := range slices.Sorted(maps.Keys(c.bad)) {
		n := c.nodes[id]
		if n != nil && now.Sub(n.badAt) < badFor {
			continue
		}
		delete(c.bad, id)
		if n == nil || len(n.blamed) < badApps || n.wanted != "" && n.wanted != model.Active || !c.othersTake(n, batch.Cordon) {
			continue
		}
		batch.Cordon = append(batch.Cordon, id)
		batch.Events = append(batch.Events, model.Event{
			Actor: "server", Verb: "node.cordoned", Subject: id, Outcome: string(model.CodeBadNode), Message: c.accusation(n),
		})
	}
	if batch.Empty() {
		return nil
	}
	if err := c.deps.Store.Apply(ctx, c.lease, batch); err != nil {
		return err
	}
	for _, id := range batch.Cordon {
		n := c.nodes[id]
		c.log().Warn("node cordoned: it fails apps that run elsewhere", "node", n.Name, "apps", len(n.blamed))
		n.wanted = model.Cordoned
		clear(n.blamed)
		c.reindex(n)
	}
	return nil
}

func (c *Core) accusation(n *node) string {
	var names []string
	for id := range n.blamed {
		if a := c.apps[id]; a != nil {
			names = append(names, a.Name)
		}
	}
	slices.Sort(names)
	return fmt.Sprintf("node %s is cordoned: instances of %d apps ended by themselves on it within %s (%s); when it is mended: dinp node %s uncordon",
		n.Name, len(names), badWithin, strings.Join(names, ", "), n.Name)
}

// othersTake reports whether another node takes instances, these apart.
func (c *Core) othersTake(n *node, but []string) bool {
	for id, o := range c.nodes {
		if o != n && o.Placeable() && o.Status == model.NodeReady && (o.wanted == "" || o.wanted == model.Active) && !slices.Contains(but, id) {
			return true
		}
	}
	return false
}
