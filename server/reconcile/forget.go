package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

// errForgotten is what an agent hears whose node was given up. The name may be
// forgotten, too: the ID is what people can take it back by.
func errForgotten(id string) error {
	return fmt.Errorf("this node was forgotten; take it back first: dinp node %s uncordon", id)
}

// left is what is known of an instance whose node was forgotten.
var left = &model.Observed{Phase: model.PhaseGone, Gone: model.GoneLost, Message: "its node was forgotten"}

// given reports whether people have given a node up and nothing is heard of it.
// As long as it speaks, or has just fallen silent, their word waits: what is
// heard weighs more than what somebody believed. For singletons it waits until
// the node would be lost: they may run there, and it may only be cut off (R11).
func (n *node) given() bool {
	return n.wanted == model.Forgotten && n.session == nil && (n.Status == model.NodeUnknown || n.Status == model.NodeLost)
}

// dropForgotten takes nodes out that people have given up, once the rows of
// their instances are gone. That they were forgotten stays wanted of them.
func (c *Core) dropForgotten(ctx context.Context) error {
	var batch store.Control
	for _, id := range slices.Sorted(maps.Keys(c.forgotten)) {
		n := c.nodes[id]
		if n == nil || !n.given() || len(n.rows) > 0 {
			continue
		}
		batch.Forget = append(batch.Forget, id)
		batch.Events = append(batch.Events, model.Event{Actor: "server", Verb: "node.gone", Subject: id, Message: fmt.Sprintf("node %s is forgotten; nothing is left of it", n.Name)})
	}
	if batch.Empty() {
		return nil
	}
	if err := c.deps.Store.Apply(ctx, c.lease, batch); err != nil {
		return err
	}
	for _, id := range batch.Forget {
		c.log().Info("node forgotten", "node", c.nodes[id].Name)
		c.cluster.Drop(id)
		c.index.Remove(id)
		delete(c.nodes, id)
		delete(c.mum, id)
		delete(c.newNodes, id)
		for instance, o := range c.orphans {
			if o.node.ID == id {
				delete(c.orphans, instance)
			}
		}
	}
	return nil
}
