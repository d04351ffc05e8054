package router

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/dinp/dinp/common/route"
	"github.com/dinp/dinp/router/proxy"
	"github.com/dinp/dinp/test/testenv"
)

func TestRouter_AccessLogSaysWhatAndWhy(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	l.publish(shop(app(t, says("hello"))))
	c := config(t, l.c.Options().Addr)
	log := &buffer{}
	c.AccessWriter = log
	r := start(t, c)
	l.acknowledged("r1")
	r.get("shop.local", "/a?secret=1")
	r.get("nope.local", "/")
	r.end()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), log)
	}
	var got []map[string]any
	for _, s := range lines {
		m := map[string]any{}
		if err := json.Unmarshal([]byte(s), &m); err != nil {
			t.Fatal(err)
		}
		got = append(got, m)
	}
	if got[0]["host"] == "nope.local" { // two paths write, each in its own time
		slices.Reverse(got)
	}
	for k, v := range map[string]any{"host": "shop.local", "app": "shop", "release": 3.0, "method": "GET", "path": "/a", "status": 200.0, "bytes": 5.0, "attempts": 1.0} {
		if got[0][k] != v {
			t.Errorf("%s = %v, want %v", k, got[0][k], v)
		}
	}
	if got[0]["instance"] == "" || got[0]["request_id"] == "" || got[0]["time"] == "" {
		t.Errorf("line %v", got[0])
	}
	if got[1]["code"] != "D160" || got[1]["why"] != "no_host" || got[1]["status"] != 404.0 {
		t.Errorf("line %v", got[1])
	}
	if strings.Contains(log.String(), "secret") {
		t.Error("the query is in the log")
	}
}

func TestRouter_MetricsAndDebug(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	r := start(t, config(t, l.c.Options().Addr))
	l.publish(shop(app(t, says("hello"))))
	r.answers("shop.local", 200, "hello")
	r.get("flood-1.local", "/")
	r.get("flood-2.local", "/")
	const counted = `dinp_router_requests_total{app="shop",class="2xx",release="3"} 1`
	var body string
	testenv.Eventually(t, time.Minute, func() error { // a request is counted after its answer
		if _, body = r.adminGet("/metrics"); !strings.Contains(body, counted) {
			return errors.New("not counted")
		}
		return nil
	})
	for _, want := range []string{
		counted, `dinp_router_requests_total{app="",class="4xx",release="0"}`,
		`dinp_router_refused_total{code="D160"}`, "dinp_router_table_epoch 100", "dinp_router_table_seq 1", "dinp_router_redis_connected 1",
		`dinp_router_route_refusals_total{reason="withdrawal"} 0`, "dinp_router_request_seconds_count",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(body, "flood-1") {
		t.Error("a visitor can make series")
	}
	var v tableView
	if _, body := r.adminGet("/debug/table"); json.Unmarshal([]byte(body), &v) != nil || len(v.Backends) != 1 || v.Backends[0].Endpoints[0].Release != 3 {
		t.Errorf("debug table: %s", body)
	}
	l.publish(route.Change{Key: "/rs/shop.local"})
	r.answers("shop.local", 404, "D160")
	testenv.Eventually(t, time.Minute, func() error { // its counts go after the table, and that of its last request may come after them
		r.forgetApps()
		if _, body := r.adminGet("/metrics"); strings.Contains(body, `app="shop"`) {
			return errors.New("a deleted app's series stay")
		}
		return nil
	})
}

func TestRouter_ARequestThatOutlivesItsAppLeavesNoCountsBehind(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	r := start(t, config(t, l.c.Options().Addr))
	l.publish(shop(app(t, says("hello"))))
	r.answers("shop.local", 200, "hello")
	for _, name := range []string{"shop", "deleted", ""} {
		r.count(&proxy.Record{App: name, Release: 3, Status: 200, Ended: time.Now()})
	}
	r.forgetApps()
	_, body := r.adminGet("/metrics")
	for name, want := range map[string]bool{"shop": true, "deleted": false, "": true} {
		if strings.Contains(body, `app="`+name+`"`) != want {
			t.Errorf("there are counts of %q: %v, want %v", name, !want, want)
		}
	}
}

func TestRouter_HugeHeadsAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t, config(t, miniredis.RunT(t).Addr()))
	req, _ := http.NewRequest("GET", "http://"+r.Addr()+"/", nil)
	req.Close = true
	req.Header.Set("X-Big", strings.Repeat("x", 2*maxHeaderBytes))
	if status, _, err := answer(http.DefaultTransport.RoundTrip(req)); err == nil && status != 431 {
		t.Errorf("status %d, want 431", status)
	}
}

func TestRouter_DebugTableIsBoundedAndFiltered(t *testing.T) {
	t.Parallel()
	l := newLeader(t, testenv.Redis(t))
	r := start(t, config(t, l.c.Options().Addr))
	changes := []route.Change{shop("10.0.0.1:80")}
	target := "shop.local"
	for i := range maxShown + 5 {
		changes = append(changes, backend(fmt.Sprint("app-", i)), route.Change{Key: fmt.Sprintf("/cname/www-%d.example", i), Value: &target})
	}
	l.publish(changes...)
	l.acknowledged("r1")
	show := func(query string) (v tableView) {
		if _, body := r.adminGet("/debug/table" + query); json.Unmarshal([]byte(body), &v) != nil {
			t.Fatal(body)
		}
		return v
	}
	if v := show(""); len(v.Backends) != maxShown || len(v.Domains) != maxShown || v.Omitted != 11 {
		t.Errorf("%d hosts, %d domains, %d left out", len(v.Backends), len(v.Domains), v.Omitted)
	}
	if v := show("?host=SHOP"); len(v.Backends) != 1 || v.Backends[0].Endpoints[0].Addr != "10.0.0.1:80" || len(v.Domains) != maxShown {
		t.Errorf("%d hosts, %d domains", len(v.Backends), len(v.Domains))
	}
	if v := show("?host=www-7.example"); len(v.Backends) != 0 || v.Domains["www-7.example"] != "shop.local" || len(v.Domains) != 1 || v.Omitted != 0 {
		t.Errorf("%+v", v)
	}
}
