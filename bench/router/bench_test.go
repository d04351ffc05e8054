package main

import (
	"net"
	"strings"
	"testing"
	"time"
)

func TestParseWrk_ReadsWhatItPrints(t *testing.T) {
	s, err := parseWrk(`Running 2s test @ http://127.0.0.1:9200/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.88ms    1.99ms  20.11ms   71.10%
  Latency Distribution
     50%    2.50ms
     99%    9.99ms
  49310 requests in 2.10s, 7.43MB read
  Socket errors: connect 0, read 3, write 0, timeout 0
  Non-2xx or 3xx responses: 12
Requests/sec:  23480.32
`)
	if err != nil {
		t.Fatal(err)
	}
	if s.requests != 49310 || s.seconds != 2.1 || s.p50 != 2500*time.Microsecond || s.p99 != 9990*time.Microsecond {
		t.Errorf("%+v", s)
	}
	if s.errors != "Socket errors: connect 0, read 3, write 0, timeout 0; Non-2xx or 3xx responses: 12" {
		t.Errorf("errors: %q", s.errors)
	}
	if _, err := parseWrk("unable to connect"); err == nil {
		t.Error("no error for no figures")
	}
}

func TestApp_AnswersEveryRequestOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go serveApp(l)
	post := workload{method: "POST", body: 1024}
	c := &caller{addr: l.Addr().String(), all: []string{post.request(host, "/"), workload{header: browser}.request(host, "/64k")}}
	defer c.close()
	for range 5 {
		if err := c.call(); err != nil {
			t.Fatal(err)
		}
	}
	if c.app != l.Addr().String() {
		t.Errorf("the answer names %q", c.app)
	}
}

func TestReport_ComparesMediansOfRounds(t *testing.T) {
	of := func(micros ...int64) (all []sample) {
		for _, m := range micros {
			all = append(all, sample{requests: 100, seconds: 1, cpu: time.Duration(m) * 100 * time.Microsecond})
		}
		return all
	}
	var out strings.Builder
	b := &bench{out: &out, results: []*result{{
		workload: workload{name: "small", target: 0.6},
		samples:  map[string][]sample{"nginx": of(20, 90, 22), "dinp": of(60, 11, 10)},
	}}}
	b.report()
	if !strings.Contains(out.String(), "against nginx: 0.50, to reach: ≤ 0.60: reached") {
		t.Error(out.String())
	}
}

func TestPeers_AreConfiguredForEverySetting(t *testing.T) {
	b := &bench{options: options{dir: t.TempDir(), dinp: "dinp", caddy: "caddy"}}
	for _, p := range peers {
		for _, s := range []setting{{}, {routes: true, flips: appAddrs[0]}, {log: true}, {tls: true}} {
			if args, err := p.command(b, t.TempDir(), "127.0.0.1:9200", s); err != nil || len(args) < 2 {
				t.Errorf("%s %+v: %v, %v", p.name, s, args, err)
			}
		}
	}
}

func TestOldUntil_IsTheLastRequestSentThatTheOldAppAnswered(t *testing.T) {
	began := time.Unix(1000, 0)
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	begun := []flipBegan{{at(0), "b"}, {at(100), "a"}}
	all := []asked{
		{at(-5), at(-4), "a"}, {at(3), at(9), "a"}, {at(1), at(2), "a"}, {at(4), at(5), "b"},
		{at(99), at(102), "a"}, {at(101), at(103), "a"},
	}
	got := oldUntil(begun, all)
	if len(got) != 2 || got[0] != 0 || got[1] != 3*time.Millisecond {
		t.Errorf("got %v, want 0 (nobody met the old app) and 3 ms", got)
	}
}
