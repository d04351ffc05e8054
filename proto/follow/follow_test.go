package follow

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
)

func TestSearch_PausesWithJitterBelowItsCeiling(t *testing.T) {
	lost := errors.New("lost")
	for range 100 {
		s := Search{Servers: []string{"a", "b"}}
		if _, wait := s.Next(lost, true, rand.Int64N); wait < 0 || wait >= backoffMin {
			t.Fatalf("after an established session: %v", wait)
		}
		for failures := range 100 {
			if _, wait := s.Next(lost, false, rand.Int64N); wait < 0 || wait >= backoffMax {
				t.Fatalf("after %d failures: %v", failures, wait)
			}
		}
	}
}

func TestSearch_FollowsTheLeadersAddressAFewTimes(t *testing.T) {
	s := Search{Servers: []string{"a", "b"}}
	for hop := range maxHops + 1 {
		addr, wait := s.Next(&Moved{Addr: "c"}, false, func(n int64) int64 { return n - 1 })
		if followed := addr == "c" && wait == 0; followed != (hop < maxHops) {
			t.Errorf("hop %d: %s after %v", hop, addr, wait)
		}
	}
	if addr, _ := s.Next(&Moved{}, false, rand.Int64N); addr != "a" {
		t.Errorf("no leader is known, but %s is next", addr)
	}
}

func TestOutbox_HoldsEachInstanceOnce(t *testing.T) {
	o := NewOutbox()
	for range 1000 {
		o.Note("i1")
	}
	if got := o.Take(); len(got) != 1 || len(o.Take()) != 0 {
		t.Errorf("%v", got)
	}
}

// DEFECTS 37: a half-open connection silenced the node for good.
func TestSend_LeaderThatDoesNotRead_EndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		link := &Link{End: end}
		err := link.Send(func() error { // as gRPC's flow control does
			<-ctx.Done()
			return ctx.Err()
		})
		if err == nil || !errors.Is(context.Cause(ctx), errStuck) {
			t.Errorf("send: %v, cause %v", err, context.Cause(ctx))
		}
	})
}

func TestSearch_AServerThatHasFailed_IsTheLastToBeTriedAgain(t *testing.T) {
	s := Search{Servers: []string{"a", "b", "c"}}
	lost, none := errors.New("lost"), func(int64) int64 { return 0 }
	s.First()
	if addr, _ := s.Next(&Moved{Addr: "b"}, false, none); addr != "b" {
		t.Fatalf("redirected to %s", addr)
	}
	if addr, _ := s.Next(lost, true, none); addr != "c" {
		t.Errorf("after b failed: %s, want c", addr)
	}
	if addr, _ := s.Next(lost, false, none); addr != "a" {
		t.Errorf("after c failed: %s, want a", addr)
	}
	if addr, _ := (&Search{Servers: []string{"a"}, tried: "a"}).Next(lost, false, none); addr != "a" {
		t.Errorf("the only one: %s", addr)
	}
}
