// Package builder is dinp's kitchen: it takes builds from the queue in the database, turns each artifact into an image in
// the registry, and writes down how it went. Several builders share a queue; one that dies loses its builds to the others
// when its lease runs out.
//
// The work is in its packages: archive unpacks hostile input, recipe decides (and does nothing else), image makes and
// moves images. This one claims, orders the steps, tells the user about each, stops when asked, and cleans up always.
package builder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dinp/dinp/builder/image"
	"github.com/dinp/dinp/builder/recipe"
	"github.com/dinp/dinp/builder/source"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
)

// Builder is one builder process. New makes it, Listen binds its port, Run works until its context ends.
type Builder struct {
	cfg      Config
	store    *store.Store
	log      *slog.Logger
	runtimes recipe.Catalog
	registry *image.Registry
	fetcher  *source.Fetcher
	metrics  *metrics
	nudger   *nudger

	// Set by Listen.
	admin  net.Listener
	folder *workFolder
	signer signer
	engine *image.Engine

	published atomic.Bool // the signer's public key is in the database

	mu       sync.Mutex // guards what follows
	claimErr error      // of the last look at the queue
}

// New makes a builder. The runtimes are folders with a runtime.yaml each; those in RuntimesDir replace them by name.
func New(cfg Config, st *store.Store, runtimes fs.FS, log *slog.Logger) (*Builder, error) {
	log = log.With("component", "builder")
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	all, err := loadRuntimes(runtimes, cfg.RuntimesDir)
	if err != nil {
		return nil, err
	}
	warnings, err := rebased(all, cfg.BasesFile)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		log.Warn("base image not pinned", "why", w)
	}
	registry, err := image.NewRegistry(cfg.Registry, cfg.RegistryInsecure, cfg.RegistryAuthFile)
	if err != nil {
		return nil, model.E(model.CodeBadConfig, "builder: %v", err)
	}
	guard, err := source.NewGuard(cfg.Sources.Allow)
	if err != nil {
		return nil, model.E(model.CodeBadConfig, "builder: sources.allow: %v", err)
	}
	registry.SetImports(cfg.Import, guard)
	fetcher, err := source.NewFetcher(cfg.Sources)
	if err != nil {
		return nil, model.E(model.CodeBadConfig, "builder: %v", err)
	}
	return &Builder{
		fetcher: fetcher,
		cfg:     cfg, store: st, log: log, runtimes: recipe.NewCatalog(all...), registry: registry, metrics: newMetrics(),
		nudger: newNudger(cfg.Servers, cfg.Identity, log), claimErr: errors.New("the queue was not looked at yet"),
	}, nil
}

// SupplyBases lets bring be asked for each base image before a build uses it. It is called before Run.
func (b *Builder) SupplyBases(bring func(ctx context.Context, base string) error) {
	b.registry.SupplyBases(bring)
}

// loadRuntimes reads the definitions that are built in and those of the operator.
func loadRuntimes(builtin fs.FS, dir string) ([]recipe.Runtime, error) {
	all := []recipe.Runtime{recipe.DockerfileRuntime()}
	sources := []fs.FS{builtin}
	if dir != "" {
		sources = append(sources, os.DirFS(dir))
	}
	for _, source := range sources {
		files, err := fs.Glob(source, "*/runtime.yaml")
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			r, err := loadRuntime(source, filepath.Dir(file))
			if err != nil {
				return nil, model.E(model.CodeBadConfig, "runtime %v", err).WithNext("correct the file named in the message")
			}
			all = append(all, r)
		}
	}
	return all, nil
}

func loadRuntime(source fs.FS, folder string) (recipe.Runtime, error) {
	definition, err := fs.ReadFile(source, folder+"/runtime.yaml")
	if err != nil {
		return recipe.Runtime{}, err
	}
	return recipe.Parse(folder, definition, func(name string) ([]byte, error) { return fs.ReadFile(source, folder+"/"+name) })
}

// Listen binds the admin port and takes the work folder. Run calls it if it was not called.
func (b *Builder) Listen() (err error) {
	if b.folder != nil {
		return nil
	}
	if b.folder, err = openWorkFolder(b.cfg.WorkDir, b.cfg.LarderMiB<<20); err != nil {
		return err
	}
	if b.cfg.ID == "" {
		b.cfg.ID = b.folder.id
	}
	if b.signer, err = openSigner(b.cfg.signingKey()); err != nil {
		b.folder.close()
		b.folder = nil
		return err
	}
	// The folder's id, not the builder's: two platforms on one engine may both call their builder "up".
	b.engine, err = image.NewEngine(b.cfg.DockerHost, b.cfg.dockerRegistry(), b.registry, b.cfg.Dockerfile, b.folder.id)
	if err != nil {
		err = model.E(model.CodeBadConfig, "builder: %v", err).WithNext("write docker_host as unix:///var/run/docker.sock")
	} else if b.cfg.Admin != "" {
		err = b.listenAdmin()
	}
	if err != nil {
		b.folder.close()
		b.folder = nil
	}
	return err
}

func (b *Builder) listenAdmin() (err error) {
	if b.admin, err = net.Listen("tcp", b.cfg.Admin); err != nil {
		return model.E(model.CodePortTaken, "builder: the admin port cannot be opened: %v", err).WithNext("choose another one with --admin")
	}
	return nil
}

// AdminAddr is where /healthz, /readyz and /metrics are served; "" for nowhere.
func (b *Builder) AdminAddr() string {
	if b.admin == nil {
		return ""
	}
	return b.admin.Addr().String()
}

// Run takes builds from the queue until ctx ends. Builds that are under way then are given back at once.
func (b *Builder) Run(ctx context.Context) error {
	if err := b.Listen(); err != nil {
		return err
	}
	defer b.folder.close()
	defer b.engine.Close()
	defer b.nudger.close()
	b.cleanUp(ctx)
	g, ctx := errgroup.WithContext(ctx)
	if b.admin != nil {
		g.Go(func() error { return b.serveAdmin(ctx) })
	}
	g.Go(func() error {
		b.takeBuilds(ctx)
		return nil
	})
	b.log.Info("builder started", "id", b.cfg.ID, "registry", b.cfg.Registry, "runtimes", b.runtimes.Names(), "admin", b.AdminAddr())
	return g.Wait()
}

// cleanUp removes what a killed run left on the disk and in the engine. It is best effort: nothing of it is in the way.
func (b *Builder) cleanUp(ctx context.Context) {
	if err := b.folder.empty(); err != nil {
		b.log.Warn("old work folders not removed", "err", err)
	}
	if err := b.engine.CleanAll(ctx); err != nil && ctx.Err() == nil {
		b.log.Warn("old builds not removed from the engine", "err", err)
	}
}

func (b *Builder) serveAdmin(ctx context.Context) error {
	s := &http.Server{Handler: b.adminHandler(), ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(b.log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(b.admin); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("builder admin: %w", err)
	}
	return nil
}
