package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// describe says on what the figures were taken.
func (b *bench) describe() {
	version := func(program string, args ...string) string {
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil {
			return "?"
		}
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return line
	}
	fmt.Fprintf(b.out, "date     %s\ncommit   %s\nmachine  %d cores, %s/%s, Linux %s, load %s\n", time.Now().UTC().Format(time.DateTime),
		version("git", "describe", "--always", "--dirty"), cores(), runtime.GOOS, runtime.GOARCH, version("uname", "-r"), version("cut", "-d ", "-f1-3", "/proc/loadavg"))
	fmt.Fprintf(b.out, "peers    %s; %s", version("nginx", "-v"), version("haproxy", "-v"))
	if b.caddy != "" {
		fmt.Fprintf(b.out, "; Caddy %s", version(b.caddy, "version"))
	}
	fmt.Fprintf(b.out, "; dinp built with %s\nrounds   %d of %v each\n", runtime.Version(), b.rounds, b.seconds)
}

// report prints what was found. Of the rounds the median counts: on a shared
// machine one of them is often disturbed.
func (b *bench) report() {
	for _, res := range b.results {
		fmt.Fprintf(b.out, "\n%s: %s\n", res.name, res.text)
		fmt.Fprintf(b.out, "  %-10s %14s %12s %10s %10s %10s %9s %9s %8s\n",
			"", "CPU s/100,000", "requests/s", "p50", "p99", "p99 half", "memory", "program", "errors")
		for _, p := range peers {
			all := res.samples[p.name]
			if len(all) == 0 {
				continue
			}
			s := middle(all)
			tail := "-"
			if t := res.tails[p.name]; len(t) > 0 {
				tail = shorter(median(t)).String()
			}
			fmt.Fprintf(b.out, "  %-10s %14.2f %12.0f %10v %10v %10s %6.1f MB %6.1f MB %8s\n",
				p.name, s.micros()/10, float64(s.requests)/s.seconds, shorter(s.p50), shorter(s.p99), tail, float64(s.memory)/(1<<20), float64(s.program)/(1<<20), either(s.errors, "none"))
		}
		b.judge(res)
	}
	b.sameCost()
}

// judge compares dinp with nginx, as the targets do.
func (b *bench) judge(res *result) {
	theirs, ours := res.samples["nginx"], res.samples["dinp"]
	if len(theirs) == 0 || len(ours) == 0 {
		return
	}
	ratio := middle(ours).micros() / middle(theirs).micros()
	fmt.Fprintf(b.out, "  CPU per request against nginx: %.2f, to reach: ≤ %.2f: %s\n", ratio, res.target, verdict(ratio <= res.target))
	if t, o := res.tails["nginx"], res.tails["dinp"]; len(t) > 0 && len(o) > 0 {
		fmt.Fprintf(b.out, "  p99 at %.0f requests/s, half of nginx's: %v, to reach: ≤ nginx's %v: %s\n",
			res.rate, shorter(median(o)), shorter(median(t)), verdict(median(o) <= median(t)))
	}
	if res.routes {
		mb := float64(middle(ours).memory) / (1 << 20)
		fmt.Fprintf(b.out, "  memory: %.1f MB, to reach: ≤ 40 MB: %s\n", mb, verdict(mb <= 40))
	}
}

// sameCost compares one route with 10,000.
func (b *bench) sameCost() {
	var one, many float64
	for _, res := range b.results {
		if all := res.samples["dinp"]; len(all) > 0 && res.name == "small" {
			one = middle(all).micros()
		} else if len(all) > 0 && res.name == "routes" {
			many = middle(all).micros()
		}
	}
	if one > 0 && many > 0 {
		fmt.Fprintf(b.out, "\n10,000 routes cost %.2f times what one route costs, to reach: ≤ 1.05: %s\n", many/one, verdict(many <= one*1.05))
	}
}

func verdict(reached bool) string {
	if reached {
		return "reached"
	}
	return "MISSED"
}

// middle is the sample with the median CPU time.
func middle(all []sample) sample {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b sample) int {
		switch {
		case a.micros() < b.micros():
			return -1
		case a.micros() > b.micros():
			return 1
		}
		return 0
	})
	return sorted[len(sorted)/2]
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func shorter(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

func short(all []time.Duration) []time.Duration {
	out := make([]time.Duration, len(all))
	for i, d := range all {
		out[i] = shorter(d)
	}
	return out
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
