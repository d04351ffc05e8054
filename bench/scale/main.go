// Command scale measures how the server does at the size of a large
// installation: one process, the real code, fake containers. It describes the
// machine, prints a table of figures with what is to be reached, and writes the
// same as lines that a later run can be compared with:
//
//	go run ./bench/scale -o new.txt
//	go run ./bench/scale compare old.txt new.txt
//
// To add a figure, add a row to rows.go; a row measures at one number of nodes
// and says so for each.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "compare" {
		exit(compare(os.Stdout, os.Args[2], os.Args[3]))
	}
	if text := os.Getenv(orderVariable); text != "" {
		exit(runOrder(context.Background(), text))
	}
	only := flag.String("only", "", "measure the rows whose name this regular expression matches")
	sizes := flag.String("nodes", "100,1000,10000", "measure at these numbers of nodes")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the measuring to this file")
	profiles := flag.String("profiles", "", "write profiles of the servers of the cluster's row, one for each step, to this folder")
	out := flag.String("o", "", "write the figures to this file as well, to be compared later")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			exit(err)
		}
	}
	err := measure(ctx, *only, *sizes, *out, *profiles)
	pprof.StopCPUProfile()
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func measure(ctx context.Context, only, sizes, out, profiles string) error {
	match, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	var nodes []int
	for s := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("-nodes %s: %q is not a number of nodes", sizes, s)
		}
		nodes = append(nodes, n)
	}
	var failed error
	r := newReport(os.Stdout)
	r.profiles = profiles
	r.head()
	for _, row := range rows(false) {
		if !match.MatchString(row.name) || row.name == apart && only == "" {
			continue
		}
		for _, n := range nodes {
			if ctx.Err() != nil {
				break
			}
			if err := r.measure(ctx, row, n); err != nil { // the others say something all the same
				failed = errors.Join(failed, fmt.Errorf("%s at %d nodes: %w", row.name, n, err))
			}
		}
	}
	if out != "" {
		failed = errors.Join(failed, r.write(out))
	}
	if failed == nil {
		failed = ctx.Err()
	}
	return failed
}
