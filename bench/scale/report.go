package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// report prints figures as they come and keeps them as lines.
type report struct {
	out      io.Writer
	lines    []string
	profiles string // folder for those of child processes; "" for none
}

// trial is one row at one number of nodes.
type trial struct {
	r        *report
	row      row
	nodes    int
	profiles string
	began    time.Duration // CPU time of the process
}

func newReport(out io.Writer) *report { return &report{out: out} }

const columns = "%-22s %7s %14s  %-14s %-18s %-7s %8s\n"

func (r *report) head() {
	for _, m := range machine() {
		fmt.Fprintf(r.out, "%-8s %s\n", m.name, m.value)
		r.lines = append(r.lines, m.name+": "+m.value)
	}
	fmt.Fprintln(r.out)
	fmt.Fprintf(r.out, columns, "figure", "nodes", "value", "unit", "to reach", "reached", "CPU s")
}

func (r *report) measure(ctx context.Context, row row, nodes int) error {
	runtime.GC() // what the row before left is not this one's
	t := &trial{r: r, row: row, nodes: nodes, profiles: r.profiles}
	t.start()
	return row.run(ctx, t, nodes)
}

// start begins to count CPU time.
func (t *trial) start() { t.began = cpuTime() }

// cpu is the CPU time that the process spent since start. On a machine that
// does other things too it says more than the time that passed.
func (t *trial) cpu() time.Duration { return cpuTime() - t.began }

// report prints one figure of the row.
func (t *trial) report(value float64, unit string) {
	wanted, reached := t.judge(value, unit)
	fmt.Fprintf(t.r.out, columns, t.row.name, strconv.Itoa(t.nodes), number(value), unit, wanted, reached, fmt.Sprintf("%.2f", t.cpu().Seconds()))
	t.r.lines = append(t.r.lines, fmt.Sprintf("BenchmarkScale/%s/nodes=%d 1 %s %s", t.row.name, t.nodes, strconv.FormatFloat(value, 'g', 6, 64), unit))
}

func (t *trial) judge(value float64, unit string) (wanted, reached string) {
	for _, g := range t.row.goals {
		if g.unit != unit {
			continue
		}
		ok := value >= g.atLeast
		if wanted = "≥ " + number(g.atLeast); g.atMost > 0 {
			ok, wanted = value <= g.atMost, "≤ "+number(g.atMost)
		}
		if g.words != "" {
			wanted = g.words
		}
		if !ok {
			return wanted, "NO"
		}
		return wanted, "yes"
	}
	return "", ""
}

// write puts the figures into a file, in the form of Go's benchmarks.
func (r *report) write(file string) error {
	return os.WriteFile(file, []byte(strings.Join(r.lines, "\n")+"\n"), 0o644)
}

// number writes a figure with three or more significant digits and separators.
func number(v float64) string {
	if v < 100 {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	s := strconv.FormatInt(int64(v+0.5), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
