package source

import (
	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/table"
)

// settle acts on a verdict: serve the table, count, and say it once.
func (s *Source) settle(out Outcome, what string, v route.Version) {
	s.reportBad(out.bad)
	if out.verdict == accepted || out.verdict == held {
		s.serve()
	}
	s.mu.Lock()
	s.status.Follows = s.keep.wanted.Version()
	s.status.BadValues += uint64(len(out.bad))
	if what == "list" {
		s.status.Lists++
	}
	if !out.fine() {
		s.status.Refusals[string(out.verdict)]++
	}
	s.mu.Unlock()
	s.say(out, what, v)
}

// serve hands the keeper's table on, unless it is being served already.
func (s *Source) serve() {
	t := s.keep.served
	s.mu.Lock()
	s.status.Serves, s.status.Follows = t.Version(), s.keep.wanted.Version()
	s.status.Held = t != s.keep.wanted
	s.mu.Unlock()
	s.swap(t)
	s.save.put(t)
}

// say logs a verdict: trouble once until it changes, a held withdrawal each
// time it is looked at, since someone must look.
func (s *Source) say(out Outcome, what string, v route.Version) {
	attrs := []any{"by", what, "version", v.String(), "serves", s.keep.served.Version().String()}
	switch out.verdict {
	case accepted, unchanged:
		s.log.Debug("routes read", append(attrs, "verdict", string(out.verdict))...)
		if s.quiet != "" {
			s.log.Info("routes follow again", attrs...)
		}
		s.quiet = ""
		return
	case held:
		s.log.Error("mass withdrawal held back: those routes stay until the leader says it is meant",
			append(attrs, "withdrawn", out.gone, "of", out.of)...)
	case repeated:
		return
	case gap:
		s.log.Info("route changes missed, listing again", attrs...)
		return
	default:
		nothingYet := out.verdict == versionNo && s.keep.served.Version() == (route.Version{}) // a new cluster
		switch {
		case s.quiet == out.verdict:
		case nothingYet:
			s.log.Info("redis holds no routes yet", "by", what)
		default:
			s.log.Warn(troubles[out.verdict], attrs...)
		}
	}
	s.quiet = out.verdict
}

var troubles = map[verdict]string{
	refused:   "redis holds older routes, the last good table stays",
	versionNo: "redis holds no routes, the last good table stays",
	forgetful: "redis was set back and a new leader has yet to tell all routes, the last good table stays",
	doubted:   "redis changed without a new version, the last good table stays",
}

// maxBadLines bounds what one listing full of garbage writes to the log.
const maxBadLines = 5

func (s *Source) reportBad(bad []table.Bad) {
	for i, b := range bad {
		if i == maxBadLines {
			s.log.Warn("more route values unreadable", "count", len(bad)-i)
			return
		}
		s.log.Warn("route value unreadable, the last good one stays", "key", b.Key, "err", b.Err)
	}
}

// lostRedis and foundRedis log the change, not each attempt.
func (s *Source) lostRedis(err error) {
	s.up.Store(false)
	if !s.away {
		s.log.Warn("redis unreachable, the last good table stays", "err", err)
	}
	s.away = true
}

func (s *Source) foundRedis() {
	if !s.up.Swap(true) {
		s.log.Info("redis connected")
	}
	s.away = false
}
