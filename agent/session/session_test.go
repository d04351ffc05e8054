package session

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/agent/session/leadertest"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/proto/pki/pkitest"
	"github.com/dinp/dinp/test/testenv"
)

func TestSession_StartsReportsAndStops(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	newAgent(t, l.Addr)
	l.Connected(1)
	l.Order(l.Start("i1"))
	l.UntilPhase("i1", model.PhaseRunning)
	l.Order(l.Stop("i1"))
	l.UntilPhase("i1", model.PhaseGone)
	l.Order(&pb.ServerMessage{Body: &pb.ServerMessage_Forget{Forget: &pb.Forget{InstanceIds: []string{"i1"}}}})
	l.Lock()
	delete(l.View, "i1")
	l.Matched = 0
	l.Unlock()
	l.Until("the digest still holds the forgotten one", func() bool { return l.Matched > 0 })
}

func TestSession_HeartbeatDigestIsOfWhatTheLeaderWasTold(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	a := newAgent(t, l.Addr)
	l.Connected(1)
	for _, id := range []string{"i1", "i2", "i3"} {
		l.Order(l.Start(id))
		l.UntilPhase(id, model.PhaseRunning)
	}
	a.engine.Exit("i2", 1, false)
	a.set.Poke("i2")
	l.UntilPhase("i2", model.PhaseGone)
	l.Lock()
	before := l.Matched
	l.Unlock()
	l.Until("digests differ", func() bool { return l.Matched > before && l.Beat.GetDockerOk() })
}

func TestSession_Follower_SendsTheAgentToTheLeader(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	f := leadertest.New(t, cluster, "B", 5)
	f.Moved = l.Addr
	newAgent(t, f.Addr)
	l.Connected(1)
}

func TestSession_DeadServer_TheNextIsTried(t *testing.T) {
	dead, l := leadertest.New(t, cluster, "A", 4), leadertest.New(t, cluster, "B", 5)
	dead.Server.Stop()
	newAgent(t, dead.Addr, l.Addr)
	l.Connected(1)
}

// DEFECTS 13: two servers were obeyed in turn.
func TestSession_StaleLeader_IsNotObeyed(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	a := newAgent(t, l.Addr)
	l.Connected(1)
	for name, stale := range map[string]*leadertest.Leader{"lower epoch": leadertest.New(t, cluster, "B", 4), "second leader of the epoch": leadertest.New(t, cluster, "C", 5)} {
		a.down()
		a.up(cluster, stale.Addr)
		testenv.Eventually(t, patience, func() error {
			if s := a.State(); !strings.Contains(s.LastError, "stale epoch") {
				return errors.New(s.LastError)
			}
			return nil
		})
		if stale.Lock(); len(stale.Syncs) > 0 {
			t.Errorf("%s: it was told the node's state", name)
		}
		stale.Unlock()
	}
}

func TestSession_LeaderIsOvertakenWithinASession_ItsOrdersAreRefused(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	a := newAgent(t, l.Addr)
	l.Connected(1)
	newer := l.Start("i1")
	newer.Epoch = 9
	l.Order(newer)
	l.UntilPhase("i1", model.PhaseRunning)
	l.Order(l.Start("i2")) // epoch 5 again
	l.Until("the session goes on", func() bool { return l.Sessions > 1 || strings.Contains(a.State().LastError, "stale") })
	if _, known := a.set.Find("i2"); known {
		t.Error("an order of epoch 5 was obeyed after one of epoch 9")
	}
}

// R3: the epoch is on disk before the order takes effect.
func TestSession_EpochOutlivesTheAgent(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 7)
	a := newAgent(t, l.Addr)
	l.Connected(1)
	a.down()
	a.up(cluster, l.Addr)
	l.Connected(2)
	l.Until("hello names no epoch", func() bool { return l.Hello.GetMaxEpoch() == 7 && l.Hello.GetLeaderId() == "A" })
}

