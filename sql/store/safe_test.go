package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
)

func TestSafeMode_IsWrittenOnceAndEndedByPeople(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		l := lead(t, s, "a")
		open := func() *model.SafeMode {
			t.Helper()
			w, err := s.Wish(ctx)
			check(t, err)
			return w.Safe
		}
		if m := open(); m != nil {
			t.Fatalf("there is one: %+v", m)
		}
		want := model.SafeMode{Epoch: l.Epoch, Since: t0, Reason: strings.Repeat("the database ends yesterday ", 20)}
		for range 2 { // the answer of the first may have been lost
			check(t, s.Apply(ctx, l, Control{Safe: &want}))
		}
		if m := open(); m == nil || *m != want {
			t.Errorf("got %+v, want %+v", m, want)
		}
		by := model.Actor{Name: "ann"}
		check(t, s.EndSafeMode(ctx, by))
		if m := open(); m != nil {
			t.Errorf("it was ended, and is %+v", m)
		}
		check(t, s.Apply(ctx, l, Control{Safe: &want}))
		if m := open(); m != nil {
			t.Errorf("the same one began again: %+v", m)
		}
		if err := s.EndSafeMode(ctx, by); !model.IsCode(err, model.CodeConflict) {
			t.Errorf("ended twice: %v", err)
		}
		events, err := s.Events(ctx, EventFilter{})
		if check(t, err); len(events) != 1 || events[0].Verb != "safe-mode.ended" || events[0].Actor != "ann" {
			t.Errorf("events %+v", events)
		}
		next := lead(t, s, "b")
		if err := s.Apply(ctx, l, Control{Safe: &model.SafeMode{Epoch: 1}}); !errors.Is(err, ErrLost) {
			t.Errorf("by a leader that was followed: %v", err)
		}
		check(t, s.Apply(ctx, next, Control{Safe: &model.SafeMode{Epoch: next.Epoch, Since: t0, Reason: "again"}}))
		if m := open(); m == nil || m.Reason != "again" {
			t.Errorf("the next leader's: %+v", m)
		}
	})
}

func TestLease_TellsTheNextHowFarTheLastHadCome(t *testing.T) {
	eachStore(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		first := lead(t, s, "a")
		if first.Before != (model.Moment{}) || s.Written(first.Epoch) != 0 {
			t.Errorf("the first: %+v, written %d", first, s.Written(first.Epoch))
		}
		s.beats.began = s.beats.began.Add(-time.Hour) // as if it had led for so long
		check(t, s.RenewLease(ctx, first))
		age := s.Written(first.Epoch)
		if age < 3_600_000 || age > 3_700_000 {
			t.Errorf("after an hour %d ms are written", age)
		}
		s.beats.began = s.beats.began.Add(time.Minute)
		check(t, s.RenewLease(ctx, first))
		if again := s.Written(first.Epoch); again != age {
			t.Errorf("history went back from %d to %d ms", age, again)
		}
		next := lead(t, s, "b")
		if want := (model.Moment{Epoch: first.Epoch, Age: age}); next.Before != want {
			t.Errorf("the next found %+v, want %+v", next.Before, want)
		}
		seen, err := s.Lease(ctx, "leader")
		if check(t, err); seen.Age != 0 || s.Written(first.Epoch) != 0 {
			t.Errorf("a new term begins at %+v; written of the one before %d", seen, s.Written(first.Epoch))
		}
	})
}
