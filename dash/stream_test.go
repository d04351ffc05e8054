package dash

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dinp/dinp/common/api"
	"github.com/dinp/dinp/common/model"
	"github.com/dinp/dinp/sql/store/storetest"
)

// sse is one server-sent event.
type sse struct{ name, id, data string }

// eventReader reads a stream as it comes.
type eventReader struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Reader
}

// events opens a stream of events.
func (r *rig) events(path string, headers ...string) *eventReader {
	r.t.Helper()
	resp := r.request("GET", path, r.admin, nil, append([]string{"Accept", "text/event-stream"}, headers...)...)
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		b, _ := io.ReadAll(resp.Body)
		r.t.Fatalf("%s: got %d %s: %s", path, resp.StatusCode, resp.Header.Get("Content-Type"), b)
	}
	e := &eventReader{t: r.t, resp: resp, in: bufio.NewReader(resp.Body)}
	r.t.Cleanup(e.close)
	return e
}

func (e *eventReader) close() { e.resp.Body.Close() }

func (e *eventReader) read() (sse, error) {
	var v sse
	for {
		line, err := e.in.ReadString('\n')
		if err != nil {
			return v, err
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ": ")
		switch field {
		case "event":
			v.name = value
		case "id":
			v.id = value
		case "data":
			v.data = value
		case "":
			if v.name != "" {
				return v, nil
			}
		}
	}
}

// next reads on to the next event of a name.
func (e *eventReader) next(name string) sse {
	e.t.Helper()
	for {
		v, err := e.read()
		if err != nil {
			e.t.Fatalf("while waiting for %s: %v", name, err)
		}
		if v.name == name {
			return v
		}
	}
}

func TestBuildLog_Forms(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	d := do[api.Deploy](r, 202, "POST", "/apps/shop/releases", r.admin, `{"image":"nginx:1"}`)
	b := r.claim()
	lines := make([]string, 2*maxPage+5)
	for i := range lines {
		lines[i] = "line"
	}
	lines[0] = "first"
	if err := r.store.AppendBuildLog(t.Context(), b.ID, time.Now(), lines); err != nil {
		t.Fatal(err)
	}
	path := "/builds/" + d.Build.ID + "/log"
	if status, text, h := r.call("GET", path, r.admin, nil); status != 200 || !strings.HasPrefix(text, "first\nline\n") || strings.Count(text, "\n") != len(lines) || !strings.HasPrefix(h.Get("Content-Type"), "text/plain") {
		t.Errorf("as text: %d, %d lines, %v", status, strings.Count(text, "\n"), h)
	}
	p := do[api.Page[api.LogLine]](r, 200, "GET", path+"?after=3", r.admin, nil, "Accept", "application/json")
	if len(p.Items) != maxPage || p.Items[0].Seq != 4 || p.Next != "503" {
		t.Errorf("as a page: %d items from %d, next %q", len(p.Items), p.Items[0].Seq, p.Next)
	}
	follow := r.request("GET", path+"?follow=true&after=1004", r.admin, nil)
	defer follow.Body.Close()
	in := bufio.NewReader(follow.Body)
	if line, err := in.ReadString('\n'); line != "line\n" || err != nil {
		t.Errorf("followed: %q %v", line, err)
	}
	events := r.events(path, "Last-Event-ID", "1004")
	if e := events.next("log"); e.id != "1005" {
		t.Errorf("as events: %+v", e)
	}
	r.finish(b, model.E(model.CodeBuildFailed, "no"))
	if rest, err := io.ReadAll(in); err != nil || len(rest) != 0 {
		t.Errorf("the followed text ended with %q %v", rest, err)
	}
	events.next("done")
	r.refused(model.CodeNotFound, "GET", "/builds/nothing/log", r.admin, nil)
	r.refused(model.CodeBadRequest, "GET", path+"?after=x", r.admin, nil)
}

func TestEvents_StreamFollowsFromNowOrFromWhereItStopped(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	all := r.events("/events")
	app := r.events("/apps/shop/events")
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "other"})
	do[api.App](r, 200, "POST", "/apps/shop/scale", r.admin, `{"instances":3}`)
	first := all.next("event")
	if !strings.Contains(first.data, `"app":"other"`) || first.id == "" {
		t.Errorf("all: %+v", first)
	}
	if e := app.next("event"); !strings.Contains(e.data, `instances 1 → 3`) {
		t.Errorf("of shop: %+v", e)
	}
	back := r.events("/events", "Last-Event-ID", first.id)
	if e := back.next("event"); !strings.Contains(e.data, `instances 1 → 3`) {
		t.Errorf("after coming back: %+v", e)
	}
	r.refused(model.CodeNotFound, "GET", "/apps/nothing/events", r.admin, nil, "Accept", "text/event-stream")
}

func TestStreams_EndWithDash(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t))
	do[api.App](r, 201, "POST", "/apps", r.admin, api.CreateApp{Name: "shop"})
	e := r.events("/events?after=1")
	e.next("event")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := e.read(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("the stream was cut: %v", err)
		}
	}
}
