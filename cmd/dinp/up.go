package main

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
	"strconv"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/dinp/dinp/agent"
	"github.com/dinp/dinp/builder"
	"github.com/dinp/dinp/builder/registry"
	"github.com/dinp/dinp/cli"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/dash"
	"github.com/dinp/dinp/hm"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/router"
	"github.com/dinp/dinp/server"
	"github.com/dinp/dinp/server/enrol"
	"github.com/dinp/dinp/sql/store"
)

// upOptions are the flags of `dinp up`.
type upOptions struct {
	Data, Domain                     string
	Router, Dash, Server, Registry   string // host:port to listen on
	RouterTLS                        string // the same; empty: no HTTPS
	HTTP3                            bool   // at RouterTLS, too
	BaseImages, DockerHost, Memory   string
	LogLevel, LogFormat, ContextHome string
}

func upCommand() *cobra.Command {
	o := upOptions{}
	cmd := &cobra.Command{
		Use: "up", Short: "Run the whole platform in one process, on this machine's Docker",
		Long: `up runs every part of the platform in one process, over the same code as the
cluster: with an embedded database, route store and image registry, and this
machine's Docker engine. Its data lies in one folder. Apps keep running when it
stops, and are taken up again when it starts.`,
		Example: "  dinp up\n  dinp up --data /var/lib/dinp --domain apps.example.com --router :80",
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&o.Data, "data", envOr("DINP_DATA", "dinp-data"), "folder of all data")
	f.StringVar(&o.Domain, "domain", envOr("DINP_DOMAIN", "apps.localhost"), "apps answer on <app>.<domain>")
	f.StringVar(&o.Router, "router", envOr("DINP_ROUTER_LISTEN", ":8080"), "address of the router")
	f.StringVar(&o.RouterTLS, "router-tls", envOr("DINP_ROUTER_TLS_LISTEN", ":8443"), "address of the router for HTTPS; empty for none")
	f.BoolVar(&o.HTTP3, "http3", false, "answer HTTP/3 at the router's address for HTTPS, in UDP")
	f.StringVar(&o.Dash, "dash", envOr("DINP_DASH_LISTEN", ":8000"), "address of the dashboard and API")
	f.StringVar(&o.Server, "grpc", envOr("DINP_SERVER_LISTEN", "127.0.0.1:1970"), "address of the server's gRPC")
	f.StringVar(&o.Registry, "registry", envOr("DINP_REGISTRY_LISTEN", "127.0.0.1:5080"), "address of the image registry; Docker must reach it, and takes plain HTTP from loopback only")
	f.StringVar(&o.BaseImages, "base-images", "", "folder of the runtimes' base images, pushed to the registry when a build needs one (default: the user's cache, see dinp base-images --help)")
	f.StringVar(&o.DockerHost, "docker-host", os.Getenv("DOCKER_HOST"), "Docker engine to use, as in unix:///run/docker.sock (default: the local one)")
	f.StringVar(&o.Memory, "memory", "", "memory that apps may reserve in all, as in 8G (default: what the machine has, less a tenth)")
	f.StringVar(&o.LogLevel, "log-level", envOr("DINP_LOG_LEVEL", "info"), "debug, info, warn or error")
	f.StringVar(&o.LogFormat, "log-format", envOr("DINP_LOG_FORMAT", "text"), "text or json")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log, err := newLogger(logConfig{Level: o.LogLevel, Format: o.LogFormat}, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		adoptStandardLog(log)
		u, err := openUp(cmd.Context(), o, log)
		if err != nil {
			return err
		}
		u.announce(cmd.OutOrStdout())
		return u.run(cmd.Context())
	}
	return cmd
}

func envOr(name, value string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return value
}

// up is the all-in-one: every part, bound and ready to run.
type up struct {
	opts     upOptions
	log      *slog.Logger
	lock     *os.File
	store    *store.Store
	redis    *miniredis.Miniredis
	registry net.Listener
	images   *registry.Registry
	server   *server.Server
	agent    *agent.Agent
	builder  *builder.Builder
	dash     *dash.Dash
	router   *router.Router
	hm       *hm.HM
	password string // of admin, on the first start only
	close    []func()

	authority *enrol.Authority
	keepers   []*pki.Keeper // of all parts but the server, which sees to its own
}

// openUp binds every port and opens every store, so that what is wrong is said
// before anything runs.
func openUp(ctx context.Context, o upOptions, log *slog.Logger) (*up, error) {
	u := &up{opts: o, log: log}
	steps := []func(context.Context) error{u.lockData, u.openStores, u.openParts, u.listen, u.firstStart}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			u.shut()
			return nil, err
		}
	}
	return u, nil
}

