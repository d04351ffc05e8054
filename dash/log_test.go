package dash

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	pb "github.com/dinp/dinp/proto/dinp/v1"
	"github.com/dinp/dinp/sql/store"
	"github.com/dinp/dinp/sql/store/storetest"
)

func chunk(lines ...*pb.AppLogLine) *pb.LogChunk { return &pb.LogChunk{Lines: lines} }

func line(ms int64, text string) *pb.AppLogLine { return &pb.AppLogLine{AtMs: ms, Text: text} }

// logRig has an app with two instances that run, and one that crashed.
func logRig(t *testing.T) *rig {
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	app, err := r.store.App(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	detail, _ := json.Marshal(map[string]any{"node": "web1", "exit_code": 1})
	if err := r.store.Apply(t.Context(), r.lease, store.Control{
		Nodes: []model.Node{{ID: "n1", Name: "web1"}},
		Events: []model.Event{{Actor: "server", Verb: "instance.gone", AppID: app.ID, AppName: "shop", Subject: "cccc", Detail: string(detail),
			Message: "instance 1 of v1 on web1: exited with 1", Outcome: "D143"}},
	}); err != nil {
		t.Fatal(err)
	}
	r.leads.set(func() {
		r.leads.apps[app.ID] = &pb.AppReply{Instances: []*pb.InstanceState{
			{Id: "aaaa", Slot: 0, Release: 1, NodeId: "n1", Phase: "running"}, {Id: "bbbb", Slot: 1, Release: 2, NodeId: "n1", Phase: "running"},
		}}
		r.leads.logs["aaaa"] = []*pb.LogChunk{chunk(line(1000, "a1"), line(3000, "a3")), {Lines: []*pb.AppLogLine{line(5000, "a5")}, End: false}}
		r.leads.logs["bbbb"] = []*pb.LogChunk{chunk(line(2000, "b2"), line(4000, "b4"))}
		r.leads.logs["cccc"] = []*pb.LogChunk{chunk(line(500, "c0: panic"))}
	})
	return r
}

func texts(lines []api.LogLine) string {
	var out []string
	for _, l := range lines {
		out = append(out, l.Text)
	}
	return strings.Join(out, " ")
}

func TestLogs_AreMergedByTime(t *testing.T) {
	t.Parallel()
	r := logRig(t)
	for q, want := range map[string]string{
		"":                       "c0: panic a1 b2 a3 b4 a5",
		"?tail=2":                "b4 a5",
		"?instance=1":            "c0: panic b2 b4",
		"?instance=aa":           "a1 a3 a5",
		"?release=v2":            "b2 b4",
		"?release=1":             "c0: panic a1 a3 a5",
		"?instance=cccc&tail=50": "c0: panic",
	} {
		p := do[api.Page[api.LogLine]](r, 200, "GET", "/apps/shop/logs"+q, r.admin, nil, "Accept", "application/json")
		if got := texts(p.Items); got != want {
			t.Errorf("%q: got %q, want %q", q, got, want)
		}
	}
	_, text, h := r.call("GET", "/apps/shop/logs?tail=1", r.admin, nil)
	var l api.LogLine
	if err := json.Unmarshal([]byte(text), &l); err != nil || h.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("lines of JSON: %v %q", h, text)
	}
	if diff := cmp.Diff(api.LogLine{At: time.UnixMilli(5000).UTC(), Text: "a5", Instance: "aaaa", Release: "v1"}, l); diff != "" {
		t.Error(diff)
	}
	if _, text, _ := r.call("GET", "/apps/shop/logs?tail=2", r.admin, nil, "Accept", "text/plain"); text != "b4\na5\n" {
		t.Errorf("as text: %q", text)
	}
	for q, code := range map[string]model.Code{"?tail=x": model.CodeBadRequest, "?since=x": model.CodeBadRequest, "?release=x": model.CodeBadRequest, "?tial=5": model.CodeBadRequest, "?instance=zz": model.CodeNotFound} {
		r.refused(code, "GET", "/apps/shop/logs"+q, r.admin, nil)
	}
	r.call("GET", "/apps/shop/logs?since=1970-01-01T00:00:03Z&instance=aaaa", r.admin, nil)
	r.leads.set(func() {
		last := r.leads.asked[len(r.leads.asked)-1]
		if last.GetSinceMs() != 3000 || last.GetNodeId() != "n1" || last.GetTail() != maxTail {
			t.Errorf("the agent was asked %v", last)
		}
	})
}

