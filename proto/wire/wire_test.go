package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
)

func drawObserved(t *rapid.T) model.Observed {
	text := rapid.String()
	o := model.Observed{
		ID: text.Draw(t, "id"), Phase: model.Phase(rapid.IntRange(int(model.PhaseAssigned), int(model.PhaseGone)).Draw(t, "phase")),
		Gone: model.Gone(text.Draw(t, "gone")), ExitCode: int(rapid.Int32().Draw(t, "exit")), Code: model.Code(text.Draw(t, "code")), Message: text.Draw(t, "message"),
		Container: text.Draw(t, "container"), Addr: text.Draw(t, "addr"), CreatedAt: Time(rapid.Int64Range(0, 1<<45).Draw(t, "created")), StartedAt: Time(rapid.Int64Range(0, 1<<45).Draw(t, "started")),
	}
	o.Logs = rapid.SliceOfN(text, 0, 3).Draw(t, "logs")
	return o
}

// sent is a message after its way over the network.
func sent[M proto.Message](t interface{ Fatalf(string, ...any) }, m M, into M) M {
	b, err := proto.Marshal(m)
	if err == nil {
		err = proto.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatalf("%v: %v", m, err)
	}
	return into
}

func TestObserved_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := drawObserved(t)
		got := ToObserved(sent(t, FromObserved(o), new(pb.InstanceStatus)))
		if len(o.Logs) == 0 {
			o.Logs, got.Logs = nil, nil
		}
		if d := cmp.Diff(o, got); d != "" {
			t.Fatal(d)
		}
	})
}

// An app may log any bytes; protobuf refuses text that is not UTF-8, and one
// such line must not silence its agent.
func TestFromObserved_AnyBytesCanBeSent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "bytes")) })
		o := model.Observed{Message: text.Draw(t, "message"), Logs: []string{text.Draw(t, "log")}}
		got := ToObserved(sent(t, FromObserved(o), new(pb.InstanceStatus)))
		if !utf8.ValidString(got.Message + got.Logs[0]) {
			t.Fatalf("%+v arrived as %+v", o, got)
		}
		v := model.Verdict{Evidence: o.Message}
		ToVerdict(sent(t, FromVerdict(v), new(pb.HealthVerdict)))
	})
}

func TestToObserved_UnknownPhaseIsTheWeakestClaim(t *testing.T) {
	t.Parallel()
	for _, p := range []int32{-1, int32(model.PhaseGone) + 1, 1 << 30} {
		if got := ToObserved(&pb.InstanceStatus{Phase: p}); got.Phase != model.PhaseAssigned {
			t.Errorf("phase %d became %v", p, got.Phase)
		}
	}
	if got := ToObserved(nil); got.Phase != model.PhaseAssigned || got.ID != "" {
		t.Errorf("nothing became %+v", got)
	}
}

func FuzzToObserved(f *testing.F) {
	b, err := proto.Marshal(FromObserved(model.Observed{ID: "i1", Phase: model.PhaseGone, Gone: model.GoneOOM, ExitCode: 137, Logs: []string{"x"}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(pb.InstanceStatus)
		if proto.Unmarshal(b, m) != nil {
			return
		}
		o := ToObserved(m)
		if o.Phase < model.PhaseAssigned || o.Phase > model.PhaseGone {
			t.Fatalf("phase %d", o.Phase)
		}
		if d := cmp.Diff(o, ToObserved(sent(t, FromObserved(o), new(pb.InstanceStatus)))); d != "" {
			t.Fatal(d)
		}
	})
}

func TestVerdict_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := model.Verdict{InstanceID: rapid.String().Draw(t, "id"), Healthy: rapid.Bool().Draw(t, "healthy"), Since: Time(rapid.Int64().Draw(t, "since")), Evidence: rapid.String().Draw(t, "evidence"),
			Answers: time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "answers")) * time.Millisecond}
		if got := ToVerdict(sent(t, FromVerdict(v), new(pb.HealthVerdict))); got != v {
			t.Fatalf("%+v came back as %+v", v, got)
		}
	})
}

func TestMillis(t *testing.T) {
	t.Parallel()
	if Millis(time.Time{}) != 0 || !Time(0).IsZero() {
		t.Error("never is not 0")
	}
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(-1<<50, 1<<50).Draw(t, "ms")
		if got := Millis(Time(ms)); got != ms {
			t.Fatalf("%d became %d", ms, got)
		}
	})
}

func TestDigest_IsOfTheSet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfNDistinct(rapid.Custom(drawObserved), 1, 6, func(o model.Observed) string { return o.ID }).Draw(t, "set")
		want := Digest(set)
		mixed := append([]model.Observed(nil), set...)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		before := append([]model.Observed(nil), mixed...)
		if !bytes.Equal(Digest(mixed), want) || len(want) != 16 || cmp.Diff(before, mixed) != "" {
			t.Fatal("the order matters, or the input was changed")
		}
		i := rapid.IntRange(0, len(set)-1).Draw(t, "i")
		for name, edit := range map[string]func(*model.Observed){
			"phase": func(o *model.Observed) { o.Phase = (o.Phase + 1) % (model.PhaseGone + 1) },
			"addr":  func(o *model.Observed) { o.Addr += "x" },
			"id":    func(o *model.Observed) { o.ID += "\x01never" },
		} {
			other := append([]model.Observed(nil), set...)
			if edit(&other[i]); bytes.Equal(Digest(other), want) {
				t.Fatalf("another %s has the same digest", name)
			}
		}
		if bytes.Equal(Digest(set[1:]), want) {
			t.Fatal("a missing instance has the same digest")
		}
	})
	if !bytes.Equal(Digest(nil), Digest([]model.Observed{})) {
		t.Error("none is not none")
	}
}

func TestRefuse_ComesWholeToTheCaller(t *testing.T) {
	e := model.E(model.CodeNotFound, "no node is in zone %q", "z").WithEvidence("zone a: 2 nodes").WithNext("dinp nodes shows the zones")
	got := Refused(Refuse(e))
	if got == nil || got.Code != e.Code || got.Message != e.Message || len(got.Evidence) != 1 || got.Next != e.Next {
		t.Errorf("got %+v, sent %+v", got, e)
	}
	if Refused(errors.New("away")) != nil || Refused(nil) != nil {
		t.Error("a refusal out of nothing")
	}
}