func TestSession_OrderOfAnotherSession_IsRefused(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	a := newAgent(t, l.Addr)
	l.Connected(1)
	other := l.Start("late")
	other.Session = "A-0"
	l.Order(other)
	l.Order(l.Start("i1"))
	l.UntilPhase("i1", model.PhaseRunning)
	if _, known := a.set.Find("late"); known {
		t.Error("an order of another session was obeyed")
	}
}

func TestSession_MissingOrder_EndsTheSessionAndSyncsAnew(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	newAgent(t, l.Addr)
	l.Connected(1)
	gap := l.Start("i1")
	gap.Seq = 99
	l.Order(gap)
	l.Connected(2)
}

func TestSession_Resync_TellsAll(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	newAgent(t, l.Addr)
	l.Connected(1)
	l.Order(l.Start("i1"))
	l.UntilPhase("i1", model.PhaseRunning)
	l.Order(&pb.ServerMessage{Body: &pb.ServerMessage_Resync{Resync: &pb.Resync{}}})
	l.Until("no second sync", func() bool { return len(l.Syncs) == 2 && len(l.Syncs[1].GetInstances()) == 1 })
}

// DEFECTS 12, 37: agents came back after minutes, or never.
func TestSession_ServerRestarts_InstancesRunOnAndAreSynced(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	a := newAgent(t, l.Addr)
	l.Connected(1)
	l.Order(l.Start("i1"))
	l.UntilPhase("i1", model.PhaseRunning)
	l.Restart()
	l.Connected(2)
	l.Until("the sync lacks the instance", func() bool { return l.View["i1"].Phase == model.PhaseRunning })
	if a.engine.Made() != 1 {
		t.Errorf("%d containers made", a.engine.Made())
	}
}

// DEFECTS 35: a failed Docker list made the node look empty.
func TestSession_EngineDown_IsAConditionNotAnEmptyNode(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	a := newAgent(t, l.Addr)
	l.Connected(1)
	l.Order(l.Start("i1"))
	l.UntilPhase("i1", model.PhaseRunning)
	a.down()
	a.docker = Docker{Error: "connection refused"}
	a.up(cluster, l.Addr)
	l.Connected(2)
	l.Until("not told", func() bool {
		s := l.Syncs[1]
		return !s.GetDockerOk() && s.GetDockerError() == "connection refused" && l.View["i1"].Phase == model.PhaseRunning &&
			l.Beat != nil && !l.Beat.GetDockerOk()
	})
}

// DEFECTS 38: anyone could speak for any host.
func TestSession_CertificateOfAnotherCluster_IsRefusedAndSaysSo(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	a := newAgent(t, l.Addr)
	l.Connected(1)
	a.down()
	a.up(pkitest.New(), l.Addr)
	testenv.Eventually(t, patience, func() error {
		if s := a.State(); s.Connected || !strings.Contains(s.LastError, "not a server of our cluster") {
			return errors.New(s.LastError)
		}
		return nil
	})
}

// A server that ends a session says why, and gRPC alone would not tell: an agent
// whose node was forgotten logged EOF.
func TestSession_EndedByTheServer_SaysTheServersReason(t *testing.T) {
	for _, late := range []bool{false, true} {
		l := leadertest.New(t, cluster, "A", 5)
		l.Ends, l.Late = errors.New("this node was forgotten; take it back first: dinp node n1 uncordon"), late
		a := newAgent(t, l.Addr)
		testenv.Eventually(t, patience, func() error {
			if s := a.State(); s.LastError != l.Ends.Error() {
				return fmt.Errorf("after the welcome: %v; the agent knows: %s", late, s.LastError)
			}
			return nil
		})
	}
}

