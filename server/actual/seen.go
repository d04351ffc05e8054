package actual

import (
	"math"
	"time"

	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/proto/wire"
)

// Seen is what a node's agent last said of an instance. It lives until the
// instance is forgotten, and changes in place: pointers to it stay good. There may
// be a million: what is said of few only, those that ended or with which something
// is wrong, stands apart.
type Seen struct {
	ID    string
	Addr  string // as are Phase and Singleton, this is as in model.Observed
	Since int64  // unix milliseconds: when it was first heard to be in its phase; 0: never

	container string
	at        int64           // unix milliseconds: its process was started or, with lead unstarted, its container made; 0: neither is known
	more      *model.Observed // has what is not here; nil: there is nothing more

	Phase     model.Phase
	Known     bool // the agent has spoken of it
	Singleton bool
	lead      uint32      // so many milliseconds before that, and one, its container was made; 0: it is not known when
	phase     model.Phase // of Since
}

// unstarted is the lead of an instance that has a container, and no process yet.
const unstarted = math.MaxUint32

// Observed is all that was said of it.
func (s *Seen) Observed() model.Observed {
	o := model.Observed{ID: s.ID, Phase: s.Phase, Container: s.container, Addr: s.Addr, Singleton: s.Singleton}
	o.CreatedAt, o.StartedAt = s.times()
	if m := s.more; m != nil {
		o.Gone, o.ExitCode, o.Code, o.Message, o.Logs = m.Gone, m.ExitCode, m.Code, m.Message, m.Logs
	}
	return o
}

// take takes in what was said of it. Its ID stays one string for all that ever is.
func (s *Seen) take(o *model.Observed) {
	s.Known, s.Phase, s.Addr, s.Singleton = true, o.Phase, o.Addr, o.Singleton
	s.container, s.more = o.Container, nil
	s.setTimes(wire.Millis(o.CreatedAt), wire.Millis(o.StartedAt))
	if o.Gone != "" || o.ExitCode != 0 || o.Code != "" || o.Message != "" || len(o.Logs) > 0 {
		more := *o
		s.more = &more
	}
}

func (s *Seen) setTimes(created, started int64) {
	switch {
	case created == 0:
		s.at, s.lead = started, 0
	case started == 0:
		s.at, s.lead = created, unstarted
	default:
		s.at, s.lead = started, uint32(min(max(started-created, 0)+1, unstarted-1))
	}
}

func (s *Seen) times() (created, started time.Time) {
	switch s.lead {
	case 0:
		return created, wire.Time(s.at)
	case unstarted:
		return wire.Time(s.at), started
	}
	return wire.Time(s.at - int64(s.lead-1)), wire.Time(s.at)
}

// unknown is an instance of which the agent has not spoken, or speaks no more.
func (s *Seen) unknown() Seen { return Seen{ID: s.ID, Since: s.Since, phase: s.phase} }
