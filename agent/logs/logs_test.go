package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/dinp/dinp/agent/runtime"
	"github.com/dinp/dinp/agent/runtime/fake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore_KeepsTailAndSince(t *testing.T) {
	bubble(t, func(t *testing.T, h *host) {
		h.print("one", "two")
		<-time.After(time.Minute)
		since := time.Now()
		h.print("three")
		want(t, h.kept(Request{}), "one", "two", "three")
		want(t, h.kept(Request{Tail: 2}), "two", "three")
		want(t, h.kept(Request{Since: since}), "three")
	})
}

// All lines share one instant in the bubble: the hardest case for a resume.
func TestStore_AgentRestarts_NoLineTwiceNoneMissing(t *testing.T) {
	bubble(t, func(t *testing.T, h *host) {
		h.print("one", "two")
		h.down()
		h.print("three")
		h.up()
		h.print("four")
		<-time.After(time.Second)
		h.print("five")
		h.down()
		h.up()
		want(t, h.kept(Request{}), "one", "two", "three", "four", "five")
	})
}

func TestStore_StreamBreaks_IsResumed(t *testing.T) {
	bubble(t, func(t *testing.T, h *host) {
		h.down()
		broken := 3
		h.faulty.Hook = func(op fake.Op, _ string) fake.Fault {
			if op == fake.OpLogs && broken > 0 {
				broken--
				return fake.Fault{Err: runtime.ErrAway}
			}
			return fake.Fault{}
		}
		h.print("one")
		h.up()
		<-time.After(time.Minute)
		want(t, h.kept(Request{}), "one")
	})
}

func TestStore_LineLeftUnfinishedByACrash_IsCut(t *testing.T) {
	bubble(t, func(t *testing.T, h *host) {
		h.print("one")
		h.down()
		f, err := os.OpenFile(filepath.Join(h.dir, "i1", newerFile), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("17000000"); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		h.up()
		h.print("two")
		want(t, h.kept(Request{}), "one", "two")
	})
}

func TestStore_Ring_StaysWithinItsSize(t *testing.T) {
	bubble(t, func(t *testing.T, h *host) {
		h.down()
		h.max = 1000
		h.up()
		for i := range 200 {
			h.print(fmt.Sprintf("line %03d", i))
		}
		got := h.kept(Request{})
		if len(got) < 20 || got[len(got)-1] != "line 199" || !slices.IsSorted(got) {
			t.Errorf("%d lines: %q", len(got), got)
		}
		if o := h.measure("i1"); o.bytes > 2000 {
			t.Errorf("%d bytes kept", o.bytes)
		}
	})
}

func TestStore_Finish_TakesWhatWasNeverFollowed(t *testing.T) {
	bubble(t, func(t *testing.T, h *host) {
		h.down()
		h.print("one", "two", "three")
		h.engine.Exit("i1", 1, false)
		want(t, h.Finish(t.Context(), "i1", 2), "two", "three")
		want(t, h.Finish(t.Context(), "i1", 2), "two", "three")
		h.engine.Vanish("i1", true)
		want(t, h.Finish(t.Context(), "i1", 1), "three")
		want(t, h.kept(Request{Follow: true}), "one", "two", "three")
	})
}

func TestStream_Follow_MissesNothingAndEndsWithTheInstance(t *testing.T) {
	bubble(t, func(t *testing.T, h *host) {
		h.print("one", "two")
		var got []string
		done := make(chan error, 1)
		go func() {
			done <- h.Stream(t.Context(), Request{ID: "i1", Tail: 1, Follow: true, Live: true}, func(lines []runtime.Line) error {
				for _, l := range lines {
					got = append(got, l.Text)
				}
				return nil
			})
		}()
		synctest.Wait()
		h.print("three", "four")
		h.engine.Exit("i1", 0, false)
		h.Finish(t.Context(), "i1", 1)
		if err := <-done; err != nil {
			t.Error(err)
		}
		want(t, got, "two", "three", "four")
	})
}

func TestStream_SlowReader_IsToldWhatItMissed(t *testing.T) {
	s := newSubscriber()
	for range maxPending + 5 {
		s.put(runtime.Line{Text: "x"})
	}
	lines, more := s.take()
	if len(lines) != maxPending+1 || !more || !strings.Contains(lines[maxPending].Text, "5 lines skipped") {
		t.Errorf("%d lines, last %+v", len(lines), lines[len(lines)-1])
	}
}

func TestStream_UnknownInstance_SaysSo(t *testing.T) {
	bubble(t, func(t *testing.T, h *host) {
		if err := h.Stream(t.Context(), Request{ID: "never"}, nil); !errors.Is(err, ErrUnknown) {
			t.Errorf("got %v", err)
		}
	})
}

func TestStream_ChunksFitInAMessage(t *testing.T) {
	lines := slices.Repeat([]runtime.Line{{Text: strings.Repeat("x", 16<<10)}}, 40)
	lines = append(lines, slices.Repeat([]runtime.Line{{Text: "y"}}, 1200)...)
	total := 0
	err := inChunks(lines, func(chunk []runtime.Line) error {
		size := 0
		for _, l := range chunk {
			size += len(l.Text)
		}
		if total += len(chunk); len(chunk) > chunkLines || size > chunkBytes {
			t.Errorf("chunk of %d lines, %d bytes", len(chunk), size)
		}
		return nil
	})
	if err != nil || total != len(lines) {
		t.Errorf("%d lines, %v", total, err)
	}
}

func TestSweep_KeepsLiveAndRecent(t *testing.T) {
	bubble(t, func(t *testing.T, h *host) {
		h.print("one")
		now := time.Now()
		old := filepath.Join(h.dir, "gone")
		if err := errors.Join(os.MkdirAll(old, 0o700), os.WriteFile(filepath.Join(old, newerFile), nil, 0o600),
			os.Chtimes(filepath.Join(old, newerFile), now, now)); err != nil {
			t.Fatal(err)
		}
		live := func(id string) bool { return id == "i1" }
		if err := h.Sweep(now.Add(keepFor-time.Hour), live); err != nil || !h.Store.kept("gone") {
			t.Errorf("removed too early, %v", err)
		}
		if err := h.Sweep(now.Add(keepFor+time.Hour), live); err != nil || h.Store.kept("gone") || !h.Store.kept("i1") {
			t.Errorf("gone kept %v, live kept %v, %v", h.Store.kept("gone"), h.Store.kept("i1"), err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("17 o hello")
	f.Add("x e ")
	f.Fuzz(func(t *testing.T, s string) {
		l, ok := decode(s)
		if !ok {
			return
		}
		again, ok := decode(string(encode(l)))
		if l.Text = strings.ReplaceAll(l.Text, "\n", " "); !ok || again != l {
			t.Errorf("%q: %+v, again %+v", s, l, again)
		}
	})
}
