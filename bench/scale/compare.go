package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// reading is one figure of a file that a run has written.
type reading struct {
	name  string
	unit  string
	value float64
}

// compare prints the figures of two runs side by side, with the machines of
// both: figures of different machines say nothing of the code.
func compare(out io.Writer, before, after string) error {
	facts, old, err := read(before)
	if err != nil {
		return err
	}
	newFacts, now, err := read(after)
	if err != nil {
		return err
	}
	for i, f := range facts {
		fmt.Fprintf(out, "old %s\n", f)
		if i < len(newFacts) {
			fmt.Fprintf(out, "new %s\n", newFacts[i])
		}
	}
	fmt.Fprintf(out, "\n%-32s %-14s %14s %14s %8s\n", "figure", "unit", "old", "new", "new/old")
	was := map[string]float64{}
	for _, r := range old {
		was[r.name+" "+r.unit] = r.value
	}
	for _, r := range now {
		v, ok := was[r.name+" "+r.unit]
		if !ok || v == 0 {
			fmt.Fprintf(out, "%-32s %-14s %14s %14s\n", r.name, r.unit, "", number(r.value))
			continue
		}
		fmt.Fprintf(out, "%-32s %-14s %14s %14s %8.2f\n", r.name, r.unit, number(v), number(r.value), r.value/v)
	}
	return nil
}

func read(file string) (facts []string, all []reading, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		w := strings.Fields(s.Text())
		name, ours := strings.CutPrefix(s.Text(), "BenchmarkScale/")
		if !ours || len(w) != 4 {
			facts = append(facts, s.Text())
			continue
		}
		v, err := strconv.ParseFloat(w[2], 64)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %q: %w", file, s.Text(), err)
		}
		name, _, _ = strings.Cut(name, " ")
		all = append(all, reading{name: name, unit: w[3], value: v})
	}
	return facts, all, s.Err()
}
