package images

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/dinp/dinp/agent/docker"
	"github.com/dinp/dinp/agent/docker/dockertest"
	"github.com/dinp/dinp/agent/journal"
	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/test/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is an engine of images of ten percent of its disk each.
type host struct {
	images  map[string]bool
	busy    map[string]bool // used by containers that are not ours
	present map[string]bool
	base    int // percent that something else takes
	free    int64
	away    bool
}

func (h *host) Info(context.Context) (runtime.Info, error) {
	if h.away {
		return runtime.Info{}, runtime.ErrAway
	}
	return runtime.Info{Root: "/engine"}, nil
}

func (h *host) RemoveImage(_ context.Context, image string) error {
	if h.away {
		return runtime.ErrAway
	}
	if h.busy[image] {
		return runtime.ErrImageUsed
	}
	delete(h.images, image)
	return nil
}

func (h *host) measure(folder string) (Usage, error) {
	if folder != "/engine" {
		return Usage{FreeMiB: 1 << 40}, nil
	}
	if h.base < 0 {
		return Usage{}, errors.New("no such folder")
	}
	return Usage{FreeMiB: h.free, TotalMiB: 1000, Percent: h.base + 10*len(h.images)}, nil
}

func (h *host) keeper(t *testing.T, dir string) *Keeper {
	t.Helper()
	j, err := journal.Open(dir, "n1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	k := New(Config{Data: "/data", CollectAbove: 80, CollectTo: 70, Keep: 1, MinFreeMiB: 100}, h, j, func() map[string]bool { return maps.Clone(h.present) }, slog.New(slog.DiscardHandler))
	k.measure = h.measure
	return k
}

func newHost(images ...string) *host {
	h := &host{images: map[string]bool{}, busy: map[string]bool{}, present: map[string]bool{}, free: 500}
	for _, i := range images {
		h.images[i] = true
	}
	return h
}

func (h *host) has(t *testing.T, want ...string) {
	t.Helper()
	if got := slices.Sorted(maps.Keys(h.images)); !slices.Equal(got, want) {
		t.Errorf("images %v, want %v", got, want)
	}
}

// lookLeaderless has a keeper look until it goes on without an answer.
func (h *host) lookLeaderless(t *testing.T, k *Keeper, now time.Time) {
	t.Helper()
	k.Look(t.Context(), now)
	k.Look(t.Context(), now.Add(every))
}

var start = time.Unix(1e9, 0)

func TestKeeper_CollectsAboveItsMark_TheLongestUnusedFirst_DownToTheOther(t *testing.T) {
	h := newHost("a@1", "a@2", "a@3", "a@4", "foreign@1")
	k := h.keeper(t, t.TempDir())
	for n, image := range []string{"a@1", "a@2", "a@3", "a@4"} {
		k.Note(image, start.Add(time.Duration(n)*time.Hour))
	}
	now := start.Add(24 * time.Hour)
	h.base = 30 // 80 percent: not above
	k.Look(t.Context(), now)
	h.has(t, "a@1", "a@2", "a@3", "a@4", "foreign@1")
	h.base, h.present["a@2"] = 31, true
	h.lookLeaderless(t, k, now)
	h.has(t, "a@2", "a@4", "foreign@1") // a@2 runs and a@4 was used last, so a@1 and a@3 go
}

func TestKeeper_NeverTouchesWhatItHasNotUsed_NorWhatOthersUse(t *testing.T) {
	h := newHost("a@1", "a@2", "b@1", "people@1")
	k := h.keeper(t, t.TempDir())
	k.Note("a@1", start)
	k.Note("a@2", start.Add(time.Hour))
	h.base, h.busy["a@1"] = 100, true
	h.lookLeaderless(t, k, start.Add(24*time.Hour))
	h.has(t, "a@1", "a@2", "b@1", "people@1")
	h.busy["a@1"] = false
	h.lookLeaderless(t, k, start.Add(24*time.Hour))
	h.has(t, "a@2", "b@1", "people@1")
}

func TestKeeper_RestartedAgent_KnowsWhatItHasUsed(t *testing.T) {
	h, dir := newHost("a@1", "a@2"), t.TempDir()
	k := h.keeper(t, dir)
	k.Note("a@1", start)
	h.present["a@2"] = true
	k.Look(t.Context(), start.Add(time.Hour))
	if err := k.ledger.(*journal.Journal).Close(); err != nil {
		t.Fatal(err)
	}
	again := h.keeper(t, dir)
	h.base = 100
	h.lookLeaderless(t, again, start.Add(2*time.Hour))
	h.has(t, "a@2")
}

func TestKeeper_EngineAwayOrDiskOutOfSight_RemovesNothing(t *testing.T) {
	h := newHost("a@1", "a@2")
	k := h.keeper(t, t.TempDir())
	k.Note("a@1", start)
	k.Note("a@2", start.Add(time.Hour))
	h.base, h.away = 100, true
	h.lookLeaderless(t, k, start.Add(24*time.Hour))
	h.base, h.away = -1, false
	h.lookLeaderless(t, k, start.Add(24*time.Hour))
	h.has(t, "a@1", "a@2")
	if k.Short() != "" {
		t.Errorf("short: %s", k.Short())
	}
}

func TestKeeper_TooLittleRoom_IsACondition_UntilThereIsSome(t *testing.T) {
	h := newHost()
	k := h.keeper(t, t.TempDir())
	h.free = 99
	k.Look(t.Context(), start)
	if s := k.Short(); !strings.Contains(s, "99 of 1000 MiB") || !strings.Contains(s, "/engine") {
		t.Errorf("short: %q", s)
	}
	h.away = true // the disk is as full while the engine does not answer
	k.Look(t.Context(), start)
	if k.Short() == "" {
		t.Error("the condition went with the engine")
	}
	h.free = 100
	k.Look(t.Context(), start)
	if s := k.Short(); s != "" {
		t.Errorf("short: %q", s)
	}
}

func TestKeeper_Run_LooksUntilItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost("a@1", "a@2")
		k := h.keeper(t, t.TempDir())
		h.base = 100
		k.Note("a@1", time.Now().Add(every/2-fresh)) // is left alone for half a turn more
		k.Note("a@2", time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		<-time.After(2 * every) // once for the question, which nobody answers
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
		h.has(t, "a@2")
	})
}

