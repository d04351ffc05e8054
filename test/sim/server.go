package sim

import (
	"cmp"
	"context"
	"errors"
	"time"

	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/server/actual"
	"github.com/dinp/dinp/server/lease"
	"github.com/dinp/dinp/sql/store"
)

// The times of a server, as its defaults are.
const (
	heartbeat   = 5 * time.Second
	lostAfter   = 60 * time.Second
	leaseTTL    = 10 * time.Second
	leaseRenew  = 3 * time.Second
	leaseMargin = 2 * time.Second
	orphanAfter = 60 * time.Second
	safeAfter   = 60 * time.Second
	debounce    = 20 * time.Millisecond
	minReady    = 10 * time.Second
	domain      = "apps.test"
)

// limits are those of a node's silence.
var limits = actual.MissedBeats(heartbeat, lostAfter)

// simServer is the shell around the server's core: its threads wait in virtual
// time for the database and Redis.
type simServer struct {
	w      *World
	name   string
	p      *process
	clock  clock
	leader store.Lease // as last seen
	past   lease.History
	term   *term // nil while another leads
}

func (s *simServer) start() {
	if s.p != nil && s.p.alive {
		return
	}
	s.p, s.term, s.leader, s.past = s.w.process(s.name, &s.clock), nil, store.Lease{}, lease.History{}
	s.w.say(s.name, "server starts")
	s.p.spawn(s.elect)
}

func (s *simServer) kill() {
	if s.p == nil || !s.p.alive {
		return
	}
	s.w.say(s.name, "server is killed")
	s.p.kill()
	s.term = nil
	s.w.net.died(s.p, false)
}

func (s *simServer) leads() bool {
	return s.p != nil && s.p.alive && s.term != nil && s.term.ctx.Err() == nil
}

// until is a context that ends at a virtual time.
type until struct {
	context.Context
	s  *scheduler
	at time.Time
}

func (u until) Err() error {
	if !u.s.now.Before(u.at) {
		return context.DeadlineExceeded
	}
	return u.Context.Err()
}

// elect is lease.Run with the real Candidate and Config.
func (s *simServer) elect(t *thread) {
	cfg := lease.Config{ID: s.name, Address: s.name, TTL: leaseTTL, Renew: leaseRenew, Margin: leaseMargin}
	db := dbClient{s.w.db, s.p}
	for {
		candidate := lease.NewCandidate(cfg)
		held, since, slept := store.Lease{}, time.Time{}, time.Duration(0)
		for held.Owner == "" {
			if row, err := db.Lease(s.w.ctx); err == nil {
				s.leader = row
				if candidate.May(row, s.p.now()) {
					before, clock := s.p.now(), s.clock.slept
					if l, err := db.TakeLease(s.w.ctx, row, s.name, s.past.Floor(row, before)); err == nil {
						held, since, slept = s.past.Took(l), before, clock
						s.leader = held
						break
					}
				}
			}
			t.sleep(leaseRenew / 3)
		}
		s.w.say(s.name, "leads with epoch %d", held.Epoch)
		s.hold(t, cfg, db, held, since, slept)
	}
}

// hold leads while the lease is renewed. since is when it was asked for, and slept for
// how long the machine had slept by then.
func (s *simServer) hold(t *thread, cfg lease.Config, db dbClient, held store.Lease, since time.Time, slept time.Duration) {
	term := s.lead(held)
	right, tick := cfg.Right(since), s.p.now().Add(leaseRenew)
	term.right, term.slept = right, slept
	why := error(nil)
	for why == nil {
		now := s.p.now()
		next := min(right.Sub(now), tick.Sub(now))
		if next > 0 && t.wait(&term.over, next) {
			why = cmp.Or(context.Cause(term.ctx), errors.New("it ended by itself"))
			break
		}
		now = s.p.now()
		if !now.Before(right) {
			why = lease.ErrLost
			break
		}
		if now.Before(tick) {
			continue
		}
		tick, slept = now.Add(leaseRenew), s.clock.slept
		err := db.RenewLease(until{s.w.ctx, s.w.scheduler, s.w.now.Add(min(leaseRenew, right.Sub(now)))}, held)
		if errors.Is(err, store.ErrLost) {
			why = lease.ErrLost
		} else if err == nil {
			right = cfg.Right(now)
			term.right, term.slept = right, slept
		}
	}
	term.stop(why)
	for term.threads > 0 {
		t.wait(&term.over, time.Second)
	}
	if s.term == term {
		s.term = nil
	}
	s.w.say(s.name, "leads no more: %v", why)
	s.past.Ended(held, why)
	if o := (*lease.Overtaken)(nil); errors.As(why, &o) {
		return
	}
	_ = db.ReleaseLease(until{s.w.ctx, s.w.scheduler, s.w.now.Add(2 * time.Second)}, held) // best effort, as in production
}

// accept serves a connection of an agent or a monitor.
func (s *simServer) accept(c *conn) {
	first := true
	c.ends[server].take = func(m any) {
		if !first {
			return
		}
		first = false
		switch m := m.(type) {
		case *pb.AgentMessage:
			s.hello(c, m)
		case *pb.HealthMessage:
			s.watch(c, m)
		}
	}
}

func (s *simServer) leaderAddress() string {
	if s.leader.Owner != "" && s.leader.Owner != s.name {
		return s.leader.Address
	}
	return ""
}