func TestLogs_OneNodeAwayHidesNoOthers(t *testing.T) {
	t.Parallel()
	r := logRig(t)
	r.leads.set(func() { r.leads.logs["bbbb"] = []*pb.LogChunk{{Error: "disk gone"}} })
	p := do[api.Page[api.LogLine]](r, 200, "GET", "/apps/shop/logs", r.admin, nil, "Accept", "application/json")
	if got := texts(p.Items); got != "c0: panic a1 a3 a5" {
		t.Errorf("got %q", got)
	}
	e := r.refused(model.CodeUnavailable, "GET", "/apps/shop/logs?instance=bbbb", r.admin, nil)
	if !strings.Contains(e.Message, "disk gone") {
		t.Errorf("message: %q", e.Message)
	}
}

func TestLogs_FollowTellsOldThenNewInstances(t *testing.T) {
	t.Parallel()
	r := logRig(t)
	events := r.events("/apps/shop/logs?follow=true")
	for _, want := range []string{"c0: panic", "a1", "b2", "a3", "b4", "a5"} {
		if e := events.next("log"); !strings.Contains(e.data, `"text":"`+want+`"`) {
			t.Fatalf("got %s, want %s", e.data, want)
		}
	}
	r.leads.set(func() {
		for _, a := range r.leads.apps {
			a.Instances = append(a.Instances, &pb.InstanceState{Id: "dddd", Slot: 2, Release: 2, NodeId: "n1"})
		}
		r.leads.logs["dddd"] = []*pb.LogChunk{chunk(line(9000, "d9"))}
	})
	if e := events.next("log"); !strings.Contains(e.data, "d9") {
		t.Errorf("of an instance that began later: %s", e.data)
	}
	r.refused(model.CodeNotFound, "GET", "/apps/nothing/logs?follow=true", r.admin, nil)
}

func TestMergeLines_HoldsBackUntilTheFirstHaveCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lines := make(chan []api.LogLine)
		ctx, cancel := context.WithCancel(t.Context())
		stop := errors.New("enough")
		var got []string
		looks := 0
		done := make(chan error)
		go func() {
			done <- mergeLines(ctx, lines, func(l []api.LogLine) error {
				got = append(got, texts(l))
				if len(got) == 2 {
					return stop
				}
				return nil
			}, func() { looks++ })
		}()
		at := func(ms int64, text string) []api.LogLine { return []api.LogLine{{At: time.UnixMilli(ms), Text: text}} }
		lines <- at(3, "c")
		<-time.After(mergeWindow - time.Millisecond)
		lines <- at(1, "a")
		<-time.After(mergeWindow)
		lines <- at(2, "b")
		<-time.After(2 * rosterPeriod)
		lines <- at(9, "late")
		lines <- at(8, "early")
		if err := <-done; err != stop {
			t.Errorf("ended with %v", err)
		}
		if diff := cmp.Diff([]string{"a b c", "early late"}, got); diff != "" || looks != 2 {
			t.Errorf("looked %d times: %s", looks, diff)
		}
		cancel()
	})
}

func TestSinceQuery(t *testing.T) {
	t.Parallel()
	now := time.Unix(10_000, 0)
	for in, want := range map[string]time.Time{"": {}, "10m": now.Add(-10 * time.Minute), "1970-01-01T00:00:05Z": time.Unix(5, 0).UTC()} {
		if got, err := sinceQuery(in, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: got %v %v", in, got, err)
		}
	}
	if _, err := sinceQuery("-5m", now); !model.IsCode(err, model.CodeBadRequest) {
		t.Errorf("in the future: %v", err)
	}
}
