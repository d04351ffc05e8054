// Package logs keeps the output of instances: it follows each container into
// two size-capped files per instance that survive the container and the agent,
// and serves them: the last lines, since a time, and as they come.
//
// It must never hold up an app: who reads too slowly misses lines, and is told.
package logs

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dinp/dinp/agent/runtime"
)

// ErrUnknown says that nothing is kept of an instance.
var ErrUnknown = errors.New("no output of this instance is kept here")

// The limits of what is kept.
const (
	fileBytes = 1 << 20            // of each of the two files of an instance
	keepFor   = 7 * 24 * time.Hour // after the instance is gone
	keepBytes = 1 << 30            // of gone instances in all
)

// Store is the kept output of one node's instances.
type Store struct {
	dir     string
	rt      runtime.Runtime
	log     *slog.Logger
	maxFile int64

	kick chan struct{} // size 1: queue is not empty

	mu        sync.Mutex // guards all below
	queue     []string   // instances to follow, not begun
	rings     map[string]*ring
	followers map[string]*follower
}

// follower is one goroutine that copies one container's output.
type follower struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
}

// New returns a store in dir, which is made when it is first needed.
func New(dir string, rt runtime.Runtime, log *slog.Logger) *Store {
	return &Store{
		dir: dir, rt: rt, log: log, maxFile: fileBytes, kick: make(chan struct{}, 1),
		rings: map[string]*ring{}, followers: map[string]*follower{},
	}
}

// Run follows what Follow names until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.kick:
			for _, id := range s.queued() {
				if fctx, f := s.begin(ctx, id); f != nil {
					wg.Go(func() { s.follow(fctx, id, f) })
				}
			}
		}
	}
}

func (s *Store) queued() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := s.queue
	s.queue = nil
	return ids
}

// begin notes a new follower, or returns nil when there is one.
func (s *Store) begin(ctx context.Context, id string) (context.Context, *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.followers[id] != nil {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{cancel: cancel, done: make(chan struct{})}
	s.followers[id] = f
	return ctx, f
}

// Follow begins to copy a running container's output; again is a no-op.
func (s *Store) Follow(id string) {
	s.mu.Lock()
	s.queue = append(s.queue, id)
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// Finish takes over what an ended container has still to tell, ends its
// followers, and returns its last n lines. It is safe to repeat, and works for
// containers that were never followed.
func (s *Store) Finish(ctx context.Context, id string, n int) []string {
	s.stop(id)
	r, err := s.ring(id)
	if err != nil {
		s.log.Warn("log unreadable", "instance", id, "err", err)
		return nil
	}
	if err := s.copy(ctx, r, id, false); err != nil && !errors.Is(err, runtime.ErrNotFound) {
		s.log.Warn("last output not read", "instance", id, "err", err)
	}
	r.end(true)
	lines, err := r.lines(n, time.Time{}, nil)
	if err != nil {
		s.log.Warn("log unreadable", "instance", id, "err", err)
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.Text
	}
	return out
}

// stop ends an instance's follower and waits for it.
func (s *Store) stop(id string) {
	s.mu.Lock()
	f := s.followers[id]
	s.mu.Unlock()
	if f != nil {
		f.cancel()
		<-f.done
	}
}

func (s *Store) follow(ctx context.Context, id string, f *follower) {
	defer s.unfollow(id, f)
	r, err := s.ring(id)
	if err != nil {
		s.log.Warn("log unreadable", "instance", id, "err", err)
		return
	}
	defer r.end(false)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := s.copy(ctx, r, id, true)
		if ctx.Err() != nil || (err == nil && !s.runs(ctx, id)) || errors.Is(err, runtime.ErrNotFound) || errors.Is(err, runtime.ErrForeign) {
			return
		}
		if err != nil {
			s.log.Debug("log stream broke", "instance", id, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause + time.Duration(rand.Int64N(int64(pause)))):
		}
	}
}

// runs reports whether more may come: an engine that goes down ends the stream
// just as a container does.
func (s *Store) runs(ctx context.Context, id string) bool {
	c, err := s.rt.Inspect(ctx, id)
	return errors.Is(err, runtime.ErrAway) || (err == nil && c.State == runtime.Running)
}

func (s *Store) copy(ctx context.Context, r *ring, id string, follow bool) error {
	since, fresh := r.resume()
	failed := false
	return s.rt.Logs(ctx, id, since, follow, func(l runtime.Line) error {
		if !fresh(l) {
			return nil
		}
		if err := r.append(l); err != nil && !failed {
			failed = true // once a stream: a full disk would fill the agent's own log too
			s.log.Error("log not written", "instance", id, "err", err)
		}
		return nil
	})
}

func (s *Store) unfollow(id string, f *follower) {
	s.mu.Lock()
	delete(s.followers, id)
	s.mu.Unlock()
	f.cancel()
	close(f.done)
}

func (s *Store) ring(id string) (*ring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rings[id]; r != nil {
		return r, nil
	}
	r, err := openRing(filepath.Join(s.dir, id), s.maxFile)
	if err == nil {
		s.rings[id] = r
	}
	return r, err
}

func (s *Store) kept(id string) bool {
	_, err := os.Stat(filepath.Join(s.dir, id))
	return err == nil
}
