package dispatch

import (
	"testing"
	"time"

	pb "github.com/dinp/dinp/proto/dinp/v1"
)

func TestPulse_NotesOnlyBeatsThatSayTheSame(t *testing.T) {
	t.Parallel()
	t0 := time.Unix(1_900_000_000, 0)
	like := Beat{Digest: []byte("0123456789abcdef"), DockerOK: true, Disk: "short", Engine: 3}
	same := func() *pb.Heartbeat {
		return &pb.Heartbeat{Digest: []byte("0123456789abcdef"), DockerOk: true, Disk: "short", Engine: 3}
	}
	p := NewPulse(t0)
	if p.Take(same(), t0) || !p.Heard().IsZero() {
		t.Error("a beat was noted before one could say the same")
	}
	p.Calm(like)
	if !p.Take(same(), t0.Add(5*time.Second)) || !p.Heard().Equal(t0.Add(5*time.Second)) {
		t.Errorf("the same was not noted: heard at %s", p.Heard())
	}
	for what, change := range map[string]func(*pb.Heartbeat){
		"instances":   func(h *pb.Heartbeat) { h.Digest[0]++ },
		"engine down": func(h *pb.Heartbeat) { h.DockerOk = false },
		"its error":   func(h *pb.Heartbeat) { h.DockerError = "away" },
		"disk":        func(h *pb.Heartbeat) { h.Disk = "" },
		"restarted":   func(h *pb.Heartbeat) { h.Engine++ },
	} {
		h := same()
		change(h)
		if p.Take(h, t0.Add(time.Minute)) {
			t.Errorf("%s: news was only noted", what)
		}
	}
	if p.Take(nil, t0.Add(time.Minute)) {
		t.Error("what is no beat was taken for one")
	}
	p.Alert()
	if p.Take(same(), t0.Add(time.Minute)) || !p.Heard().Equal(t0.Add(5*time.Second)) {
		t.Error("a beat was noted though it was to be an event")
	}
	if p.Calm(like); !p.Take(same(), t0) || p.Heard().IsZero() {
		t.Error("a beat at the very beginning was not noted")
	}
}

// The agent's permit for singletons hangs on its beats being acknowledged (R11).
func TestSession_ABeatThatSaysNothingNewIsAcknowledgedAndNoEvent(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t)
	stream := e.agent(t, "n1")
	opened := next[SessionOpened](t, e)
	opened.Pulse.Calm(Beat{Digest: []byte("d"), DockerOK: true})
	beat := func(seq uint64, h *pb.Heartbeat) {
		if err := stream.Send(&pb.AgentMessage{Seq: seq, Body: &pb.AgentMessage_Heartbeat{Heartbeat: h}}); err != nil {
			t.Fatal(err)
		}
	}
	beat(2, &pb.Heartbeat{Digest: []byte("d"), DockerOk: true, Answer: true})
	beat(3, &pb.Heartbeat{Digest: []byte("new"), DockerOk: true})
	for heard := uint64(0); heard != 2; {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		heard = m.GetHeard()
	}
	if got := next[Beat](t, e); string(got.Digest) != "new" {
		t.Errorf("the first event is a beat of digest %q", got.Digest)
	}
	if opened.Pulse.Heard().IsZero() {
		t.Error("the first beat was not noted")
	}
}
