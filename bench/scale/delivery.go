package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/server"
	"github.com/dinp/dinp/server/dispatch"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/test/testenv"
)

// Commands of the row of delivery: so many for each agent, and no more than so
// many without an acknowledgement at a time, of all and of one agent: a session
// whose agent is told more than it takes ends.
const (
	perAgent      = 20
	fewestSent    = 20_000
	underWay      = 20_000
	underWayAtOne = 500

	deliverWithin = 3 * time.Minute
)

// delivered is what the process of the streams answers to "deliver".
type delivered struct {
	Commands int
	Took     time.Duration
}

// delivery is how fast commands are delivered to agents and acknowledged, apart
// from what it takes to decide on them and to write them down: the server's own
// streams, over mTLS, between two processes, with a counter in the reconciler's place.
// Commands are sent as the reconciler does it, each of a lot to another agent.
func delivery(ctx context.Context, t *trial, n int) error {
	return withServers(func(b *bench) error {
		db := "mysql:" + testenv.MariaDB(b) // for certificates only
		addr := freeAddr()
		o := order{Part: "streams", Listen: addr, Database: db}
		if t.profiles != "" {
			o.Profile = filepath.Join(t.profiles, fmt.Sprintf("streams-%d", n))
		}
		streams, err := startChild(ctx, b, o)
		if err != nil {
			return err
		}
		herd, err := startHerds(ctx, b, order{Part: "herd", Database: db, Servers: []string{addr}, Nodes: n, Alone: true}, herdsFor(n, 1, filesAllowed()))
		if err != nil {
			return err
		}
		if err := until(ctx, "all agents are connected", func() (bool, string, error) {
			var sessions int
			err := streams.ask(&sessions, "sessions")
			return sessions == n, fmt.Sprintf("%d of %d", sessions, n), err
		}); err != nil {
			return err
		}
		began, err := streams.cpu()
		if err != nil {
			return err
		}
		herdBegan, err := herd.cpu()
		if err != nil {
			return err
		}
		var d delivered
		commands := max(fewestSent, perAgent*n)
		if err := streams.ask(&d, "deliver %d", commands); err != nil {
			return err
		}
		if d.Commands < commands {
			return fmt.Errorf("%d of %d commands were acknowledged within %v", d.Commands, commands, deliverWithin)
		}
		ended, err := streams.cpu()
		if err != nil {
			return err
		}
		herdEnded, err := herd.cpu()
		t.report(float64(d.Commands)/d.Took.Seconds(), "commands/s")
		t.report(float64(d.Commands)/(ended-began).Seconds(), "commands/CPU-s") // of the server
		t.report(float64(d.Commands)/(herdEnded-herdBegan).Seconds(), "commands/herd-CPU-s")
		return err
	})
}

// runStreams is the process of the row: a server's streams without its reconciler.
func runStreams(ctx context.Context, o order) error {
	st, authority, err := openStore(ctx, o.Database)
	if err != nil {
		return err
	}
	defer st.Close()
	me, err := authority.Issue(ctx, pki.Identity{Role: pki.RoleServer, Name: "streams"})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return err
	}
	inbox := make(chan dispatch.Event, 1024)
	service := dispatch.New(slog.Default(), func() string { return "" }, func() bool { return false })
	service.Lead(dispatch.NewTerm(ctx, 1, "streams", server.Default().Heartbeat, inbox))
	endpoint := server.Endpoint(pki.NewGuard(me))
	pb.RegisterAgentsServer(endpoint, service)
	go func() { _ = endpoint.Serve(ln) }()
	c := &counter{inbox: inbox, orders: make(chan func()), sessions: map[string]dispatch.Session{}}
	go c.run(ctx)
	return serveOrders(ctx, func(word string, n int) (any, error) {
		switch word {
		case "sessions":
			return inTurn(c, func() int { return len(c.sessions) }), nil
		case "deliver":
			if o.Profile != "" {
				if err := profile(o.Profile); err != nil {
					return nil, err
				}
				defer func() { _ = profiled(o.Profile) }()
			}
			return inTurn(c, func() delivered { return c.deliver(n) }), nil
		}
		return nil, fmt.Errorf("no such order: %q", word)
	})
}

// counter stands in for the reconciler: one goroutine takes the events in.
type counter struct {
	inbox    chan dispatch.Event
	orders   chan func()
	sessions map[string]dispatch.Session // of synced agents, by node
	acked    int
}

func (c *counter) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-c.inbox:
			c.handle(e)
		case do := <-c.orders:
			do()
		}
	}
}

// inTurn runs f in the counter's goroutine.
func inTurn[T any](c *counter, f func() T) (got T) {
	done := make(chan struct{})
	c.orders <- func() { got = f(); close(done) }
	<-done
	return got
}

func (c *counter) handle(e dispatch.Event) {
	switch e := e.(type) {
	case dispatch.Synced:
		c.sessions[e.Session.NodeID()] = e.Session
	case dispatch.SessionClosed:
		if c.sessions[e.Session.NodeID()] == e.Session {
			delete(c.sessions, e.Session.NodeID())
		}
	case dispatch.Reported:
		c.acked += len(e.Instances)
	}
}

// deliver sends n commands, each to the next agent, and waits for all of their
// acknowledgements.
func (c *counter) deliver(n int) delivered {
	var all []dispatch.Session
	for _, s := range c.sessions {
		all = append(all, s)
	}
	c.acked = 0
	window := min(underWay, underWayAtOne*len(all))
	began := time.Now()
	for sent := 0; c.acked < n && time.Since(began) < deliverWithin; {
		for k := 0; k < lot && sent < n && sent-c.acked < window; k++ {
			all[sent%len(all)].Start(startOf(sent))
			sent++
		}
		c.handle(<-c.inbox)
		for more := true; more; {
			select {
			case e := <-c.inbox:
				c.handle(e)
			default:
				more = false
			}
		}
	}
	return delivered{c.acked, time.Since(began)}
}

// startOf is a command as a reconciler would send it.
func startOf(n int) *pb.Start {
	return &pb.Start{
		InstanceId: store.NewID(), AppId: fmt.Sprintf("app%033d", n/perApp), AppName: fmt.Sprintf("app-%d", n/perApp), ReleaseId: fmt.Sprintf("rel%033d", n/perApp), Release: 1, Slot: int32(n % perApp),
		Image: "apps/x@sha256:" + fmt.Sprintf("%064d", n/perApp), Env: map[string]string{"DATABASE": "mysql://db.internal/shop"}, Port: 8080, MemoryMib: 64, SpecHash: fmt.Sprintf("%032d", n/perApp),
	}
}
