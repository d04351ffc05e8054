package dispatch

import (
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/wire"
)

// Inlet watches the numbers of one session's messages. After a gap everything
// but a full sync is dropped: a change that was missed makes later ones lie.
type Inlet struct {
	seq uint64 // of the last message
	gap bool
}

// NewInlet begins after the hello, whose number is seq.
func NewInlet(seq uint64) *Inlet { return &Inlet{seq: seq} }

// Admit reports whether a message may be believed, and whether the agent is to
// be asked for a full sync. What was overtaken is dropped, a full sync too: what came
// before it is newer, and all was asked for when it was missed.
func (i *Inlet) Admit(m *pb.AgentMessage) (take, resync bool) {
	switch {
	case m.GetSeq() <= i.seq:
		return false, false
	case m.GetSeq() != i.seq+1:
		i.gap, resync = true, true
	}
	i.seq = m.GetSeq()
	if m.GetSync() != nil {
		i.gap = false
	}
	return !i.gap, resync
}

// EventOf is what a message means to the reconciler; nil for nothing.
func EventOf(s Session, m *pb.AgentMessage) Event {
	switch b := m.GetBody().(type) {
	case *pb.AgentMessage_Sync:
		return Synced{s, observed(b.Sync.GetInstances()), b.Sync.GetDockerOk(), b.Sync.GetDockerError(), b.Sync.GetDisk(), b.Sync.GetEngine()}
	case *pb.AgentMessage_Report:
		return Reported{s, observed(b.Report.GetInstances())}
	case *pb.AgentMessage_Heartbeat:
		return Beat{s, b.Heartbeat.GetDigest(), b.Heartbeat.GetDockerOk(), b.Heartbeat.GetDockerError(), b.Heartbeat.GetDisk(), b.Heartbeat.GetEngine()}
	case *pb.AgentMessage_Unused:
		return Unused{s, b.Unused.GetImages(), int(b.Unused.GetKeep())}
	}
	return nil
}

func observed(in []*pb.InstanceStatus) []model.Observed {
	out := make([]model.Observed, len(in))
	for i, v := range in {
		out[i] = wire.ToObserved(v)
	}
	return out
}
