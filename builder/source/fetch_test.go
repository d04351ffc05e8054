package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dinp/dinp/common/model"
)

// fetcher may fetch from this machine, where the tests' servers are.
func fetcher(t testing.TB, change ...func(*Config)) *Fetcher {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Allow = []string{"127.0.0.0/8", "::1"}
	for _, f := range change {
		f(&cfg)
	}
	f, err := NewFetcher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// refusal fetches what must be refused, and checks that nothing is left.
func refusal(t testing.TB, f *Fetcher, address, want string, code model.Code, says string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "artifact")
	got, err := f.Fetch(t.Context(), address, want, path)
	e := model.AsError(err)
	if err == nil || e.Code != code || !strings.Contains(e.Message, says) || e.Next == "" && code != model.CodeSourceFailed {
		t.Errorf("%s: %+v, error %v; want %s with %q", address, got, err, code, says)
	}
	if strings.Contains(e.Error(), "169.254.169.254 ") && !strings.Contains(address, "169.254") {
		t.Errorf("the refusal tells of the inner network: %v", e)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("%s left a file: %v", address, err)
	}
}

func TestFetch_BringsTheBytesAndTheirName(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("war"), 100_000)
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/files/shop.war?sig=secret", http.StatusFound)
		case "/named":
			w.Header().Set("Content-Disposition", `attachment; filename="../../etc/shop-2.war"`)
			w.Write(body)
		default:
			if r.Header.Get("Referer") != "" || r.Header.Get("Accept-Encoding") != "" {
				t.Errorf("request %v", r.Header)
			}
			w.Write(body)
		}
	})
	for path, name := range map[string]string{"/files/shop.war": "shop.war", "/moved": "shop.war", "/named": "shop-2.war", "/": ""} {
		to := filepath.Join(t.TempDir(), "artifact")
		got, err := fetcher(t).Fetch(t.Context(), u+path, sum(body), to)
		if err != nil || got != (Fetched{SHA256: sum(body), Size: int64(len(body)), Filename: name}) {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
		if b, err := os.ReadFile(to); err != nil || !bytes.Equal(b, body) {
			t.Errorf("%s: %d bytes, %v", path, len(b), err)
		}
	}
}

func TestFetch_RefusesAddressesThatAreNotPublic(t *testing.T) {
	t.Parallel()
	f, err := NewFetcher(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	u := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("it was asked") })
	port := u[strings.LastIndex(u, ":"):]
	for address, says := range map[string]string{
		u: "this machine", "http://localhost" + port: "this machine", "http://169.254.169.254/latest/meta-data/": "link-local", "http://[fe80::1]/": "link-local",
		"http://10.0.0.1/": "private", "http://192.168.1.1/x": "private", "http://[fd00:ec2::254]/": "private", "http://0.0.0.0" + port: "unspecified",
		"http://[::]" + port: "unspecified", "http://[::ffff:127.0.0.1]" + port: "this machine", "http://[64:ff9b::7f00:1]/": "this machine", "http://[2002:a9fe:a9fe::]/": "link-local",
		"http://100.64.0.1/": "inner network", "http://224.0.0.1/": "multicast",
	} {
		refusal(t, f, address, "", model.CodeBadSource, says)
	}
}

func TestFetch_RefusesWhatIsNoAddressOfAFile(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "shop.war", "file:///etc/passwd", "ftp://host/x", "http:///x", "gopher://x", "http://user:secret@host/x", "http:opaque", "://"} {
		refusal(t, fetcher(t), address, "", model.CodeBadSource, "")
	}
}

func TestFetch_ARedirectMeetsTheSameWall(t *testing.T) {
	t.Parallel()
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{
			"/metadata": "http://169.254.169.254/latest/meta-data/", "/inner": "http://10.0.0.1/", "/file": "file:///etc/passwd",
			"/password": "http://a:b@example.com/", "/loop": "/loop",
		}[r.URL.Path]
		http.Redirect(w, r, to, http.StatusFound)
	})
	refusal(t, fetcher(t), u+"/metadata", "", model.CodeBadSource, "link-local")
	refusal(t, fetcher(t), u+"/inner", "", model.CodeBadSource, "private")
	refusal(t, fetcher(t), u+"/file", "", model.CodeBadSource, "only http and https")
	refusal(t, fetcher(t), u+"/password", "", model.CodeBadSource, "password")
	refusal(t, fetcher(t), u+"/loop", "", model.CodeSourceFailed, "more than 5 times")
}

