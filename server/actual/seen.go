package actual

import (
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
	startedAt int64           // unix milliseconds; 0: not
	more      *model.Observed // has what is not here; nil: there is nothing more

	Phase     model.Phase
	Known     bool // the agent has spoken of it
	Singleton bool
	phase     model.Phase // of Since
}

// Observed is all that was said of it.
func (s *Seen) Observed() model.Observed {
	o := model.Observed{ID: s.ID, Phase: s.Phase, Container: s.container, Addr: s.Addr, StartedAt: wire.Time(s.startedAt), Singleton: s.Singleton}
	if m := s.more; m != nil {
		o.Gone, o.ExitCode, o.Code, o.Message, o.Logs = m.Gone, m.ExitCode, m.Code, m.Message, m.Logs
	}
	return o
}

// take takes in what was said of it. Its ID stays one string for all that ever is.
func (s *Seen) take(o *model.Observed) {
	s.Known, s.Phase, s.Addr, s.Singleton = true, o.Phase, o.Addr, o.Singleton
	s.container, s.startedAt, s.more = o.Container, wire.Millis(o.StartedAt), nil
	if o.Gone != "" || o.ExitCode != 0 || o.Code != "" || o.Message != "" || len(o.Logs) > 0 {
		more := *o
		s.more = &more
	}
}

// unknown is an instance of which the agent has not spoken, or speaks no more.
func (s *Seen) unknown() Seen { return Seen{ID: s.ID, Since: s.Since, phase: s.phase} }
