package store

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/test/testenv"
)

func TestWorld_HasOfEachInstanceWhatWasWritten(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		l := lead(t, s, "a")
		ended := placed(3, "a2", 0, model.Surge)
		ended.Stopping, ended.StoppedAt, ended.Reason = true, t0.Add(time.Second), model.ReasonReplaced
		want := []model.Instance{placed(1, "a1", 0, model.Primary), placed(2, "a1", 1, model.Suspect), ended}
		check(t, s.Apply(ctx, l, Control{Insert: want}))
		w, err := s.World(ctx)
		check(t, err)
		if d := cmp.Diff(want, w.Instances); d != "" {
			t.Error(d)
		}
		one, err := s.Instances(ctx, "a2") // the other way to read them says the same
		check(t, err)
		if d := cmp.Diff(w.Instances[2:], one); d != "" {
			t.Error(d)
		}
	})
}

// BenchmarkWorld reads 100,000 rows of a MariaDB, as a leader does that begins.
func BenchmarkWorld(b *testing.B) {
	s, err := Open(b.Context(), "mysql:"+testenv.MariaDB(b))
	check(b, err)
	defer s.Close()
	const all = 100_000
	l, rows := lead(b, s, "a"), make([]model.Instance, all)
	for i := range rows {
		app, now := i/50, time.UnixMilli(1_800_000_000_000)
		rows[i] = model.Instance{
			ID: NewID(), AppID: fmt.Sprintf("%036d", app), ReleaseID: fmt.Sprintf("%036d", app+all), Slot: i % 50, Role: model.Primary,
			NodeID: fmt.Sprintf("node-%08d", i*7919%1000), Epoch: 7, CreatedAt: now,
		}
	}
	for some := range slices.Chunk(rows, 2000) {
		check(b, s.Apply(b.Context(), l, Control{Insert: some}))
	}
	var kept World
	before := held()
	for b.Loop() {
		kept, err = s.World(b.Context())
		check(b, err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*all), "ns/instance")
	b.ReportMetric(float64(held()-before)/float64(len(kept.Instances)), "B-kept/instance")
	runtime.KeepAlive(kept)
}

func held() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