// A name server that answers with a public address first and an inner one when it is asked again gets nothing from it:
// the address that is dialled is the one that is judged, whatever any earlier look-up has said.
func TestGuard_JudgesTheAddressThatIsDialled(t *testing.T) {
	t.Parallel()
	u := serve(t, func(http.ResponseWriter, *http.Request) {})
	var g Guard
	conn, err := g.DialContext(t.Context(), "tcp", "localhost"+u[strings.LastIndex(u, ":"):])
	if err == nil {
		conn.Close()
		t.Fatal("connected to this machine by its name")
	}
	if !strings.Contains(err.Error(), ErrRefused.Error()) {
		t.Error(err)
	}
	named := g.WithHost(strings.TrimPrefix(u, "http://"))
	conn, err = named.DialContext(t.Context(), "tcp", strings.TrimPrefix(u, "http://"))
	if err != nil {
		t.Fatalf("a host that was named: %v", err)
	}
	conn.Close()
	if err := named.check(netip.MustParseAddr("169.254.169.254"), true); err == nil {
		t.Error("a named host may be the metadata service")
	}
}

func TestFetch_RefusesAnswersThatAreNoFile(t *testing.T) {
	t.Parallel()
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/html":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
		case "/json":
			w.Header().Set("Content-Type", "application/json")
		case "/announced":
			w.Header().Set("Content-Length", fmt.Sprint(5<<20))
			return
		case "/cut":
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte("half"))
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	})
	f := fetcher(t, func(c *Config) { c.MaxMiB = 1 })
	refusal(t, f, u+"/html", "", model.CodeSourceFailed, "a page (text/html)")
	refusal(t, f, u+"/json", "", model.CodeSourceFailed, "a page (application/json)")
	refusal(t, f, u+"/secret", "", model.CodeSourceFailed, "answered 403 Forbidden")
	refusal(t, f, u+"/announced", "", model.CodeTooLarge, "1 MiB")
	refusal(t, f, u+"/cut", "", model.CodeSourceFailed, "cannot be fetched")
	refusal(t, f, "http://no-such-host.invalid/x", "", model.CodeSourceFailed, "")
}

func TestFetch_WhatNeverEndsIsEnded(t *testing.T) {
	t.Parallel()
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		block := make([]byte, 64<<10)
		for r.Context().Err() == nil {
			switch r.URL.Path {
			case "/flood":
				if _, err := w.Write(block); err != nil {
					return
				}
			case "/drip":
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
				select {
				case <-time.After(50 * time.Millisecond):
				case <-r.Context().Done():
				}
			case "/silent":
				w.Write([]byte("x"))
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
		}
	})
	const long = 10 * time.Minute // one limit at a time: on a machine that stalls any of them may be the first
	limits := func(timeout, stall time.Duration) *Fetcher {
		return fetcher(t, func(c *Config) { c.MaxMiB, c.Timeout, c.Stall = 1, timeout, stall })
	}
	refusal(t, limits(long, long), u+"/flood", "", model.CodeTooLarge, "1 MiB")
	refusal(t, limits(3*time.Second, long), u+"/drip", "", model.CodeSourceFailed, "in 3s, the limit")
	refusal(t, limits(long, 3*time.Second), u+"/silent", "", model.CodeSourceFailed, "sent nothing for 3s")
}

// What changes between requests cannot be checked as one thing and kept as another: there is one request.
func TestFetch_WhatChangesBetweenRequestsIsAskedOnce(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("asked by %s", r.Method)
		}
		fmt.Fprintf(w, "\x1f\x8banswer %d", asked.Add(1))
	})
	path := filepath.Join(t.TempDir(), "artifact")
	got, err := fetcher(t).Fetch(t.Context(), u+"/a.tar.gz", "", path)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(path)
	if err != nil || sum(kept) != got.SHA256 || asked.Load() != 1 {
		t.Errorf("kept %q as %s after %d requests, %v", kept, got.SHA256, asked.Load(), err)
	}
	refusal(t, fetcher(t), u+"/a.tar.gz", got.SHA256, model.CodeSourceFailed, "wanted was "+got.SHA256)
}

func TestFetch_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	u := serve(t, func(_ http.ResponseWriter, r *http.Request) { close(arrived); <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if _, err := fetcher(t).Fetch(ctx, u+"/x", "", filepath.Join(t.TempDir(), "a")); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

func TestConfig_ListsAllThatIsWrong(t *testing.T) {
	t.Parallel()
	if got := (Config{Allow: []string{"everywhere"}}).Problems(); len(got) != 4 {
		t.Errorf("got %v", got)
	}
	if got := DefaultConfig().Problems(); got != nil {
		t.Errorf("defaults: %v", got)
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://host/a", "http://[::1]:80/", "http://a@b/", "file:///x", "http://\x00/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if u, err := CheckURL(s); err == nil && (u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https") {
			t.Errorf("%q was taken as %v", s, u)
		}
	})
}
