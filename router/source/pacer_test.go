package source

import (
	"slices"
	"testing"
	"time"
)

func TestPacer_ALongJobRestsFourTimesAsLongAsItWorks(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	var rests []time.Duration
	p := &pacer{now: func() time.Time { return now }, pause: func(d time.Duration) { rests = append(rests, d); now = now.Add(d) }, began: now}
	for range 25 {
		now = now.Add(100 * time.Microsecond)
		p.step()
	}
	if want := []time.Duration{4 * time.Millisecond, 4 * time.Millisecond}; !slices.Equal(rests, want) {
		t.Errorf("after 2.5 ms of work it has rested %v, want %v", rests, want)
	}
}

func TestPacer_WhatTheMachineDidMeanwhileAsksForNoLongRest(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	var rested time.Duration
	p := &pacer{now: func() time.Time { return now }, pause: func(d time.Duration) { rested += d }, began: now}
	now = now.Add(time.Minute)
	p.step()
	if rested != 20*time.Millisecond {
		t.Errorf("rested %v after a turn of a minute, want 20ms", rested)
	}
}
