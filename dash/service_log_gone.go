package dash

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

const (
	goneEvents = 200 // newest events of the app that are looked through
	goneFeeds  = 10  // instances that ended whose logs are told with the others'
)

// goneMessage is how the leader's event of an instance's end begins.
var goneMessage = regexp.MustCompile(`^instance (\d+) of (v\d+) on `)

// goneInstances are those of an app that ended by themselves of late, and their
// nodes. They have no row any more, but an event each, and their agent keeps the
// log: the one of a crash is the one that is looked for.
func (d *Dash) goneInstances(ctx context.Context, app model.App) ([]api.Instance, map[string]string, error) {
	nodes := map[string]string{}
	events, err := d.store.Events(ctx, store.EventFilter{AppID: app.ID, Limit: goneEvents})
	if err != nil {
		return nil, nil, err
	}
	var out []api.Instance
	names := map[string]string{} // by instance ID
	for _, e := range events {
		var detail struct {
			Node string `json:"node"`
		}
		if e.Verb != "instance.gone" || len(out) >= goneFeeds || json.Unmarshal([]byte(e.Detail), &detail) != nil || names[e.Subject] != "" {
			continue
		}
		i := api.Instance{ID: e.Subject, Node: detail.Node, Phase: model.PhaseGone.String()}
		if m := goneMessage.FindStringSubmatch(e.Message); m != nil {
			i.Slot, _ = strconv.Atoi(m[1]) // digits, by the pattern
			i.Release = m[2]
		}
		out, names[e.Subject] = append(out, i), detail.Node
	}
	if len(out) == 0 {
		return out, nodes, nil
	}
	known, err := d.store.Nodes(ctx)
	for _, n := range known {
		for id, name := range names {
			if name == n.Name {
				nodes[id] = n.ID
			}
		}
	}
	return out, nodes, err
}
