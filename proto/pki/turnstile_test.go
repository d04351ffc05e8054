package pki

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurnstile_FewAtOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := &turnstile{patience: time.Hour, free: 2}
		var inside, most atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := line.enter(false); err != nil {
					t.Error(err)
				}
				most.Store(max(most.Load(), inside.Add(1)))
				<-time.After(time.Second)
				inside.Add(-1)
				line.leave()
			})
		}
		wg.Wait()
		if most.Load() > 2 || line.free != 2 {
			t.Errorf("%d at once, then %d free; want 2 and 2", most.Load(), line.free)
		}
	})
}

func TestTurnstile_WhoHasBegunGoesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := &turnstile{patience: time.Hour, free: 0}
		var order []string
		var wg sync.WaitGroup
		for _, begun := range []bool{false, true} {
			wg.Go(func() {
				if err := line.enter(begun); err != nil {
					t.Error(err)
				}
				order = append(order, map[bool]string{true: "begun", false: "fresh"}[begun])
				line.leave()
			})
			synctest.Wait()
		}
		line.leave()
		wg.Wait()
		if len(order) != 2 || order[0] != "begun" {
			t.Errorf("%v", order)
		}
	})
}

func TestTurnstile_WhoWaitsTooLongIsTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := &turnstile{patience: 5 * time.Second, free: 0}
		began := time.Now()
		if err := line.enter(false); !errors.Is(err, errCrowd) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		line.leave()
		if err := line.enter(false); err != nil { // nobody holds what the late one asked for
			t.Error(err)
		}
	})
}

// With the one turn there is, peers who say nothing must not keep others out, and
// whoever is in the middle of a handshake must not keep those from being served
// who are through.
func TestGuard_SilentPeersHoldNoTurn_AndConnectionsGoOnWithoutOne(t *testing.T) {
	t.Parallel()
	ca, err := NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	part := func(id Identity) *Keeper {
		r, err := NewRequest()
		if err != nil {
			t.Fatal(err)
		}
		s, err := ca.Sign(r.PEM, id, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		k, err := r.Answered(s.PEM, "")
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	guard, agent := NewGuard(part(Identity{RoleServer, "s"})), part(Identity{RoleAgent, "a"})
	guard.line.free = 1
	for range 20 { // 20 peers who say nothing
		theirs, silent := net.Pipe()
		defer silent.Close()
		var done sync.WaitGroup
		defer done.Wait()
		defer silent.Close()
		done.Go(func() { _, _, _ = guard.creds().ServerHandshake(theirs) })
	}
	server, client := connect(t, guard, agent)
	if err := guard.line.enter(false); err != nil { // the only turn is taken for good
		t.Fatal(err)
	}
	go func() { _, _ = client.Write([]byte("beat")) }()
	word := make([]byte, 4)
	if _, err := server.Read(word); err != nil || string(word) != "beat" {
		t.Errorf("while others shake hands, %q came of an agent's word (%v)", word, err)
	}
}

// connect shakes hands over a pipe.
func connect(t *testing.T, guard *Guard, agent *Keeper) (server, client net.Conn) {
	t.Helper()
	theirs, ours := net.Pipe()
	shaken := make(chan error, 1)
	go func() {
		var err error
		client, _, err = agent.Client().ClientHandshake(t.Context(), "server", ours)
		shaken <- err
	}()
	server, who, err := guard.creds().ServerHandshake(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close(); ours.Close() })
	if c := who.(*Caller); c.refused != nil || len(c.State.PeerCertificates) != 1 {
		t.Errorf("refused: %v; %d certificates shown, the own one is enough", c.refused, len(c.State.PeerCertificates))
	}
	if v := who.(*Caller).State.Version; v != tls.VersionTLS13 {
		t.Errorf("TLS version %x", v)
	}
	return server, client
}
