package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/server/publish"
	"github.com/dinp/dinp/sql/store/storetest"
)

// The database was set back, and the clock of its server with it: the agents have
// obeyed a leader that neither knows of.
func TestServer_ToldOfAHigherEpochByAnAgentItStepsOverIt(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, r *rig) {
		ahead := time.Now().Add(time.Hour).UnixMilli()
		s := r.server("s1", func(c *Config) { c.SafeAfter = 0 })
		r.agentAfter(&agent{id: "n1", instances: map[string]model.Observed{}, told: model.Moment{Epoch: ahead}}, s.Addr())
		r.agent("n2", s.Addr())
		r.monitor(s.Addr(), healthy)
		r.deploy("shop", 2)
		r.serving("shop", 1, 2)
		r.wait("it leads above what the agent has obeyed", func() error {
			l, err := r.store.Lease(t.Context(), "leader")
			if err == nil && (l.Epoch <= ahead || l.Owner != "s1") {
				err = fmt.Errorf("%+v, the agent has obeyed %d", l, ahead)
			}
			return err
		})
	})
}

func TestServer_ToldOfAHigherEpochByRedisItStepsOverIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	ahead := time.Now().Add(time.Hour).UnixMilli()
	left := route.Batch{Version: route.Version{Epoch: ahead, Seq: 9}, Changes: []route.Change{}}
	if err := publish.NewRedisTable(r.rdb).Write(t.Context(), left, nil); err != nil {
		t.Fatal(err)
	}
	s := r.server("s1")
	r.agent("n1", s.Addr())
	r.monitor(s.Addr(), healthy)
	r.deploy("shop", 1)
	r.serving("shop", 1, 1)
}
