// Package agent is the hands of the platform: one per Docker host. It takes
// orders from the leader, lets its engine run what they say, and reports what is
// true. It is the only part that talks to that engine.
//
// It never decides: nothing is started, stopped or removed without an order or
// the proof that an instance has ended. The containers outlive it, and whatever
// else is down.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/dinp/dinp/agent/docker"
	"github.com/dinp/dinp/agent/images"
	"github.com/dinp/dinp/agent/instance"
	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/logs"
	"github.com/dinp/dinp/agent/permit"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/session"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/follow"
	"github.com/dinp/dinp/proto/pki"
)

// Agent is one node's agent. Make it with New, then Listen, then Run.
type Agent struct {
	cfg    Config
	log    *slog.Logger
	engine func(Config, string) (runtime.Runtime, error)
	bootID string

	// All below is set by Listen, and constant afterwards.
	journal *journal.Journal
	rt      runtime.Runtime
	set     *instance.Set
	permit  *permit.Permit
	logs    *logs.Store
	watch   *watch
	images  *images.Keeper
	client  *follow.Client
	admin   net.Listener
	forward *forward
}

// New returns an agent on the Docker engine that cfg names. It does no I/O.
func New(cfg Config, log *slog.Logger) *Agent {
	return NewOn(cfg, func(cfg Config, nodeID string) (runtime.Runtime, error) {
		return docker.New(cfg.docker(nodeID))
	}, log)
}

// NewOn returns an agent on another engine, which is asked for once the node's
// id is known; cfg is then complete.
func NewOn(cfg Config, engine func(cfg Config, nodeID string) (runtime.Runtime, error), log *slog.Logger) *Agent {
	return &Agent{cfg: cfg, log: log.With("component", "agent"), engine: engine, bootID: uuid.NewString()}
}

// Listen opens the data folder and binds the ports. After an error nothing is left open.
func (a *Agent) Listen() error {
	if err := a.cfg.Validate(); err != nil {
		return err
	}
	err := a.open()
	if err != nil {
		return errors.Join(err, a.Close())
	}
	return nil
}

func (a *Agent) open() (err error) {
	if a.cfg, err = a.cfg.resolved(); err != nil {
		return err
	}
	if a.journal, err = journal.Open(a.cfg.Data, uuid.NewString(), a.log); err != nil {
		return fmt.Errorf("agent data: %w", err)
	}
	if id := (pki.Identity{Role: pki.RoleAgent, Name: a.NodeID()}); a.cfg.Identity.Identity() != id {
		return model.E(model.CodeWrongIdentity, "the certificate is of %s, but the data folder %s of %s", a.cfg.Identity.Identity(), a.cfg.Data, id).
			WithNext("give each node its own data folder, and let it join by itself: dinp join SERVER --token TOKEN")
	}
	if a.rt, err = a.engine(a.cfg, a.NodeID()); err != nil {
		return err
	}
	out := follow.NewOutbox()
	a.logs = logs.New(filepath.Join(a.cfg.Data, "logs"), a.rt, a.log)
	d := instance.NewDriver(a.rt)
	d.Follow, d.Finish = a.logs.Follow, a.logs.Finish
	d.Used = func(image string) { a.images.Note(image, time.Now()) }
	a.permit = permit.New(a.journal, a.log)
	a.set = instance.New(instance.Config{MemoryMiB: a.cfg.MemoryMiB, CPUMilli: a.cfg.CPUMilli, Permitted: a.permit.Refuses}, d, a.journal, out.Note, a.log)
	if err := a.set.Load(); err != nil {
		return err
	}
	a.images = images.New(a.cfg.images(), a.rt, a.journal, a.set.Images, a.log)
	a.watch = newWatch(a.rt, a.set, a.log)
	a.client = session.New(follow.Config{Servers: a.cfg.Servers, Identity: a.cfg.Identity}, session.Node{
		Set: a.set, Journal: a.journal, Logs: a.logs, Outbox: out, Permit: a.permit, Images: a.images, Disk: a.images.Short,
		Hello: a.hello, Docker: a.watch.Docker, Refresh: a.watch.Refresh,
	}, a.log)
	return a.bind()
}

func (a *Agent) bind() (err error) {
	if a.cfg.Admin != "" {
		if a.admin, err = net.Listen("tcp", a.cfg.Admin); err != nil {
			return portError("admin", a.cfg.Admin, err)
		}
	}
	if f := a.cfg.RegistryForward; f.Listen != "" {
		if a.forward, err = listenForward(f, a.log); err != nil {
			return portError("registry_forward.listen", f.Listen, err)
		}
	}
	return nil
}

