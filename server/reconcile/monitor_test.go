package reconcile

import (
	"testing"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/dispatch"
)

// monitorStream is one stream of the monitor "h".
type monitorStream struct {
	told   []*pb.HealthTargets
	closed bool
}

func (*monitorStream) ID() string                       { return "h" }
func (s *monitorStream) Targets(m *pb.HealthTargets)    { s.told = append(s.told, m) }
func (s *monitorStream) Close(error)                    { s.closed = true }
func (s *monitorStream) opened() dispatch.MonitorOpened { return dispatch.MonitorOpened{Monitor: s} }

func (s *monitorStream) says(id string, healthy bool) dispatch.Judged {
	return dispatch.Judged{Monitor: s, Verdicts: []model.Verdict{{InstanceID: id, Healthy: healthy}}}
}

// A leader that stood still finds several streams of one monitor and takes them in
// any order: the one that the monitor has given up must not be the one that is
// told, and then nobody.
func TestMonitor_WhoseStreamsAreTakenInAnyOrderIsToldAll(t *testing.T) {
	r := newRig(t)
	living, givenUp := &monitorStream{}, &monitorStream{}
	r.core.Handle(t.Context(), living.opened())
	r.core.Handle(t.Context(), givenUp.opened())
	if !living.closed {
		t.Fatal("the living stream is not ended, and tells its monitor nothing any more")
	}
	r.core.Handle(t.Context(), dispatch.MonitorClosed{Monitor: givenUp})
	r.core.Handle(t.Context(), dispatch.MonitorClosed{Monitor: living})
	again := &monitorStream{}
	r.core.Handle(t.Context(), again.opened())
	r.node("n1", 4096)
	r.deploy("web", 1)
	r.settle()
	if len(again.told) < 2 || !again.told[0].GetFull() || again.closed {
		t.Errorf("the stream by which the monitor came back was told %v, ended %v", again.told, again.closed)
	}
}

func TestMonitor_OnlyItsPresentStreamJudges(t *testing.T) {
	r := newRig(t)
	r.node("n1", 4096)
	r.deploy("web", 1)
	r.settle()
	id := r.inserted[0].ID
	old, present := &monitorStream{}, &monitorStream{}
	r.core.Handle(t.Context(), old.opened())
	r.core.Handle(t.Context(), old.says(id, true))
	r.core.Handle(t.Context(), present.opened())
	r.core.Handle(t.Context(), present.says(id, false))
	r.core.Handle(t.Context(), old.says(id, true)) // was under way
	r.core.Handle(t.Context(), dispatch.MonitorClosed{Monitor: present})
	r.core.Handle(t.Context(), old.says(id, true))
	r.core.Handle(t.Context(), dispatch.Judged{Monitor: fakeMonitor{}, Verdicts: []model.Verdict{{InstanceID: id}}})
	if v := r.core.cluster.Verdict(id); v.Healthy {
		t.Error("a stream that is over keeps an instance healthy for which nobody vouches")
	}
}
