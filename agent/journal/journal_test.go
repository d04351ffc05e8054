package journal

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/common/model"
)

func open(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := Open(dir, "node-1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// reopen is what a start after kill -9 does: the kernel has let go of the lock.
func reopen(t *testing.T, j *Journal) *Journal {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, string(j.files.(folder)))
}

func TestJournal_NodeIDIsMadeOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, err := Open(dir, "another", slog.New(slog.DiscardHandler))
	if err != nil || j.NodeID() != "node-1" {
		t.Fatalf("node id %q, %v", j.NodeID(), err)
	}
	_ = j.Close()
}

func TestOpen_TwiceIsRefused(t *testing.T) {
	j := open(t, t.TempDir())
	if _, err := Open(string(j.files.(folder)), "x", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "in use by another agent") {
		t.Errorf("second open: %v", err)
	}
}

func TestJournal_RecordsSurvive(t *testing.T) {
	j := open(t, t.TempDir())
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := Record{
		Spec:   runtime.Spec{InstanceID: "i1", Env: map[string]string{"K": "v\n\x00ü"}, MemoryMiB: 5, Command: []string{"a"}},
		Status: model.Observed{ID: "i1", Phase: model.PhaseRunning, Addr: "1.2.3.4:5", StartedAt: now},
		Tries:  2, Stop: &Stop{DrainUntil: now, Grace: time.Second, Reason: "r"}, End: &End{Gone: model.GoneOOM, Logs: []string{"x"}},
	}
	for _, lasting := range []bool{true, false} {
		if err := j.Put(want, lasting); err != nil {
			t.Fatal(err)
		}
	}
	got, err := reopen(t, j).Records()
	if err != nil || !cmp.Equal(got, []Record{want}) {
		t.Errorf("%v: %s", err, cmp.Diff([]Record{want}, got))
	}
}

func TestJournal_WriteCutShort_LeavesTheOldRecord(t *testing.T) {
	j := open(t, t.TempDir())
	r := Record{Spec: runtime.Spec{InstanceID: "i1"}}
	if err := j.Put(r, true); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(string(j.files.(folder)), recordPath("i1"))+".tmp", []byte(`{"spec":{"inst`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := reopen(t, j).Records(); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestJournal_UnreadableRecord_IsKnownByItsNameAndKept(t *testing.T) {
	j := open(t, t.TempDir())
	path := filepath.Join(string(j.files.(folder)), recordPath("i1"))
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []Record{{Spec: runtime.Spec{InstanceID: "i1"}, Unreadable: true}}
	for range 2 { // the agent may end before it knows more
		j = reopen(t, j)
		if got, err := j.Records(); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%v: %s", err, cmp.Diff(want, got))
		}
	}
	if b, err := os.ReadFile(path + ".unreadable"); err != nil || string(b) != "{" {
		t.Errorf("what it held is kept as %q, %v", b, err)
	}
	want[0].Unreadable = false
	if err := j.Put(want[0], true); err != nil {
		t.Fatal(err)
	}
	if got, err := j.Records(); err != nil || !cmp.Equal(got, want) {
		t.Errorf("once it was written anew: %v: %s", err, cmp.Diff(want, got))
	}
}

// DEFECTS 13: agents obeyed whichever server they reached.
func TestAdmit_RefusesLowerEpochsAndSecondLeaders(t *testing.T) {
	j := open(t, t.TempDir())
	for _, c := range []struct {
		epoch  int64
		leader string
		ok     bool
	}{
		{5, "a", true}, {5, "a", true}, {5, "b", false}, {4, "a", false}, {4, "b", false}, {6, "b", true}, {5, "a", false}, {6, "b", true},
	} {
		if err := j.Admit(c.epoch, c.leader); (err == nil) != c.ok || (err != nil && !errors.Is(err, ErrStaleEpoch)) {
			t.Errorf("admit(%d, %s) = %v, want ok %v", c.epoch, c.leader, err, c.ok)
		}
		j = reopen(t, j) // each decision holds across a restart
	}
	if got := j.Epoch(); got != (Epoch{Max: 6, Leader: "b"}) {
		t.Errorf("epoch %+v", got)
	}
}

func TestOpen_UnreadableEpoch_IsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "epoch.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, "n", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "epoch.json") {
		t.Errorf("open: %v", err)
	}
}

func TestTombstones_SurviveAndAge(t *testing.T) {
	j := open(t, t.TempDir())
	now := time.Now()
	if err := j.Put(Record{Spec: runtime.Spec{InstanceID: "i1"}}, true); err != nil {
		t.Fatal(err)
	}
	if err := j.Forget("i1", now); err != nil {
		t.Fatal(err)
	}
	j = reopen(t, j)
	if got, err := j.Records(); err != nil || len(got) != 0 || !j.Buried("i1") {
		t.Errorf("records %v, %v, buried %v", got, err, j.Buried("i1"))
	}
	if err := j.Prune(now.Add(TombstoneAge - time.Minute)); err != nil || !j.Buried("i1") {
		t.Errorf("pruned too early: %v", err)
	}
	if err := j.Prune(now.Add(TombstoneAge + time.Minute)); err != nil || j.Buried("i1") {
		t.Errorf("not pruned: %v", err)
	}
	if reopen(t, j).Buried("i1") {
		t.Error("back after a restart")
	}
}

func TestMemory_KeepsNothingOnDisk(t *testing.T) {
	j := Memory("n1")
	err := errors.Join(j.Put(Record{Spec: runtime.Spec{InstanceID: "i1"}}, true), j.Bury("i2", time.Now()), j.Admit(3, "a"), j.Prune(time.Now()))
	if err != nil || !j.Buried("i2") || j.Epoch().Max != 3 || j.NodeID() != "n1" {
		t.Errorf("%v, %+v", err, j)
	}
	if err := errors.Join(j.Forget("i1", time.Now()), j.Close()); err != nil {
		t.Error(err)
	}
}

func FuzzRecordsOfAnyFile(f *testing.F) {
	f.Add([]byte(`{"spec":{"instance_id":"i1"}}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, b []byte) {
		j := open(t, t.TempDir())
		if err := os.WriteFile(filepath.Join(string(j.files.(folder)), recordPath("i1")), b, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := j.Records()
		if err != nil || len(got) > 1 || (len(got) == 1 && got[0].Spec.InstanceID != "i1") {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func TestTold_KeepsHowFarHistoryHadGot_AndWritesItDownByTheMinute(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	j, err := Open(dir, "n1", log)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Admit(1000, "a"); err != nil {
		t.Fatal(err)
	}
	j.Told(999, 1<<40) // of a leader that is not obeyed
	for _, ms := range []int64{10, 59_000, 61_000, 60_500, 100_000} {
		j.Told(1000, ms)
	}
	if got := j.Epoch(); got != (Epoch{Max: 1000, Leader: "a", Written: 100_000}) {
		t.Errorf("in memory: %+v", got)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if j, err = Open(dir, "n1", log); err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if got := j.Epoch(); got != (Epoch{Max: 1000, Leader: "a", Written: 61_000}) {
		t.Errorf("on disk: %+v", got)
	}
	if err := j.Admit(2000, "b"); err != nil {
		t.Fatal(err)
	}
	if got := j.Epoch(); got != (Epoch{Max: 2000, Leader: "b"}) {
		t.Errorf("a new term: %+v", got)
	}
}
