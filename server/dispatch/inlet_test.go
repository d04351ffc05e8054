package dispatch

import (
	"testing"

	pb "github.com/dinp/dinp/proto/dinp/v1"
)

func numbered(seq uint64, sync bool) *pb.AgentMessage {
	m := &pb.AgentMessage{Seq: seq, Body: &pb.AgentMessage_Report{Report: &pb.Report{}}}
	if sync {
		m.Body = &pb.AgentMessage_Sync{Sync: &pb.Sync{}}
	}
	return m
}

// admitted hears messages after a hello of number 1, and lists what became of each.
func admitted(t *testing.T, want string, all ...*pb.AgentMessage) {
	t.Helper()
	in, got := NewInlet(1), ""
	for _, m := range all {
		take, resync := in.Admit(m)
		switch {
		case take && resync:
			got += "T"
		case take:
			got += "t"
		case resync:
			got += "?"
		default:
			got += "-"
		}
	}
	if got != want {
		t.Errorf("got %q, want %q (t: taken, T: taken and all is asked for, ?: all is asked for, -: dropped)", got, want)
	}
}

func TestInlet_AfterAGapOnlyAFullSyncIsBelieved(t *testing.T) {
	t.Parallel()
	admitted(t, "t?-tt", numbered(2, false), numbered(4, false), numbered(5, false), numbered(6, true), numbered(7, false))
	admitted(t, "Tt", numbered(4, true), numbered(5, false))
}

func TestInlet_WhatWasOvertakenIsOld_AFullSyncToo(t *testing.T) {
	t.Parallel()
	admitted(t, "tt-t", numbered(2, true), numbered(3, false), numbered(3, false), numbered(4, false))
	// A sync was overtaken by a report, and all was told again before it came.
	admitted(t, "?t-t", numbered(3, false), numbered(4, true), numbered(2, true), numbered(5, false))
	// Nor does it end a gap: what is missing came after it.
	admitted(t, "?--t", numbered(4, false), numbered(2, true), numbered(5, false), numbered(6, true))
}