// portError explains a port that another program has.
func portError(field, addr string, err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s %s: %w", field, addr, err)
	}
	return model.E(model.CodePortTaken, "the agent's port %s is in use by another program", addr).
		WithNext("set %s to a free one", field).WithCause(err)
}

// Close gives back what Listen took. Run does it at its end.
func (a *Agent) Close() error {
	var errs []error
	if a.admin != nil {
		errs = append(errs, a.admin.Close())
	}
	if a.forward != nil {
		errs = append(errs, a.forward.lis.Close())
	}
	if c, ok := a.rt.(io.Closer); ok {
		errs = append(errs, c.Close())
	}
	if a.journal != nil {
		errs = append(errs, a.journal.Close())
	}
	for i, err := range errs {
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
			errs[i] = nil // closed by who used it
		}
	}
	return errors.Join(errs...)
}

// NodeID returns the id of the node whose agent has a data folder, which is made
// when there is none yet: a certificate needs it before the agent first runs.
func NodeID(data string) (string, error) { return journal.NodeID(data, uuid.NewString()) }

// IdentityFile is where the certificate of an agent with a data folder is.
func IdentityFile(data string) string { return filepath.Join(data, "identity.pem") }

// NodeID returns the node's id; call it after Listen.
func (a *Agent) NodeID() string { return a.journal.NodeID() }

// AdminAddr returns where /healthz, /readyz and /metrics are served; "" when nowhere.
func (a *Agent) AdminAddr() string {
	if a.admin == nil {
		return ""
	}
	return a.admin.Addr().String()
}

// Run works until ctx ends or something fails that cannot be mended. The
// containers keep running; all that matters is on disk already.
func (a *Agent) Run(ctx context.Context) error {
	defer func() {
		if err := a.Close(); err != nil {
			a.log.Warn("agent not closed cleanly", "err", err)
		}
	}()
	a.log.Info("agent started", "node", a.NodeID(), "name", a.cfg.Name, "address", a.cfg.Address,
		"memory_mib", a.cfg.MemoryMiB, "cpu_milli", a.cfg.CPUMilli)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.set.Run(ctx) })
	g.Go(func() error { return a.logs.Run(ctx) })
	g.Go(func() error { return a.watch.Run(ctx) })
	g.Go(func() error { return a.tidy(ctx) })
	g.Go(func() error { return a.images.Run(ctx) })
	g.Go(func() error { return a.permit.Run(ctx, a.set) })
	g.Go(func() error {
		select {
		case <-a.watch.first: // a sync before the first list would be stale
			return a.client.Run(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if a.admin != nil {
		g.Go(func() error { return a.serveAdmin(ctx) })
	}
	if a.forward != nil {
		g.Go(func() error { return a.forward.Run(ctx) })
	}
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

const (
	tidyEvery       = time.Hour
	shutdownTimeout = 2 * time.Second
)

// tidy drops old tombstones and old output, now and every hour.
func (a *Agent) tidy(ctx context.Context) error {
	for again := true; again; again = sleep(ctx, tidyEvery) {
		now := time.Now()
		live := func(id string) bool {
			o, known := a.set.Find(id)
			return known && o.Phase != model.PhaseGone
		}
		if err := errors.Join(a.journal.Prune(now), a.logs.Sweep(now, live)); err != nil {
			a.log.Warn("old files not removed", "err", err)
		}
	}
	return ctx.Err()
}

func (a *Agent) serveAdmin(ctx context.Context) error {
	srv := &http.Server{Handler: a.adminMux(), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		_ = srv.Shutdown(sctx) // who still asks then gets a closed connection
	})
	defer stop()
	if err := srv.Serve(a.admin); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin port: %w", err)
	}
	return ctx.Err()
}

func (a *Agent) hello() *pb.Hello {
	epoch := a.journal.Epoch()
	return &pb.Hello{
		NodeId: a.NodeID(), BootId: a.bootID, Name: a.cfg.Name, Address: a.cfg.Address, Zone: a.cfg.Zone, Pool: a.cfg.Pool, Labels: a.cfg.Labels,
		MemoryMib: a.cfg.MemoryMiB, CpuMilli: a.cfg.CPUMilli, MaxEpoch: epoch.Max, LeaderId: epoch.Leader, WrittenMs: epoch.Written,
		Version: a.cfg.Version, DockerVersion: a.watch.Version(),
	}
}