// An agent whose certificate has expired is refused, also when it asks for another:
// somebody joins its host again, and it goes on without being started anew.
func TestSession_ExpiredCertificate_WhatANewJoinLeavesIsTaken(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	a := newAgent(t, l.Addr)
	l.Connected(1)
	a.down()
	path := filepath.Join(t.TempDir(), "identity.pem")
	a.upAs(cluster.KeptFor(pki.RoleAgent, "n1", -time.Minute, path), l.Addr)
	testenv.Eventually(t, patience, func() error {
		if s := a.State(); s.Connected || !strings.Contains(s.LastError, "certificate of agent n1 is good from") {
			return errors.New(s.LastError)
		}
		return nil
	})
	cluster.Kept(pki.RoleAgent, "n1", path)
	testenv.Eventually(t, patience, func() error {
		if s := a.State(); !s.Connected {
			return errors.New(s.LastError)
		}
		return nil
	})
}

func TestSession_Logs_TailFollowAndCancel(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	a := newAgent(t, l.Addr)
	l.Connected(1)
	l.Order(l.Start("i1"))
	l.UntilPhase("i1", model.PhaseRunning)
	a.engine.Print("i1", "one")
	a.engine.Print("i1", "bad \xff utf8")
	ask := func(q *pb.LogRequest) { l.Order(&pb.ServerMessage{Body: &pb.ServerMessage_LogRequest{LogRequest: q}}) }
	ask(&pb.LogRequest{Id: "q1", InstanceId: "i1", Follow: true})
	l.Until("lines missing", func() bool { return texts(l.Chunks, "q1") == "one|bad \uFFFD utf8|" })
	a.engine.Print("i1", "two")
	l.Until("the followed line is missing", func() bool { return strings.HasSuffix(texts(l.Chunks, "q1"), "two|") })
	ask(&pb.LogRequest{Id: "q2", InstanceId: "i1", Tail: 1})
	l.Until("no tail", func() bool { return texts(l.Chunks, "q2") == "two|END" })
	ask(&pb.LogRequest{Id: "q3", InstanceId: "never"})
	l.Until("no error", func() bool { return strings.Contains(texts(l.Chunks, "q3"), "ENDno output") })
	l.Order(l.Stop("i1"))
	l.Until("the follower was not ended", func() bool { return strings.HasSuffix(texts(l.Chunks, "q1"), "END") })
	ask(&pb.LogRequest{Id: "q4", InstanceId: "i1", Follow: true})
	l.Until("the logs went with the container", func() bool { return strings.HasSuffix(texts(l.Chunks, "q4"), "two|END") })
}

func TestSession_LogCancel_EndsAFollower(t *testing.T) {
	l := leadertest.New(t, cluster, "A", 5)
	newAgent(t, l.Addr)
	l.Connected(1)
	l.Order(l.Start("i1"))
	l.UntilPhase("i1", model.PhaseRunning)
	q := &pb.LogRequest{Id: "q1", InstanceId: "i1", Follow: true}
	l.Order(&pb.ServerMessage{Body: &pb.ServerMessage_LogRequest{LogRequest: q}})
	l.Order(&pb.ServerMessage{Body: &pb.ServerMessage_LogCancel{LogCancel: &pb.LogCancel{Id: "q1"}}})
	l.Order(&pb.ServerMessage{Body: &pb.ServerMessage_LogRequest{LogRequest: &pb.LogRequest{Id: "q2", InstanceId: "i1"}}})
	l.Until("the session is stuck", func() bool { return strings.HasSuffix(texts(l.Chunks, "q2"), "END") })
}

func texts(chunks []*pb.LogChunk, id string) string {
	var b strings.Builder
	for _, c := range chunks {
		if c.GetId() != id {
			continue
		}
		for _, l := range c.GetLines() {
			b.WriteString(l.GetText() + "|")
		}
		if c.GetEnd() {
			b.WriteString("END" + c.GetError())
		}
	}
	return b.String()
}

func TestMillis_IsBounded(t *testing.T) {
	for in, want := range map[int64]time.Duration{-1: 0, 0: 0, 1500: 1500 * time.Millisecond, 1 << 62: time.Hour} {
		if got := millis(in); got != want {
			t.Errorf("millis(%d) = %v, want %v", in, got, want)
		}
	}
}