// shut closes what was opened, in reverse.
func (u *up) shut() {
	for i := len(u.close) - 1; i >= 0; i-- {
		u.close[i]()
	}
	u.close = nil
}

func (u *up) path(elem ...string) string {
	return filepath.Join(append([]string{u.opts.Data}, elem...)...)
}

// lockData makes the data folder and keeps a second platform out of it.
func (u *up) lockData(context.Context) error {
	data, err := filepath.Abs(u.opts.Data)
	if err != nil {
		return err
	}
	u.opts.Data = data
	for _, dir := range []string{"", "agent", "builder", "dash", "registry", "router"} {
		if err := os.MkdirAll(u.path(dir), 0o700); err != nil {
			return model.E(model.CodeBadConfig, "the data folder cannot be made: %v", err).WithNext("choose another one with --data")
		}
	}
	u.lock, err = os.OpenFile(u.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	u.close = append(u.close, func() { u.lock.Close() })
	if err := syscall.Flock(int(u.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return model.E(model.CodeConflict, "another dinp up uses the data folder %s", data).WithNext("stop that one, or choose another folder with --data")
	}
	return nil
}

func (u *up) openStores(ctx context.Context) (err error) {
	if u.store, err = store.Open(ctx, "sqlite:"+u.path("dinp.db")); err != nil {
		return err
	}
	u.close = append(u.close, func() { u.store.Close() })
	u.redis = miniredis.NewMiniRedis()
	if err := u.redis.StartAddr("127.0.0.1:0"); err != nil {
		return fmt.Errorf("embedded route store: %w", err)
	}
	u.close = append(u.close, u.redis.Close)
	if err := refill(u.redis, u.snapshot()); err != nil {
		u.log.Warn("the routes of before are not known; they are made anew as the instances are heard of", "file", u.snapshot(), "err", err)
	}
	if u.registry, err = bind("the image registry", u.opts.Registry, "--registry"); err != nil {
		return err
	}
	u.close = append(u.close, func() { u.registry.Close() })
	u.images, err = registry.New(u.path("registry"), u.log)
	return err
}

func portOf(addr string) int {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return 0
	}
	return n
}

// firstStart makes the first user, and a context for the command line when the
// one at hand does not lead here.
func (u *up) firstStart(ctx context.Context) error {
	password, created, err := u.dash.Bootstrap(ctx)
	if err != nil {
		return err
	}
	if created {
		u.password = password
		if err := os.WriteFile(u.path("admin-password"), []byte(password+"\n"), 0o600); err != nil {
			return err
		}
	}
	marker := u.path("cli-context")
	if _, err := os.Stat(marker); !created && err == nil {
		return nil
	}
	token, err := u.dash.IssueToken(ctx, "admin", "dinp up on this machine")
	if err != nil {
		return err
	}
	if err := cli.SaveContext(u.opts.ContextHome, "local", u.dashURL(), token, "admin"); err != nil {
		return err
	}
	return os.WriteFile(marker, nil, 0o600)
}

func (u *up) dashURL() string { return "http://127.0.0.1:" + strconv.Itoa(portOf(u.dash.Addr())) }

// announce tells a person what to do next.
func (u *up) announce(w io.Writer) {
	fmt.Fprintf(w, "dinp %s\n", buildVersion())
	fmt.Fprintf(w, "  dashboard  %s\n", u.dashURL())
	fmt.Fprintf(w, "  apps       http://<app>.%s:%d/\n", u.opts.Domain, portOf(u.router.Addr()))
	if u.router.TLSAddr() != "" {
		fmt.Fprintf(w, "  https      https://<app>.%s:%d/ (self-signed: %s)\n", u.opts.Domain, portOf(u.router.TLSAddr()), u.path("router", "self-signed.crt"))
	}
	fmt.Fprintf(w, "  data       %s\n", u.opts.Data)
	if u.password != "" {
		fmt.Fprintf(w, "  login      admin, password %s (shown once; also in %s)\n", u.password, u.path("admin-password"))
	}
	fmt.Fprintf(w, "  deploy     dinp deploy NAME FILE\n")
}

// run runs every part until ctx ends or one fails; the stores are closed when all
// of them have ended.
func (u *up) run(ctx context.Context) error {
	defer u.shut()
	store := &http.Server{Handler: u.images, ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return ignoreClosed(store.Serve(u.registry)) })
	parts := []part{u.server, u.agent, u.builder, u.dash, u.router, u.hm}
	for _, p := range parts {
		g.Go(func() error { return p.Run(ctx) })
	}
	for _, k := range u.keepers {
		g.Go(func() error { return k.Run(ctx, u.authority.Renewer(k.Identity()), u.log) })
	}
	g.Go(func() error {
		<-ctx.Done()
		return store.Close()
	})
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
