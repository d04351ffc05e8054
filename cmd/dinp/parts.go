package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"

	"github.com/spf13/cobra"

	"github.com/dinp/dinp/agent"
	"github.com/dinp/dinp/builder"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash"
	"github.com/dinp/dinp/hm"
	"github.com/dinp/dinp/images"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/router"
	"github.com/dinp/dinp/server"
	"github.com/dinp/dinp/sql/store"
)

// part is one part of the platform: it binds its ports, and then runs until its
// context ends.
type part interface {
	Listen() error
	AdminAddr() string
	Run(ctx context.Context) error
}

// partSpec describes the command of one part.
type partSpec struct {
	name, short, example string
	section              func(*config) any
	open                 func(ctx context.Context, c *config, log *slog.Logger) (p part, closer func(), err error)
}

var partSpecs = []partSpec{
	{
		name: "server", short: "Compare what is wanted with what is, and close the gap (several may run; one leads)",
		example: "dinp server --database 'mysql:dinp:secret@tcp(db:3306)/dinp' --redis-addr redis:6379 --secret-file /etc/dinp/secret --advertise 10.0.0.5:1970",
		section: func(c *config) any { return &c.Server }, open: openServer,
	},
	{
		name: "agent", short: "Run instances on this Docker host",
		example: "dinp agent --servers 10.0.0.5:1970 --address 10.0.0.7 --registry 127.0.0.1:5000",
		section: func(c *config) any { return &c.Agent }, open: openAgent,
	},
	{
		name: "builder", short: "Turn artifacts into images",
		example: "dinp builder --database 'mysql:dinp:secret@tcp(db:3306)/dinp' --registry 127.0.0.1:5000",
		section: func(c *config) any { return &c.Builder }, open: openBuilder,
	},
	{
		name: "dash", short: "Serve the pages and the REST API",
		example: "dinp dash --listen :8000 --domain apps.example.com --config /etc/dinp/dinp.yml",
		section: func(c *config) any { return &c.Dash }, open: openDash,
	},
	{
		name: "router", short: "Serve the traffic of all apps",
		example: "dinp router --listen :80 --redis-addr redis:6379 --snapshot /var/lib/dinp/routes.json",
		section: func(c *config) any { return &c.Router }, open: openRouter,
	},
	{
		name: "hm", short: "Probe every instance and report verdicts",
		example: "dinp hm --servers 10.0.0.5:1970",
		section: func(c *config) any { return &c.HM }, open: openHM,
	},
}

func partCommands() []*cobra.Command {
	out := []*cobra.Command{upCommand(), joinCommand(), baseImagesCommand()}
	for _, s := range partSpecs {
		out = append(out, s.command())
	}
	return out
}

// command makes a part's command: its flags are its settings.
func (s partSpec) command() *cobra.Command {
	cmd := &cobra.Command{
		Use: s.name, Short: s.short, Example: "  " + s.example, Args: cobra.NoArgs,
		Long: s.short + `.

Every setting can stand in the configuration file, in the environment, or on the
command line, which wins: server.listen, DINP_SERVER_LISTEN, --listen.`,
	}
	path := cmd.Flags().String("config", os.Getenv("DINP_CONFIG"), "configuration file (YAML); see deploy/dinp.yml")
	shape := defaults()
	own := addFlags(cmd.Flags(), s.name, settings(s.name+".", reflect.ValueOf(s.section(&shape)).Elem()))
	top := addFlags(cmd.Flags(), "", settings("", reflect.ValueOf(&shape.shared).Elem()))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(*path)
		if err != nil {
			return err
		}
		if err := applyFlags(cmd.Flags(), "", settings("", reflect.ValueOf(&c.shared).Elem()), top); err != nil {
			return err
		}
		if err := applyFlags(cmd.Flags(), s.name, settings(s.name+".", reflect.ValueOf(s.section(&c)).Elem()), own); err != nil {
			return err
		}
		return s.run(cmd.Context(), &c)
	}
	return cmd
}

func (s partSpec) run(ctx context.Context, c *config) error {
	log, err := newLogger(c.Log, os.Stderr)
	if err != nil {
		return err
	}
	adoptStandardLog(log)
	p, closer, err := s.open(ctx, c, log)
	if err != nil {
		return err
	}
	defer closer()
	if err := p.Listen(); err != nil {
		return err
	}
	log.Info(s.name+" started", "version", buildVersion(), "admin", p.AdminAddr())
	if err := p.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	log.Info(s.name + " stopped")
	return nil
}

func openStore(ctx context.Context, c *config) (*store.Store, error) {
	if c.Database == "" {
		return nil, model.E(model.CodeBadConfig, "the database is not named").WithNext("use --database 'mysql:USER:PASSWORD@tcp(HOST:3306)/dinp'")
	}
	return store.Open(ctx, c.Database)
}

func nothing() {}

