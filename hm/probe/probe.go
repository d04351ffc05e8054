// Package probe makes one attempt to reach an instance over HTTP, and says in
// words how it went. What follows from it is not its business.
package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// Target is what to probe.
type Target struct {
	Addr string // ip:port
	Host string // the Host header
	Path string // "": GET /, and any status below 500 will do
}

// Result is how one attempt went.
type Result struct {
	OK       bool
	Answered bool   // in any way: somebody listens there
	Evidence string // "GET /healthz → 200 in 3ms"; of failures without times, so that equal ones look equal
}

// Timeout is how long an instance may take to answer.
const Timeout = 2 * time.Second

// maxBody and maxHeader are how much of an answer is read: an instance may
// answer anything, also without end.
const (
	maxBody   = 64 << 10
	maxHeader = 64 << 10
)

// client opens a connection for each probe: a kept one would prove only that
// the old connection still works, and say nothing of new visitors'.
var client = &http.Client{
	Transport: &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		DialContext: (&net.Dialer{Timeout: Timeout, KeepAlive: -1}).DialContext,
	},
	// A redirect is an answer; where it leads is not this instance.
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// HTTP probes once.
func HTTP(ctx context.Context, t Target) Result {
	path := t.Path
	if path == "" {
		path = "/"
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.Addr+path, nil)
	if err != nil {
		return Result{Evidence: fmt.Sprintf("GET %s cannot be asked of %s", path, t.Addr)}
	}
	req.Host = t.Host
	req.Header.Set("User-Agent", "dinp-hm")
	begun := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		why, answered := reason(err)
		return Result{Answered: answered, Evidence: fmt.Sprintf("GET %s: %s", path, why)}
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)) // the status is the answer; a polite reader takes the rest
	answer := fmt.Sprintf("GET %s → %d", path, resp.StatusCode)
	if !accepted(t.Path, resp.StatusCode) {
		return Result{Answered: true, Evidence: answer}
	}
	return Result{OK: true, Answered: true, Evidence: fmt.Sprintf("%s in %s", answer, time.Since(begun).Round(time.Millisecond))}
}

// accepted judges by the status alone, never by words in the body. Without a
// path of its own an app only has to be there: its / may well ask for a login.
func accepted(path string, status int) bool {
	if path == "" {
		return status < 500
	}
	return status >= 200 && status < 400
}

// reason says what an error means for the instance, and whether it has answered
// something. A connection alone is no answer: the engine accepts them for a port to
// which nobody listens.
func reason(err error) (text string, answered bool) {
	var netErr net.Error
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connect: refused", false
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "connect: no route to host", false
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset", false
	case errors.As(err, &netErr) && netErr.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", Timeout), false
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed without an answer", false
	}
	text = err.Error()
	switch { // package net/http has no names for these
	case strings.Contains(text, "malformed HTTP"), strings.Contains(text, "readLoopPeekFailLocked"):
		return "not HTTP", true // the second: it spoke before it was asked
	case strings.Contains(text, "server closed idle connection"):
		return "connection closed without an answer", false
	}
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:] // the innermost cause
	}
	return text, !errors.As(err, &op)
}
