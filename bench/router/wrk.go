package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// sample is what one measurement found.
type sample struct {
	requests int64
	seconds  float64
	cpu      time.Duration // of the peer, for all of them
	p50, p99 time.Duration
	memory   int64 // its own
	program  int64 // of it in memory
	errors   string
}

// micros is the peer's CPU time per request.
func (s sample) micros() float64 { return float64(s.cpu.Microseconds()) / float64(max(s.requests, 1)) }

// script has wrk send our bytes as they are.
func script(w workload) string {
	var b strings.Builder
	b.WriteString("local r = {\n")
	for _, s := range w.requests() {
		fmt.Fprintf(&b, "%s,\n", luaString(s))
	}
	b.WriteString("}\nlocal i = 0\nfunction request()\n  i = i % #r + 1\n  return r[i]\nend\n")
	return b.String()
}

func luaString(s string) string {
	return `"` + strings.NewReplacer("\\", `\\`, `"`, `\"`, "\r", `\r`, "\n", `\n`).Replace(s) + `"`
}

// wrk loads addr as much as it takes.
func (b *bench) wrk(ctx context.Context, w workload, addr string, d time.Duration) (s sample, err error) {
	lua := filepath.Join(b.dir, w.name+".lua")
	if err := os.WriteFile(lua, []byte(script(w)), 0o600); err != nil {
		return s, err
	}
	url := "http://" + addr + "/"
	if w.tls {
		url = "https://" + strings.Replace(addr, "127.0.0.1", "localhost", 1) + "/" // by name, for SNI
	}
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c"+strconv.Itoa(w.conns), "-d"+strconv.Itoa(int(d.Seconds()))+"s",
		"--latency", "-s", lua, url).CombinedOutput()
	if err != nil {
		return s, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parseWrk(string(out))
}

var (
	wrkTotal  = regexp.MustCompile(`(\d+) requests in ([\d.]+)(m?s|m)`)
	wrkLine   = regexp.MustCompile(`(?m)^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)`)
	wrkErrors = regexp.MustCompile(`(?m)(Non-2xx.*|Socket errors.*)$`)
)

func parseWrk(out string) (s sample, err error) {
	m := wrkTotal.FindStringSubmatch(out)
	if m == nil {
		return s, fmt.Errorf("wrk said: %s", out)
	}
	s.requests, _ = strconv.ParseInt(m[1], 10, 64)
	s.seconds = duration(m[2], m[3]).Seconds()
	for _, m := range wrkLine.FindAllStringSubmatch(out, -1) {
		if d := duration(m[2], m[3]); m[1] == "50" {
			s.p50 = d
		} else {
			s.p99 = d
		}
	}
	s.errors = strings.Join(wrkErrors.FindAllString(out, -1), "; ")
	return s, nil
}

func duration(n, unit string) time.Duration {
	d, _ := time.ParseDuration(n + strings.Replace(unit, "us", "µs", 1)) // the expressions admit nothing else
	return d
}
