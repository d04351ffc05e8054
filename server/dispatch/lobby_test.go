package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dinp/dinp/test/testenv"
)

func yes() bool { return true }

// waiting waits until somebody waits in the lobby.
func (e *endpoint) waiting(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, time.Minute, func() error {
		e.lobby.mu.Lock()
		defer e.lobby.mu.Unlock()
		if e.lobby.door == nil {
			return errors.New("nobody waits")
		}
		return nil
	})
}

func TestSession_WhoComesWhileNobodyLeadsIsLetInWhenThisServerDoes(t *testing.T) {
	t.Parallel()
	e := newEndpointOf(t, func() string { return "" }, yes)
	agent := e.agent(t, "n1")
	e.monitor(t, "h1")
	e.waiting(t)
	e.Lead(e.term)
	if m, err := agent.Recv(); err != nil || m.GetWelcome() == nil || m.GetEpoch() != 7 {
		t.Errorf("the agent was told %v, %v", m, err)
	}
	kinds := map[bool]int{}
	for range 2 {
		_, opened := next[Event](t, e).(SessionOpened)
		kinds[opened]++
	}
	if kinds[true] != 1 || kinds[false] != 1 {
		t.Errorf("%d agents came, and %d others", kinds[true], kinds[false])
	}
}

func TestSession_WhoComesWhileNobodyLeadsIsSentToTheNextLeader(t *testing.T) {
	t.Parallel()
	var other atomic.Bool
	e := newEndpointOf(t, func() string { return "s2:1970" }, func() bool { return !other.Load() })
	agent := e.agent(t, "n1")
	e.waiting(t)
	e.Looked() // and sees nothing new
	other.Store(true)
	e.Looked()
	if m, err := agent.Recv(); err != nil || m.GetNotLeader().GetAddress() != "s2:1970" {
		t.Errorf("the agent was told %v, %v", m, err)
	}
}

func TestAwait_NobodyWaitsForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		s := New(slog.New(slog.DiscardHandler), func() string { return "" }, func() bool { looks++; return true })
		began := time.Now()
		if term := s.await(t.Context()); term != nil || time.Since(began) != waitForLeader {
			t.Errorf("%v after %v", term, time.Since(began))
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if s.await(gone); time.Since(began) != waitForLeader {
			t.Error("one who has gone is waited for")
		}
		before := looks
		s.Lead(nil) // the end of a term is no news for those who wait
		if s.Looked(); looks != before+1 {
			t.Error("a look is not taken")
		}
	})
}

func TestAwait_AnAnswerThatIsKnownIsGivenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := New(slog.New(slog.DiscardHandler), func() string { return "s2:1970" }, func() bool { return false })
		if s.await(t.Context()) != nil {
			t.Error("it leads")
		}
		s = New(slog.New(slog.DiscardHandler), func() string { return "" }, yes)
		mine := NewTerm(t.Context(), 7, "s1", time.Second, nil)
		if s.Lead(mine); s.await(t.Context()) != mine {
			t.Error("it does not lead")
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
}