func openServer(ctx context.Context, c *config, log *slog.Logger) (part, func(), error) {
	secret, err := c.secret()
	if err != nil {
		return nil, nil, err
	}
	c.Server.Secret = secret
	if c.Server.ID == "" {
		c.Server.ID = hostID() + c.Server.Listen
	}
	if err := c.Server.Validate(); err != nil {
		return nil, nil, err
	}
	st, err := openStore(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	if c.Server.Authority, err = c.authority(ctx, st); err != nil {
		st.Close()
		return nil, nil, err
	}
	rdb, err := c.Redis.Open()
	if err != nil {
		st.Close()
		return nil, nil, err
	}
	return server.New(c.Server, st, rdb, log), func() { rdb.Close(); st.Close() }, nil
}

// hostID tells this host's processes from other hosts'.
func hostID() string {
	name, err := os.Hostname()
	if err != nil {
		return "host"
	}
	return name
}

func openAgent(_ context.Context, c *config, log *slog.Logger) (part, func(), error) {
	k, err := pki.Load(agent.IdentityFile(c.Agent.Data))
	if err != nil {
		return nil, nil, err
	}
	c.Agent.Identity, c.Agent.Version = k, buildVersion()
	if err := c.Agent.Validate(); err != nil {
		return nil, nil, err
	}
	return &renewed{agent.New(c.Agent, log), k, k.Remote(c.Agent.Servers), log}, nothing, nil
}

func openBuilder(ctx context.Context, c *config, log *slog.Logger) (part, func(), error) {
	st, err := openStore(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	k, renew, err := c.signed(ctx, st, pki.RoleBuilder)
	if err != nil {
		st.Close()
		return nil, nil, err
	}
	c.Builder.Identity = k
	if err := c.Builder.Validate(); err != nil {
		st.Close()
		return nil, nil, err
	}
	b, err := builder.New(c.Builder, st, images.FS, log)
	return &renewed{b, k, renew, log}, func() { st.Close() }, err
}

func openDash(ctx context.Context, c *config, log *slog.Logger) (part, func(), error) {
	st, err := openStore(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	k, renew, err := c.signed(ctx, st, pki.RoleDash)
	if err != nil {
		st.Close()
		return nil, nil, err
	}
	c.Dash.Identity, c.Dash.Version = k, buildVersion()
	if c.Dash.Secret, err = c.secret(); err != nil {
		st.Close()
		return nil, nil, err
	}
	d, err := dash.New(c.Dash, st, log)
	if err != nil {
		st.Close()
		return nil, nil, err
	}
	if err := firstAdmin(ctx, d, ""); err != nil {
		st.Close()
		return nil, nil, err
	}
	return &renewed{d, k, renew, log}, func() { st.Close() }, nil
}

// firstAdmin makes the user admin when there is nobody yet, and prints its
// password once; file, when named, gets it too.
func firstAdmin(ctx context.Context, d *dash.Dash, file string) error {
	password, created, err := d.Bootstrap(ctx)
	if err != nil || !created {
		return err
	}
	fmt.Printf("first start: log in as admin with password %s\n", password)
	if file == "" {
		return nil
	}
	return os.WriteFile(file, []byte(password+"\n"), 0o600)
}

func openRouter(_ context.Context, c *config, log *slog.Logger) (part, func(), error) {
	if c.SecretFile != "" { // without HTTPS a router needs none
		secret, err := c.secret()
		if err != nil {
			return nil, nil, err
		}
		c.Router.Secret = secret
	}
	if err := c.Router.Validate(); err != nil {
		return nil, nil, err
	}
	return router.New(c.Router, log), nothing, nil
}

func openHM(ctx context.Context, c *config, log *slog.Logger) (part, func(), error) {
	k, renew, closer, err := monitorCertificate(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	c.HM.Identity = k
	if err := c.HM.Validate(); err != nil {
		closer()
		return nil, nil, err
	}
	return &renewed{hm.New(c.HM, log), k, renew, log}, closer, nil
}

// monitorCertificate is the one with which the monitor joined, or, on a host with
// the cluster's secret and database, one that is signed there.
func monitorCertificate(ctx context.Context, c *config) (*pki.Keeper, pki.Renewer, func(), error) {
	k, err := pki.Load(monitorIdentity(c.HM.Data))
	if err == nil {
		return k, k.Remote(c.HM.Servers), nothing, nil
	}
	if c.Database == "" || c.SecretFile == "" || !model.IsCode(err, model.CodeNoCertificate) {
		return nil, nil, nil, err
	}
	st, err := openStore(ctx, c)
	if err != nil {
		return nil, nil, nil, err
	}
	k, renew, err := c.signed(ctx, st, pki.RoleMonitor)
	if err != nil {
		st.Close()
		return nil, nil, nil, err
	}
	return k, renew, func() { st.Close() }, nil
}