// On a real engine: only what this node has used goes, and only by the name it used.
func TestKeeper_OnDocker_RemovesItsOwnAndLeavesPeoplesTags(t *testing.T) {
	registry := testenv.Registry(t)
	engine, err := docker.New(docker.Options{Host: testenv.Docker(t), NodeID: uuid.NewString(), Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	tag := "dinp-test-" + uuid.NewString()[:8] + ":kept"
	var images []string
	for range 4 {
		image := dockertest.Push(t, registry, uuid.NewString())
		images = append(images, image)
		t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", registry+"/"+image, tag).Run() }) // most are gone already
		if err := engine.EnsureImage(t.Context(), image); err != nil {
			t.Fatal(err)
		}
	}
	has := func(ref string) bool { return exec.Command("docker", "image", "inspect", ref).Run() == nil }
	if out, err := exec.Command("docker", "tag", registry+"/"+images[0], tag).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	h := newHost()
	k := h.keeper(t, t.TempDir())
	k.engine, k.measure = engine, func(string) (Usage, error) { return Usage{FreeMiB: 1000, Percent: 99}, nil }
	for n, image := range images[:3] { // the last was pulled by somebody else
		k.Note(image, start.Add(time.Duration(n)*time.Hour))
	}
	h.lookLeaderless(t, k, start.Add(24*time.Hour))
	for n, want := range []bool{false, false, true, true} {
		if got := has(registry + "/" + images[n]); got != want {
			t.Errorf("image %d is there: %v, want %v", n, got, want)
		}
	}
	if !has(tag) {
		t.Error("a person's tag was removed")
	}
	if info, err := engine.Info(t.Context()); err != nil || info.Root == "" {
		t.Errorf("the engine does not say where its files are: %+v, %v", info, err)
	}
}
