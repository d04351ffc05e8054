package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// turns is a router before instances that answer in turn; the first requests
// fail.
func turns(t *testing.T, names []string, fails int64) string {
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		k := n.Add(1)
		if k <= fails {
			http.Error(w, "no", http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, names[int(k)%len(names)])
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func TestRoute_IsThereWhenAllInstancesWereMet(t *testing.T) {
	w := &watch{}
	if err := w.route(t.Context(), turns(t, []string{"a", "b", "c"}, 0), 3, "", closed()); err != nil {
		t.Fatal(err)
	}
	if w.failed != 0 || w.sent < 3 {
		t.Errorf("%d of %d requests failed", w.failed, w.sent)
	}
}

func TestRoute_CountsFailuresAndNotTheOneThatIsGone(t *testing.T) {
	w := &watch{}
	gone := "abcdef0123456789" // a container's ID begins with its host's name
	// One more than are asked side by side: an answer was counted before the last of them.
	const fail = askers + 2
	if err := w.route(t.Context(), turns(t, []string{"x", "y", "abcdef"}, fail), 2, gone, closed()); err != nil {
		t.Fatal(err)
	}
	if w.failed == 0 || w.why == "" {
		t.Errorf("%d of %d requests failed: %q", w.failed, w.sent, w.why)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&watch{}).route(ctx, turns(t, []string{"abcdef"}, 0), 1, gone, closed()); err == nil {
		t.Error("an instance that is gone was met")
	}
}

func TestEngine_ListsWhatRunsAndWhereItIs(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost || r.URL.Query().Get("filters") != `{"label":["a=b"]}` {
			http.Error(w, "no such container", http.StatusNotFound)
			return
		}
		c := container{ID: "1"}
		c.Networks.Networks = map[string]struct{ IPAddress string }{"bridge": {"172.17.0.2"}}
		_ = json.NewEncoder(w).Encode([]container{c}) // the test looks at what arrives
	})}}
	s.Start()
	t.Cleanup(s.Close)
	e, err := newEngine("unix://" + socket)
	if err != nil {
		t.Fatal(err)
	}
	all, err := e.list(t.Context(), "a=b")
	if err != nil || len(all) != 1 || all[0].address() != "172.17.0.2:8080" {
		t.Errorf("%+v, %v", all, err)
	}
	if id, err := e.nth(t.Context(), "a=b", 7); id != "1" {
		t.Errorf("it is %q, %v", id, err)
	}
	if err := e.kill(t.Context(), "2"); err == nil {
		t.Error("what is not there was killed")
	}
	if _, err := newEngine("tcp://x"); err == nil {
		t.Error("an engine that cannot be asked was taken")
	}
}
