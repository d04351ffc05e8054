package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/proto/pki"
	"github.com/dinp/dinp/server/enrol"
	"github.com/dinp/dinp/sql/store"
)

// The files of an embedded database.
func filesOf(path string) []string { return []string{path, path + "-wal", path + "-shm"} }

// copyOf closes the rig's database, reads its files and opens it again.
func (r *rig) copyOf(path string) map[string][]byte {
	r.t.Helper()
	r.store.Close()
	out := map[string][]byte{}
	for _, f := range filesOf(path) {
		b, err := os.ReadFile(f)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.t.Fatal(err)
		}
		if err == nil {
			out[f] = b
		}
	}
	r.reopen(path)
	return out
}

// restore puts a database's files back.
func (r *rig) restore(path string, files map[string][]byte) {
	r.t.Helper()
	r.store.Close()
	for _, f := range filesOf(path) {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.t.Fatal(err)
		}
	}
	for f, b := range files {
		if err := os.WriteFile(f, b, 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	r.reopen(path)
}

func (r *rig) reopen(path string) {
	r.t.Helper()
	st, err := store.Open(r.t.Context(), "sqlite:"+path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { st.Close() })
	r.store = st
	if r.authority, err = enrol.Open(r.t.Context(), st, rigSecret, time.Hour); err != nil {
		r.t.Fatal(err)
	}
}

// safeMode asks the leader.
func (r *rig) safeMode(addr string) (*pb.SafeModeReply, error) {
	conn, err := r.dial(addr, pki.RoleDash, "dash")
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return pb.NewPlatformClient(conn).SafeMode(r.t.Context(), &pb.SafeModeRequest{})
}

func TestServer_RestoredFromABackup_TouchesNothingUntilAPersonSaysSo(t *testing.T) {
	path := t.TempDir() + "/dinp.db"
	r := newRig(t, "sqlite:"+path)
	r.grace = 20 * time.Second // as in production: the agent comes before routes are judged without it
	var a *agent
	begin := func() (s *testServer, end func()) {
		s = r.server("s1", func(c *Config) { c.SafeAfter = time.Second })
		if a == nil {
			a = r.agent("n1", s.Addr())
		} else {
			a = r.agentAfter(a, s.Addr())
		}
		stop := r.monitor(s.Addr(), healthy)
		return s, func() { stop(); a.stop(); s.stop() }
	}
	_, end := begin()
	first := r.deploy("shop", 2)
	r.serving("shop", 1, 2)
	r.wait("the deployment's end", func() error { // or its deadline has passed when the backup is used
		d, err := r.store.Deployment(t.Context(), first.ID)
		if err == nil && (d == nil || d.Status != model.DeploymentSucceeded) {
			err = fmt.Errorf("%+v", d)
		}
		return err
	})
	end()
	backup := r.copyOf(path)

	_, end = begin()
	r.wait("two seconds of history", func() error {
		l, err := r.store.Lease(t.Context(), "leader")
		if err == nil && r.store.Written(l.Epoch) < 2000 {
			err = errors.New("not yet")
		}
		return err
	})
	r.deploy("shop", 2)
	r.serving("shop", 2, 2)
	r.wait("only they run", func() error {
		if n := len(a.running()); n != 2 {
			return fmt.Errorf("%d run", n)
		}
		return nil
	})
	before := a.running()
	end()
	r.restore(path, backup)

	s, end := begin()
	defer end()
	r.wait("safe mode, and all is told", func() error {
		m, err := r.safeMode(s.Addr())
		if err == nil && (!m.GetOn() || len(m.GetApps()) != 1 || m.GetApps()[0].GetUnknown() != 2 || m.GetApps()[0].GetStart() != 2 || len(m.GetNotes()) > 0) {
			err = fmt.Errorf("%v", m)
		}
		return err
	})
	beat := r.beat()
	r.wait("orphans would have been stopped by now", func() error {
		if now := r.beat(); now < beat+6 { // of 600 ms each; orphans have one second
			return fmt.Errorf("beat %d after %d", now, beat)
		}
		return nil
	})
	r.serving("shop", 2, 2)
	if now := a.running(); !slices.Equal(now, before) {
		t.Errorf("running %v, before %v", now, before)
	}
	if err := r.store.EndSafeMode(t.Context(), r.by); err != nil {
		t.Fatal(err)
	}
	r.serving("shop", 1, 2)
	r.wait("only what the database knows runs", func() error {
		for _, id := range a.running() {
			if slices.Contains(before, id) {
				return fmt.Errorf("%s still runs", id)
			}
		}
		return nil
	})
}

// beat is that of the lease, which grows with time.
func (r *rig) beat() int64 {
	r.t.Helper()
	l, err := r.store.Lease(r.t.Context(), "leader")
	if err != nil {
		r.t.Fatal(err)
	}
	return l.Beat
}
