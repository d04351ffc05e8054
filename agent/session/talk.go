package session

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/follow"
	"github.com/dinp/dinp/proto/wire"
)

// Talk is what is said and believed in one session, apart from the wire: who
// sends and receives, and when, is a shell around it. Hear and Obey belong to
// the one that receives, the rest to the one that sends.
type Talk struct {
	node Node

	// Set by Welcomed, constant afterwards.
	Session string
	Epoch   int64
	Leader  string
	Period  time.Duration // of the heartbeat

	heard uint64 // seq of the last message received
	seq   uint64 // of the last message sent
	hello time.Time
	// told is what the leader knows by our last words: the heartbeat's digest
	// is over it, not over the set, which may be ahead.
	told map[string]model.Observed
}

// NewTalk returns a talk that has not begun.
func NewTalk(node Node) *Talk { return &Talk{node: node, told: map[string]model.Observed{}} }

// Welcomed takes the server's first message in. A leader that another has
// followed is refused (rule R3).
func (t *Talk) Welcomed(m *pb.ServerMessage) error {
	if n := m.GetNotLeader(); n != nil {
		return &follow.Moved{Addr: n.GetAddress()}
	}
	w := m.GetWelcome()
	if w == nil {
		return errors.New("the server's first word is no welcome")
	}
	if err := t.node.Journal.Admit(m.GetEpoch(), m.GetLeaderId()); err != nil {
		return err
	}
	t.node.Journal.Told(m.GetEpoch(), m.GetWrittenMs())
	t.Session, t.Epoch, t.Leader, t.heard = m.GetSession(), m.GetEpoch(), m.GetLeaderId(), m.GetSeq()
	if t.Period = time.Duration(w.GetHeartbeatMs()) * time.Millisecond; t.Period <= 0 {
		t.Period = defaultPeriod
	}
	if p := t.node.Permit; p != nil {
		p.Open(t.hello, time.Duration(w.GetLostMs())*time.Millisecond)
	}
	return nil
}

// Hear decides whether a message is to be obeyed. It refuses a leader that
// another has followed, and notices a gap; both end the session.
func (t *Talk) Hear(m *pb.ServerMessage) (obey bool, err error) {
	if n := m.GetNotLeader(); n != nil {
		return false, &follow.Moved{Addr: n.GetAddress()}
	}
	if err := t.node.Journal.Admit(m.GetEpoch(), m.GetLeaderId()); err != nil {
		return false, err
	}
	if want := t.heard + 1; m.GetSeq() != want {
		return false, fmt.Errorf("message %d follows %d: an order is missing", m.GetSeq(), t.heard)
	}
	t.heard = m.GetSeq()
	t.node.Journal.Told(m.GetEpoch(), m.GetWrittenMs())
	if m.GetSession() != t.Session {
		return false, nil
	}
	if p := t.node.Permit; p != nil {
		p.Heard(m.GetHeard())
	}
	return true, nil
}

// Obey carries out an order about instances or images; resync says that all is to be told
// anew. Other orders are not for it.
func (t *Talk) Obey(m *pb.ServerMessage, now time.Time) (resync bool) {
	switch b := m.GetBody().(type) {
	case *pb.ServerMessage_Start:
		t.node.Set.Start(toSpec(b.Start), now)
	case *pb.ServerMessage_Stop:
		o := b.Stop
		t.node.Set.Stop(o.GetInstanceId(), millis(o.GetDrainMs()), millis(o.GetGraceMs()), o.GetReason(), now)
	case *pb.ServerMessage_Forget:
		t.node.Set.Forget(b.Forget.GetInstanceIds(), now)
	case *pb.ServerMessage_Needed:
		if t.node.Images != nil {
			t.node.Images.Answered(b.Needed.GetKeep(), b.Needed.GetFree(), now)
		}
	case *pb.ServerMessage_Resync:
		return true
	}
	return false
}

// Stamp numbers a message; it is to be sent next, at now.
func (t *Talk) Stamp(m *pb.AgentMessage, now time.Time) *pb.AgentMessage {
	t.seq++
	m.Seq = t.seq
	if p := t.node.Permit; p != nil && m.GetHeartbeat() != nil {
		p.Ask(t.seq, now)
	}
	return m
}

// Hello is the first message, sent at now.
func (t *Talk) Hello(now time.Time) *pb.AgentMessage {
	t.hello = now
	return &pb.AgentMessage{Body: &pb.AgentMessage_Hello{Hello: t.node.Hello()}}
}

// Sync tells all there is, after a fresh look at the engine. What changes from
// here on is in the outbox again.
func (t *Talk) Sync() *pb.AgentMessage {
	t.node.Outbox.Take()
	d := t.node.Docker()
	msg := &pb.Sync{DockerOk: d.OK, DockerError: d.Error, Disk: t.disk(), Engine: d.Turns}
	t.told = map[string]model.Observed{}
	room := maxSyncLogs
	for _, o := range t.node.Set.Snapshot() {
		for _, l := range o.Logs {
			room -= len(l)
		}
		if room < 0 {
			o.Logs = nil // they went with the report already
		}
		t.told[o.ID] = brief(o)
		msg.Instances = append(msg.Instances, wire.FromObserved(o))
	}
	return &pb.AgentMessage{Body: &pb.AgentMessage_Sync{Sync: msg}}
}

// Report tells what the outbox names, as it is now.
func (t *Talk) Report() []*pb.AgentMessage {
	var changed []*pb.InstanceStatus
	for _, id := range t.node.Outbox.Take() {
		o, known := t.node.Set.Find(id)
		if !known {
			delete(t.told, id) // forgotten by the leader's order
			continue
		}
		t.told[id] = brief(o)
		changed = append(changed, wire.FromObserved(o))
	}
	var out []*pb.AgentMessage
	for part := range slices.Chunk(changed, maxReport) {
		out = append(out, &pb.AgentMessage{Body: &pb.AgentMessage_Report{Report: &pb.Report{Instances: part}}})
	}
	return out
}

// Beat is the heartbeat, after what it is a digest of, and a question about images
// if there is one.
func (t *Talk) Beat() []*pb.AgentMessage {
	out, d := t.Report(), t.node.Docker()
	out = append(out, &pb.AgentMessage{Body: &pb.AgentMessage_Heartbeat{Heartbeat: &pb.Heartbeat{
		Digest: wire.Digest(slices.Collect(maps.Values(t.told))), DockerOk: d.OK, DockerError: d.Error, Disk: t.disk(), Engine: d.Turns,
		Answer: len(t.node.Set.Singletons()) > 0,
	}}})
	if t.node.Images == nil {
		return out
	}
	if unused, keep := t.node.Images.Question(); len(unused) > 0 {
		out = append(out, &pb.AgentMessage{Body: &pb.AgentMessage_Unused{Unused: &pb.Unused{Images: unused, Keep: int32(min(keep, math.MaxInt32))}}})
	}
	return out
}

func (t *Talk) disk() string {
	if t.node.Disk == nil {
		return ""
	}
	return t.node.Disk()
}

// brief keeps what the digest is about.
func brief(o model.Observed) model.Observed {
	return model.Observed{ID: o.ID, Phase: o.Phase, Addr: o.Addr}
}
