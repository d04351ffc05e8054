package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/dinp/dinp/agent"
	"github.com/dinp/dinp/builder"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash"
	"github.com/dinp/dinp/hm"
	"github.com/dinp/dinp/images"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/router"
	"github.com/dinp/dinp/server"
)

// anyPort is where the parts' own metrics are, which nobody else has to know.
const anyPort = "127.0.0.1:0"

// openParts makes the parts, each after those whose addresses it must know.
func (u *up) openParts(ctx context.Context) error {
	c := defaults()
	if err := u.openAuthority(ctx, &c); err != nil {
		return err
	}
	steps := []func(context.Context, config) error{u.openServer, u.openAgent, u.openBuilder, u.openRouter, u.openMonitor, u.openDash}
	for _, open := range steps {
		if err := open(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// openAuthority makes or opens the platform's certificate authority. Its secret
// lies beside the database: one folder is the whole platform.
func (u *up) openAuthority(ctx context.Context, c *config) error {
	c.SecretFile = u.path("secret")
	if _, err := os.Stat(c.SecretFile); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(c.SecretFile, []byte(rand.Text()+"\n"), 0o600); err != nil {
			return err
		}
	}
	secret, err := c.secret()
	if err != nil {
		return err
	}
	c.Server.Secret, c.Dash.Secret = secret, secret
	u.authority, err = c.authority(ctx, u.store)
	return err
}

// issue gives a part its certificate, which is renewed while the platform runs.
func (u *up) issue(ctx context.Context, role pki.Role, name string) (*pki.Keeper, error) {
	k, err := u.authority.Issue(ctx, pki.Identity{Role: role, Name: name})
	if err == nil {
		u.keepers = append(u.keepers, k)
	}
	return k, err
}

func (u *up) openServer(_ context.Context, c config) error {
	rdb, err := u.routeStore().Open()
	if err != nil {
		return err
	}
	u.close = append(u.close, func() { rdb.Close() })
	s := c.Server
	s.ID, s.Listen, s.Admin, s.Domain, s.Authority = "up", u.opts.Server, anyPort, u.opts.Domain, u.authority
	s.MinReady, s.Heartbeat = time.Second, time.Second
	u.server = server.New(s, u.store, rdb, u.log)
	return u.explainPort(u.server.Listen(), u.opts.Server, "--grpc")
}

func (u *up) routeStore() router.RedisConfig { return router.RedisConfig{Addr: u.redis.Addr()} }

func (u *up) servers() []string { return []string{u.server.Addr()} }

func (u *up) registryAddr() string { return u.registry.Addr().String() }

func (u *up) openAgent(ctx context.Context, c config) error {
	a := c.Agent
	node, err := agent.NodeID(u.path("agent"))
	if err != nil {
		return err
	}
	if a.Identity, err = u.issue(ctx, pki.RoleAgent, node); err != nil {
		return err
	}
	a.Servers, a.Data, a.Registry = u.servers(), u.path("agent"), u.registryAddr()
	a.Address, a.PublishIP, a.Admin, a.Version = "127.0.0.1", "127.0.0.1", anyPort, buildVersion()
	if u.opts.DockerHost != "" {
		a.DockerHost = u.opts.DockerHost
	}
	if u.opts.Memory != "" {
		if a.MemoryMiB, err = model.ParseMemory(u.opts.Memory); err != nil {
			return err
		}
	}
	u.agent = agent.New(a, u.log)
	return nil
}

func (u *up) openBuilder(ctx context.Context, c config) (err error) {
	b := c.Builder
	b.Registry, b.DockerRegistry, b.WorkDir = u.registryAddr(), u.registryAddr(), u.path("builder")
	b.Servers, b.Admin = u.servers(), anyPort
	if u.opts.DockerHost != "" {
		b.DockerHost = u.opts.DockerHost
	}
	if b.Identity, err = u.issue(ctx, pki.RoleBuilder, "up"); err != nil {
		return err
	}
	if u.builder, err = builder.New(b, u.store, images.FS, u.log); err != nil {
		return err
	}
	u.supplyBases()
	return nil
}

// supplyBases lets the builder have the base images that are at hand. Without
// them the platform runs; a build that needs one says what to do.
func (u *up) supplyBases() {
	dir, err := baseImagesDir(u.opts.BaseImages)
	if err != nil {
		u.log.Warn("base images not found", "err", err)
		return
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		u.log.Warn("no base images; make them with: dinp base-images build", "dir", dir)
	}
	u.builder.SupplyBases(newBaseSupply(dir, u.registry.Addr().String(), u.log).bring)
}

func (u *up) openRouter(_ context.Context, c config) error {
	r := c.Router
	r.ID, r.Listen, r.Admin, r.Redis, r.Snapshot = "up", u.opts.Router, anyPort, u.routeStore(), u.snapshot()
	r.Timeouts.LameDuck, r.Secret = 0, c.Server.Secret
	if err := u.secureRouter(&r); err != nil {
		return err
	}
	u.router = router.New(r, u.log)
	if err := u.router.Listen(); err != nil {
		return u.explainRouterPort(err)
	}
	return nil
}

func (u *up) openMonitor(ctx context.Context, c config) (err error) {
	m := c.HM
	m.Servers, m.Admin = u.servers(), anyPort
	if m.Identity, err = u.issue(ctx, pki.RoleMonitor, "up"); err != nil {
		return err
	}
	u.hm = hm.New(m, u.log)
	return nil
}

func (u *up) openDash(ctx context.Context, c config) (err error) {
	d := c.Dash
	d.Listen, d.Admin, d.Domain, d.Servers = u.opts.Dash, anyPort, u.opts.Domain, u.servers()
	d.Registry, d.Data, d.Version, d.PublicPort = u.registryAddr(), u.path("dash"), buildVersion(), portOf(u.router.Addr())
	if d.Identity, err = u.issue(ctx, pki.RoleDash, "up"); err != nil {
		return err
	}
	if u.dash, err = dash.New(d, u.store, u.log); err != nil {
		return err
	}
	u.dash.SetSweeper(u.images)
	return nil
}

// listen binds what is not bound yet.
func (u *up) listen(context.Context) error {
	if err := u.dash.Listen(); err != nil {
		return u.explainPort(err, u.opts.Dash, "--dash")
	}
	for _, p := range []part{u.agent, u.builder, u.hm} {
		if err := p.Listen(); err != nil {
			return err
		}
	}
	return nil
}

// explainPort names the holder of a taken port and the flag of `dinp up`, which
// the part itself cannot know.
func (u *up) explainPort(err error, addr, flag string) error {
	if model.IsCode(err, model.CodePortTaken) {
		return portTaken("dinp up", addr, flag)
	}
	return err
}
