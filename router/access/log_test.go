package access

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

var at = time.Date(2026, 3, 1, 12, 30, 5, 78_000_000, time.UTC)

func TestJSON_EveryLineIsJSONAndSaysWhatTheRecordSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Record{
			Host: rapid.String().Draw(t, "host"), App: "shop", Release: 7, Client: "192.0.2.1", Method: rapid.StringN(0, 10, 40).Draw(t, "method"),
			Path: string(rapid.SliceOf(rapid.Byte()).Draw(t, "path")), Status: 200, Bytes: rapid.Int64().Draw(t, "bytes"), Attempts: 1,
			Duration: time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "took")), RequestID: "id",
		}
		s := stamp{layout: layoutJSON}
		line := appendJSON(nil, &r, at, &s)
		var got struct {
			Time, Host, App, Method, Path string
			Release, Status               int
			Bytes                         int64
			MS                            float64
		}
		if err := json.Unmarshal(line, &got); err != nil || bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("%q: %v", line, err)
		}
		if want := strings.ToValidUTF8(r.Path, "\uFFFD"); utf8.ValidString(r.Path) && len(r.Path) < maxText && got.Path != want {
			t.Fatalf("path %q, want %q", got.Path, want)
		}
		if got.Bytes != r.Bytes || got.App != "shop" || got.Release != 7 || got.Time != "2026-03-01T12:30:05.078Z" || got.MS != float64(r.Duration.Microseconds())/1000 {
			t.Fatalf("%s is read as %+v", line, got)
		}
	})
}

func TestCombined_LooksAsToolsExpectAndEndsNowhereButAtItsEnd(t *testing.T) {
	t.Parallel()
	r := Record{Client: "192.0.2.1", Method: "GET", Path: "/a\"\n\\b", Proto: "HTTP/1.1", Status: 404, Bytes: 12, UserAgent: "curl/8"}
	s := stamp{layout: layoutCombined}
	got := string(appendCombined(nil, &r, at, &s))
	want := `192.0.2.1 - - [01/Mar/2026:12:30:05 +0000] "GET /a\x22\x0a\x5cb HTTP/1.1" 404 12 "-" "curl/8"` + "\n"
	if got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

// disk is a file that can be made to hang.
type disk struct {
	mu    sync.Mutex
	b     bytes.Buffer
	stuck chan struct{}
}

func (d *disk) Write(p []byte) (int, error) {
	if d.stuck != nil {
		<-d.stuck
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.b.Write(p)
}

func TestLog_ADiskThatHangsHoldsNothingUpAndLosesCountedLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{stuck: make(chan struct{})}
		l := New(d, JSON)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		const n = 60_000
		r := Record{Path: strings.Repeat("x", 1000)}
		for range n {
			l.Write(&r, time.Now())
		}
		close(d.stuck)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		written := uint64(bytes.Count(d.b.Bytes(), []byte("\n")))
		if l.Dropped() == 0 || written+l.Dropped() != n {
			t.Errorf("%d written, %d dropped, of %d", written, l.Dropped(), n)
		}
		if most := 3 * maxPending; d.b.Len() > most {
			t.Errorf("%d bytes were kept, at most %d may be", d.b.Len(), most)
		}
	})
}

func TestLog_WritesAllLinesOfManyWritersWholeAndOnce(t *testing.T) {
	t.Parallel()
	d := &disk{}
	l := New(d, JSON)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				l.Write(&Record{Path: "/"}, time.Now())
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for line := range bytes.Lines(d.b.Bytes()) {
		if !json.Valid(line) {
			t.Fatalf("%q", line)
		}
	}
	if n := bytes.Count(d.b.Bytes(), []byte("\n")); n != 4000 {
		t.Errorf("%d lines, want 4000", n)
	}
}

func TestLog_WritingAllocatesNothing(t *testing.T) {
	l := New(&disk{}, JSON)
	r := Record{Host: "shop.example.com", App: "shop", Release: 3, Client: "192.0.2.1", Method: "GET", Path: "/some/path", Proto: "HTTP/1.1", Status: 200, Bytes: 512, RequestID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
	l.pending = make([]byte, 0, maxPending+4096)
	l.Write(&r, at) // the stamp's text
	if n := testing.AllocsPerRun(1000, func() { l.Write(&r, at) }); n != 0 {
		t.Errorf("%v allocations a line", n)
	}
}

func BenchmarkWrite(b *testing.B) {
	l := New(&disk{}, JSON)
	l.pending = make([]byte, 0, maxPending+4096)
	r := Record{Host: "shop.example.com", App: "shop", Release: 3, Instance: "0b9d3c1e-1111-4222-8333-444455556666", Client: "192.0.2.1", Method: "GET", Path: "/some/path", Proto: "HTTP/1.1", Status: 200, Bytes: 512, Attempts: 1, Duration: 1234567, RequestID: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
	b.ReportAllocs()
	for b.Loop() {
		l.Write(&r, at)
		if len(l.pending) > maxPending/2 {
			l.pending = l.pending[:0]
		}
	}
}
