package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

func TestForward_ExpectContinueIsTheAppsDecision(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}))
	resp, _ := f.rawResponse("POST / HTTP/1.1\r\nHost: shop.local\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
	if resp.StatusCode != 413 {
		t.Errorf("status %d, want the app's 413 without a byte of the body sent", resp.StatusCode)
	}
}

func TestForward_EarlyHintsPass(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(103)
		w.WriteHeader(200)
	}))
	resp, _ := f.rawResponse("GET / HTTP/1.1\r\nHost: shop.local\r\n\r\n")
	if resp.StatusCode != 103 || resp.Header.Get("Link") == "" {
		t.Errorf("first answer %d %v, want 103", resp.StatusCode, resp.Header)
	}
}

func TestForward_ServerSentEventsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	f := newFront(t, Config{}, app(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			http.NewResponseController(w).Flush()
			<-next // the next event only after the client has this one
		}
	}))
	resp, err := f.srv.Client().Do(f.request("GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for i := range 3 {
		if lines.Scan(); lines.Text() != fmt.Sprintf("data: %d", i) {
			t.Fatalf("event %d: %q", i, lines.Text())
		}
		lines.Scan()
		next <- struct{}{}
	}
}

func TestForward_ClientThatLeavesCancelsTheApp(t *testing.T) {
	t.Parallel()
	started, cancelled := make(chan struct{}), make(chan struct{})
	f := newFront(t, Config{}, app(t, func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		close(cancelled)
	}))
	c, err := net.Dial("tcp", f.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.local\r\n\r\n")
	<-started
	c.Close()
	<-cancelled
	if r := f.record(0); r.Status != 499 || r.Why != WhyClientGone {
		t.Errorf("record %+v", r)
	}
}

func TestForward_H2CUpgradeIsNotPassedOn(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, app(t, mirror))
	got := f.raw("GET / HTTP/1.1\r\nHost: shop.local\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n")
	if got.Header.Get("Upgrade") != "" || got.Header.Get("Http2-Settings") != "" || got.Header.Get("Connection") != "" {
		t.Errorf("the app saw %v", got.Header)
	}
}

func TestForward_ContentTypeIsNotGuessed(t *testing.T) {
	t.Parallel()
	f := newFront(t, Config{}, rawApp(t, func(c net.Conn) {
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")
	}))
	if resp, _ := f.get("/"); len(resp.Header["Content-Type"]) != 0 {
		t.Errorf("the app named no type, the client got %q", resp.Header["Content-Type"])
	}
}
