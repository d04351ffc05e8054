package table

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/route"
)

func TestSnapshot_RoundTripsToTheSameBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tb, _ := Build(route.Version{Epoch: rapid.Int64().Draw(t, "epoch"), Seq: rapid.Int64().Draw(t, "seq")}, genEntries(t), Empty())
		data := EncodeSnapshot(tb)
		back, err := DecodeSnapshot(data)
		if err != nil || back.Version() != tb.Version() || !Equal(back, tb) || !bytes.Equal(EncodeSnapshot(back), data) {
			t.Fatalf("%v\n%s", err, data)
		}
	})
}

func TestSnapshot_CutOrChangedIsRefusedWhole(t *testing.T) {
	t.Parallel()
	data := EncodeSnapshot(mustBuild(t, map[string]string{"/rs/a.x": backend("a", "10.0.0.1:1"), "/rs/b.x": backend("b")}))
	for i := range data {
		if _, err := DecodeSnapshot(data[:i]); err == nil {
			t.Errorf("the first %d of %d bytes were accepted", i, len(data))
		}
		flipped := bytes.Clone(data)
		flipped[i] ^= 1
		if _, err := DecodeSnapshot(flipped); err == nil {
			t.Errorf("a changed byte %d was accepted", i)
		}
	}
}

func FuzzDecodeSnapshot(f *testing.F) {
	f.Add(EncodeSnapshot(Empty()))
	f.Add(EncodeSnapshot(mustBuild(f, map[string]string{"/rs/a.x": backend("a", "10.0.0.1:1"), "/cname/b.x": "a.x"})))
	f.Add([]byte(`{"version":{"epoch":1,"seq":2},"entries":{"/rs/a.x":"{}"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		DecodeSnapshot(in)
		// The sum guards the parser from nearly all inputs: fuzz what is behind it, too.
		signed := append([]byte(SnapshotHead(sha256.Sum256(in))), in...)
		tb, err := DecodeSnapshot(signed)
		if err != nil {
			return
		}
		again, err := DecodeSnapshot(EncodeSnapshot(tb))
		if err != nil || !Equal(tb, again) || again.Version() != tb.Version() {
			t.Errorf("%v: %q does not survive a round trip", err, in)
		}
	})
}

// FuzzApply feeds stream entries as Redis could hold them.
func FuzzApply(f *testing.F) {
	f.Add(route.EncodeBatch(route.Batch{Changes: []route.Change{set("/rs/a.x", backend("a", "10.0.0.1:1")), del("/cname/b.x")}}))
	f.Add(`{"epoch":1,"seq":2,"changes":[{"key":"/rs/","value":"x"},{"key":"/cname/A","value":"b"}]}`)
	base := mustBuild(f, map[string]string{"/rs/a.x": backend("a", "10.0.0.1:1"), "/cname/b.x": "a.x"})
	f.Fuzz(func(t *testing.T, in string) {
		b, err := route.DecodeBatch(in)
		if err != nil {
			return
		}
		next, _ := base.Apply(b)
		if gone, of := Withdrawn(base, next); gone > of {
			t.Errorf("%d of %d withdrawn", gone, of)
		}
		if back, err := DecodeSnapshot(EncodeSnapshot(next)); err != nil || !Equal(back, next) {
			t.Errorf("table after %q does not survive a round trip: %v", in, err)
		}
	})
}

func TestSnapshot_IsTheJSONOfAllEntriesInTheirOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tb, _ := Build(route.Version{Epoch: 3, Seq: rapid.Int64().Draw(t, "seq")}, genEntries(t), Empty())
		s := snapshot{Version: tb.version, Entries: map[string]string{}}
		for _, e := range tb.sorted() {
			s.Entries[e.key] = e.target
			if e.backend != nil {
				s.Entries[e.key] = route.EncodeBackend(e.backend.Route())
			}
		}
		body, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, _ := bytes.Cut(EncodeSnapshot(tb), []byte("\n")); !bytes.Equal(got, body) {
			t.Fatalf("got  %s\nwant %s", got, body)
		}
	})
}

func BenchmarkEncodeSnapshot_100000Hosts(b *testing.B) {
	tb := mustBuild(b, many(manyHosts))
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(EncodeSnapshot(tb))))
	}
}
