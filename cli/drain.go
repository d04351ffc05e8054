package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
)

// drainWait are the flags of a drain.
type drainWait struct {
	wait    bool
	timeout time.Duration
}

// drained waits until the leader says that nothing is on a node any more, telling
// what holds it up, and returns the node as it then is.
func (s *session) drained(ctx context.Context, n api.Node, timeout time.Duration) (api.Node, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	told := ""
	for {
		now, err := get[api.Node](limited, s.api, at("nodes", n.ID))
		if err == nil {
			n = now
			if n.Message != told {
				told = n.Message
				fmt.Fprintln(s.err, clean(told))
			}
			if over, err := emptied(n); over {
				return n, err
			}
			err = sleep(limited, s.poll)
		}
		if limited.Err() != nil {
			return n, s.undrained(ctx, n, timeout)
		}
		if err != nil {
			return n, err
		}
	}
}

// emptied reports whether a drain is over; the error says that it is not as it was
// meant.
func emptied(n api.Node) (bool, error) {
	switch {
	case n.Availability != string(model.Draining):
		return true, model.E(model.CodeConflict, "node %s is %s: somebody else took the drain back", n.Name, n.Availability).WithNext("dinp events tells who")
	case n.Drained:
		return true, nil
	case n.Status == string(model.NodeLost):
		return true, model.E(model.CodeNotReady, "node %s is lost: nothing was heard of it since %s", n.Name, when(n.HeardAt)).
			WithStill("its instances are replaced elsewhere").WithNext("see whether the host runs; if it never returns: dinp node %s forget", n.Name)
	}
	return false, nil
}

// undrained says why the wait ended: the person's wish, or the time.
func (s *session) undrained(ctx context.Context, n api.Node, timeout time.Duration) error {
	if ctx.Err() != nil {
		fmt.Fprintf(s.err, "the drain of %s goes on\n  watch it:     dinp node %s\n  take it back: dinp node %s uncordon\n", n.Name, n.Name, n.Name)
		return ctx.Err()
	}
	e := model.E(model.CodeNotReady, "node %s is not empty after %s", n.Name, timeout).
		WithStill("the drain goes on, and what is there serves until its replacement does").WithNext("dinp node %s tells how far it is, dinp explain APP why an app waits", n.Name)
	if n.Message != "" {
		e = e.WithEvidence(n.Message)
	}
	return e
}
