package dispatch

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/dinp/dinp/proto/dinp/v1"
)

func TestTargetbox_ASlowMonitorIsToldTheLastWordOnly(t *testing.T) {
	b := newTargetbox()
	for n := range 1000 { // far more than any queue would hold
		b.Targets(&pb.HealthTargets{Set: []*pb.HealthTarget{{InstanceId: "a", Addr: fmt.Sprint("10.0.0.1:", n)}}})
	}
	b.Targets(&pb.HealthTargets{Set: []*pb.HealthTarget{{InstanceId: "b", Addr: "10.0.0.1:1"}}})
	b.Targets(&pb.HealthTargets{Remove: []string{"b"}})
	<-b.fresh
	want := &pb.HealthTargets{Set: []*pb.HealthTarget{{InstanceId: "a", Addr: "10.0.0.1:999"}}, Remove: []string{"b"}}
	if diff := cmp.Diff(want, b.take(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	select {
	case <-b.fresh:
		t.Error("it says that more waits, and nothing does")
	default:
	}
}

func TestTargetbox_WhatIsAllThereIsOverrulesWhatWaited(t *testing.T) {
	b := newTargetbox()
	b.Targets(&pb.HealthTargets{Set: []*pb.HealthTarget{{InstanceId: "old"}}, Remove: []string{"older"}})
	b.Targets(&pb.HealthTargets{Full: true, Set: []*pb.HealthTarget{{InstanceId: "a"}, {InstanceId: "b"}}})
	b.Targets(&pb.HealthTargets{Remove: []string{"a"}})
	b.Targets(&pb.HealthTargets{Set: []*pb.HealthTarget{{InstanceId: "c"}}})
	want := &pb.HealthTargets{Full: true, Set: []*pb.HealthTarget{{InstanceId: "b"}, {InstanceId: "c"}}}
	if diff := cmp.Diff(want, b.take(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}
