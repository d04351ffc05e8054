package builder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/test/testenv"
)

// The settings of a builder that runs as a process of its own.
const (
	victimStore    = "BUILDER_TEST_STORE"
	victimRegistry = "BUILDER_TEST_REGISTRY"
	victimFolder   = "BUILDER_TEST_FOLDER"
)

// TestVictim is a builder for TestWork_AKilledBuilderLeavesNothing, in a process that is killed; alone it does nothing.
func TestVictim(t *testing.T) {
	if os.Getenv(victimStore) == "" {
		return
	}
	st, err := store.Open(t.Context(), os.Getenv(victimStore))
	must(t, err)
	cfg := Default()
	cfg.Registry, cfg.WorkDir, cfg.Admin, cfg.ID = os.Getenv(victimRegistry), os.Getenv(victimFolder), "", "b1"
	cfg.Poll, cfg.Lease = 10*time.Millisecond, 10*time.Second
	b, err := New(cfg, st, os.DirFS("../images"), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	must(t, err)
	must(t, b.Run(context.Background()))
}

func TestWork_AKilledBuilderLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	direct := r.registry
	stopped, _ := r.gate(artifactBlob)
	b := r.queue("a.zip", zipped(t, "index.html", "x"), "")
	victim := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	victim.Env = append(os.Environ(), victimStore+"="+r.url, victimRegistry+"="+r.cfg.Registry, victimFolder+"="+r.cfg.WorkDir)
	victim.Stderr = t.Output()
	must(t, victim.Start())
	select {
	case <-stopped:
	case <-time.After(5 * time.Minute):
		t.Error("the builder asked for no artifact")
	}
	left, err := os.ReadDir(filepath.Join(r.cfg.WorkDir, "builds"))
	if err != nil || len(left) != 1 {
		t.Errorf("in the work folder while it builds: %v, %v", left, err)
	}
	must(t, victim.Process.Kill())
	if err := victim.Wait(); err == nil {
		t.Error("the builder ended well")
	}
	r.cfg.Registry = direct
	r.start()
	if got := r.wait(b.ID); got.Status != model.BuildSucceeded || got.Attempts < 2 {
		t.Errorf("build %+v, error %+v", got, got.Error)
	}
	testenv.Eventually(t, 5*time.Minute, func() error {
		entries, err := os.ReadDir(filepath.Join(r.cfg.WorkDir, "builds"))
		if err == nil && len(entries) > 0 {
			err = errors.New(fmt.Sprint("left in the work folder: ", entries))
		}
		return err
	})
}
