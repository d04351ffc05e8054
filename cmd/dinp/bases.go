package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/dinp/dinp/images/base"
)

// baseSupply brings base images from a folder into the embedded registry when a build first asks for one: all of them are
// hundreds of megabytes, and most platforms use two or three.
type baseSupply struct {
	dir      string
	registry string // host:port
	log      *slog.Logger

	mu         sync.Mutex // guards what follows
	deliveries map[string]*delivery
}

// delivery is the bringing of one base image.
type delivery struct {
	mu   sync.Mutex // held while it is brought: who asks at the same time waits
	done bool
}

func newBaseSupply(dir, registry string, log *slog.Logger) *baseSupply {
	return &baseSupply{dir: dir, registry: registry, log: log, deliveries: map[string]*delivery{}}
}

// bring puts a runtime's base image into the registry, once in the life of this process. One that the folder does not have
// may be in the registry all the same: whether it is, the build finds out.
func (s *baseSupply) bring(ctx context.Context, name string) error {
	runtime, ours := strings.CutPrefix(name, "dinp/base/")
	if !ours || !filepath.IsLocal(runtime) {
		return nil
	}
	d := s.delivery(runtime)
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := os.Stat(filepath.Join(s.dir, runtime)); d.done || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	digests, err := base.Push(ctx, s.dir, s.registry, []string{runtime})
	if err != nil {
		return err
	}
	d.done = true
	s.log.Info("base image in the registry", "runtime", runtime, "digest", digests[runtime])
	return nil
}

func (s *baseSupply) delivery(runtime string) *delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.deliveries[runtime]
	if d == nil {
		d = new(delivery)
		s.deliveries[runtime] = d
	}
	return d
}
