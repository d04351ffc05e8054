package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/test/testenv"
)

// candidate runs for the lease until its test ends, and notes when it led.
type candidate struct {
	*Lease
	mu    sync.Mutex
	terms []store.Lease
	leads bool
	stop  func()
}

// times are such that nobody loses the lease to a busy machine: who ends gives it
// back, so that no test waits for it.
func times(id string) Config {
	return Config{ID: id, Address: id, TTL: time.Minute, Renew: 200 * time.Millisecond, Margin: 2 * time.Second}
}

// runsOut has the lease end soon; how long its holder has to notice is ample.
func runsOut(c *Config) { c.TTL, c.Margin = 4*time.Second, 2*time.Second }

func run(t *testing.T, st *store.Store, id string, change ...func(*Config)) *candidate {
	t.Helper()
	cfg := times(id)
	for _, f := range change {
		f(&cfg)
	}
	c := &candidate{Lease: New(cfg, st, slog.New(slog.DiscardHandler))}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		c.Run(ctx, func(ctx context.Context, l store.Lease) error {
			c.set(true, l)
			<-ctx.Done()
			c.set(false, l)
			return context.Cause(ctx)
		})
	})
	c.stop = func() { cancel(); wg.Wait() }
	t.Cleanup(c.stop)
	return c
}

func (c *candidate) set(leads bool, l store.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leads = leads; leads {
		c.terms = append(c.terms, l)
	}
}

func (c *candidate) led() (terms []store.Lease, now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]store.Lease(nil), c.terms...), c.leads
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	testenv.Eventually(t, 60*time.Second, func() error {
		if !ok() {
			return errors.New("not yet: " + what)
		}
		return nil
	})
}

func TestLease_OneLeadsAndTheNextTakesOverWithAHigherEpoch(t *testing.T) {
	for _, url := range []string{"sqlite:" + t.TempDir() + "/d", "mysql:" + testenv.MariaDB(t)} {
		st, err := store.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		a := run(t, st, "a")
		await(t, "a leads", func() bool { _, now := a.led(); return now })
		b := run(t, st, "b")
		await(t, "b knows the leader", func() bool { l := b.Leader(); return l != nil && l.Owner == "a" })
		if _, now := b.led(); now {
			t.Error("two lead")
		}
		a.stop()
		await(t, "b leads", func() bool { _, now := b.led(); return now })
		at, _ := a.led()
		bt, _ := b.led()
		if bt[0].Epoch <= at[0].Epoch {
			t.Errorf("epochs %d then %d", at[0].Epoch, bt[0].Epoch)
		}
		b.stop()
	}
}

func TestLease_HolderWithoutADatabaseStopsActingBeforeItCanBeReplaced(t *testing.T) {
	path := "sqlite:" + t.TempDir() + "/d"
	mine, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	a := run(t, mine, "a", runsOut)
	await(t, "a leads", func() bool { _, now := a.led(); return now })
	b := run(t, theirs, "b", runsOut)
	mine.Close() // cut off
	await(t, "b leads", func() bool { _, now := b.led(); return now })
	if _, now := a.led(); now {
		t.Error("the one that was cut off still acts while the next one leads")
	}
}

// heldByTheDead is a database in which a server that is no more, a, has taken the lease.
func heldByTheDead(t *testing.T, url string) (*store.Store, store.Lease) {
	t.Helper()
	st, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	dead, err := st.TakeLease(t.Context(), store.Lease{Name: name}, "a", "a", time.Now().UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	return st, dead
}

func TestLease_ARestartedHolderDoesNotWaitForItself(t *testing.T) {
	st, dead := heldByTheDead(t, "sqlite:"+t.TempDir()+"/d")
	a := run(t, st, "a")
	await(t, "a leads", func() bool { _, now := a.led(); return now })
	if terms, _ := a.led(); terms[0].Epoch <= dead.Epoch {
		t.Errorf("epoch %d after %d", terms[0].Epoch, dead.Epoch)
	}
}

func TestLease_AWaitingServerKnowsWhenNobodyLeads(t *testing.T) {
	path := "sqlite:" + t.TempDir() + "/d"
	st, dead := heldByTheDead(t, path)
	waits, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	l := New(Config{ID: "b", Address: "b", TTL: time.Hour, Renew: 300 * time.Millisecond, Margin: time.Second}, waits, slog.New(slog.DiscardHandler))
	looks := make(chan bool, 1000)
	l.cfg.Looked = func() { looks <- l.Vacant() }
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = l.Run(ctx, func(context.Context, store.Lease) error { return nil }) })
	t.Cleanup(func() { cancel(); running.Wait() })
	if <-looks {
		t.Error("the holder is taken for gone at the first look")
	}
	await(t, "it is known that nobody leads", func() bool { return <-looks })
	if err := st.RenewLease(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	await(t, "the holder is known to lead again", func() bool { return !<-looks })
	await(t, "it is known that nobody leads again", func() bool { return <-looks })
	waits.Close() // what this server says of the leader is what it knew before
	await(t, "nothing is known any more", func() bool { return !<-looks })
}
