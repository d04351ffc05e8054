package stats

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dinp/dinp/common/histogram"
	"github.com/dinp/dinp/common/route"
)

var now = time.Unix(1_800_000_000, 0)

func TestRecorder_CountsByAppReleaseAndClass(t *testing.T) {
	t.Parallel()
	var r Recorder
	for _, o := range []struct {
		release, status int
		took            time.Duration
	}{{1, 200, time.Millisecond}, {1, 502, time.Second}, {2, 200, time.Millisecond}, {2, 499, time.Minute}, {2, 101, time.Hour}} {
		r.Of(Key{"shop", o.release}).Observe(o.status, o.took, now)
	}
	lines, omitted := r.Lines(now)
	if len(lines) != 2 || omitted != 0 {
		t.Fatalf("%+v, %d", lines, omitted)
	}
	two, one := lines[0], lines[1]
	if one.Requests != 2 || one.Failed != 1 || two.Requests != 3 || two.Failed != 0 {
		t.Errorf("%+v", lines)
	}
	c, err := histogram.Decode(two.Latency)
	if err != nil || c.Total() != 2 {
		t.Errorf("an upgraded connection's life is a latency: %q %v", two.Latency, err)
	}
}

func TestRecorder_CountsRightlyUnderRaces(t *testing.T) {
	t.Parallel()
	var r Recorder
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 2000 {
				r.Of(Key{fmt.Sprint("app", n%50), i % 2}).Observe(200, time.Duration(n)*time.Microsecond, now)
			}
		})
	}
	wg.Wait()
	var sum uint64
	for _, s := range r.Snapshots() {
		sum += s.Requests()
		if s.Counts.Total() != s.Requests() {
			t.Errorf("%v: %d counted, %d timed", s.Key, s.Requests(), s.Counts.Total())
		}
	}
	if sum != 8000 {
		t.Errorf("%d requests, want 8000", sum)
	}
}

func TestRecorder_AppsThatLeaveAndOldReleasesAreForgotten(t *testing.T) {
	t.Parallel()
	var r Recorder
	for release := range 20 {
		r.Of(Key{"shop", release}).Observe(200, 0, now.Add(time.Duration(release)*time.Second))
	}
	r.Of(Key{"blog", 1}).Observe(200, 0, now)
	seen := map[int]bool{}
	for _, s := range r.Snapshots() {
		if s.App == "shop" {
			seen[s.Release] = true
		}
	}
	if len(seen) != maxReleases || !seen[19] || seen[0] {
		t.Errorf("releases kept: %v", seen)
	}
	r.Forget("shop")
	if all := r.Snapshots(); len(all) != 1 || all[0].App != "blog" {
		t.Errorf("left: %v", all)
	}
}

func TestLines_AreBoundedAndSayWhatTheyLeaveOut(t *testing.T) {
	t.Parallel()
	var r Recorder
	for i := range route.MaxAppLines + 7 {
		s := r.Of(Key{fmt.Sprint("app", i), 1})
		for range i % 3 {
			s.Observe(200, time.Millisecond, now)
		}
		s.Observe(200, time.Millisecond, now)
	}
	r.Of(Key{"idle", 1}).Observe(200, 0, now.Add(-recent))
	lines, omitted := r.Lines(now)
	if len(lines) != route.MaxAppLines || omitted != 7 || lines[0].Requests != 3 || lines[len(lines)-1].Requests != 1 || lines[0].Since != now.Unix() {
		t.Errorf("%d lines, %d omitted, the first %+v", len(lines), omitted, lines[0])
	}
	text := route.EncodeRouterLine(route.RouterLine{Apps: lines})
	if len(text) > 300*len(lines) {
		t.Errorf("the line takes %d bytes", len(text))
	}
}

func TestCollect_IsConsistentAndAddsUp(t *testing.T) {
	t.Parallel()
	var r Recorder
	for i := range 100 {
		r.Of(Key{"shop", 1 + i%2}).Observe(200, time.Duration(i)*10*time.Millisecond, now)
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(&r)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasSuffix(f.GetName(), "_seconds") {
			h := f.Metric[0].GetHistogram()
			last := h.Bucket[len(h.Bucket)-1]
			if h.GetSampleCount() != 100 || last.GetCumulativeCount() != 100 || len(h.Bucket) != 19 {
				t.Errorf("%s: %v", f.GetName(), h)
			}
			for _, b := range h.Bucket {
				want := uint64(0)
				for i := range 100 {
					if float64(i)*0.01 < b.GetUpperBound() {
						want++
					}
				}
				if b.GetCumulativeCount() != want {
					t.Errorf("%s: %d below %v, want %d", f.GetName(), b.GetCumulativeCount(), b.GetUpperBound(), want)
				}
			}
		}
	}
}

func TestObserve_AllocatesNothing(t *testing.T) {
	var r Recorder
	k := Key{"shop", 3}
	r.Of(k)
	if n := testing.AllocsPerRun(1000, func() { r.Of(k).Observe(200, time.Millisecond, now) }); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var r Recorder
	k := Key{"shop", 3}
	b.ReportAllocs()
	for b.Loop() {
		r.Of(k).Observe(200, time.Millisecond, now)
	}
}
