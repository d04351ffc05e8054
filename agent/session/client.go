// Package session is the agent's end of its one connection to the leader: it
// finds the leader among the servers, says hello, syncs, reports what changes,
// keeps the heartbeat, and takes the orders of the leader with the highest
// epoch it has ever heard, in the current session, and of nobody else.
//
// Losing the connection changes nothing about the containers.
package session

import (
	"context"
	"log/slog"
	"time"

	"github.com/dinp/dinp/agent/images"
	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/logs"
	"github.com/dinp/dinp/agent/permit"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/follow"
)

// Docker is the condition of the node's engine.
type Docker struct {
	OK    bool
	Error string
	Turns uint32 // grows whenever the engine may have been restarted
}

// Node is what a session speaks for.
type Node struct {
	Set     *instance.Set
	Journal *journal.Journal
	Logs    *logs.Store // nil: no output is kept
	Outbox  *follow.Outbox
	// Hello tells what the node is.
	Hello func() *pb.Hello
	// Permit is how long singletons may go on; nil where there can be none.
	Permit *permit.Permit
	// Images asks which images may go; nil: none do.
	Images *images.Keeper
	// Disk tells what is short of room on the node's disk; nil for nothing.
	Disk func() string
	// Docker tells the engine's condition as last seen.
	Docker func() Docker
	// Refresh compares the set with the engine's list, as far as the engine answers.
	Refresh func(ctx context.Context)
}

// refreshTimeout is short: a hanging engine must not hold up the sync.
const refreshTimeout = 5 * time.Second

// New returns a client that speaks for node; Run makes it connect.
func New(cfg follow.Config, node Node, log *slog.Logger) *follow.Client {
	return follow.New(cfg, func(ctx context.Context, link *follow.Link) error {
		s := &stream{Talk: NewTalk(node), log: log, link: link, out: make(chan *pb.LogChunk, 16), resync: make(chan struct{}, 1)}
		var err error
		if s.grpc, err = pb.NewAgentsClient(link.Conn).Session(ctx); err != nil {
			return err
		}
		if err := s.open(); err != nil {
			return err
		}
		link.Established(follow.State{Session: s.Session, Epoch: s.Epoch, Leader: s.Leader})
		return s.run(ctx)
	}, log)
}
