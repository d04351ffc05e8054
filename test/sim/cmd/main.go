// Command cmd runs the simulator: one seed step by step, or many until one
// fails. A failing seed is cut down to the actions it needs, and printed with the
// command that replays it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dinp/dinp/test/sim"
)

func main() {
	seed := flag.Uint64("seed", 0, "run this seed alone")
	first := flag.Uint64("first", 1, "the first of many seeds")
	seeds := flag.Uint64("seeds", 300, "how many")
	only := flag.String("only", "", "with -seed: numbers of the actions that happen, as in 3,7; none for no action")
	verbose := flag.Bool("v", false, "with -seed: print what happens")
	logs := flag.Bool("logs", false, "with -v: print the programs' own logs, too")
	jobs := flag.Int("j", runtime.GOMAXPROCS(0), "seeds at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *seed != 0 {
		os.Exit(one(ctx, *seed, *only, *verbose, *logs))
	}
	os.Exit(many(ctx, *first, *seeds, *jobs))
}

func one(ctx context.Context, seed uint64, only string, verbose, logs bool) int {
	o := sim.Options{Logs: logs}
	if verbose {
		o.Out = os.Stdout
	}
	if only != "" {
		o.Only = []int{}
		for _, f := range strings.Split(only, ",") {
			if n, err := strconv.Atoi(f); err == nil {
				o.Only = append(o.Only, n)
			}
		}
	}
	r := sim.Run(ctx, seed, o)
	if r.Failure != nil {
		fmt.Printf("seed %d fails: %v\n", seed, r.Failure)
		return 1
	}
	fmt.Printf("seed %d holds: %d events, %d commits, as wished %s after the faults\n", seed, r.Events, r.Commits, r.Rested)
	return 0
}

// many runs seeds side by side and stops at the first that fails.
func many(ctx context.Context, first, n uint64, jobs int) int {
	begin := time.Now()
	var next, events atomic.Uint64
	var failed atomic.Pointer[sim.Result]
	var all sync.WaitGroup
	for range jobs {
		all.Go(func() {
			for failed.Load() == nil && ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= n {
					return
				}
				r := sim.Run(ctx, first+i, sim.Options{})
				events.Add(r.Events)
				if r.Failure != nil {
					failed.CompareAndSwap(nil, &r)
				}
			}
		})
	}
	all.Wait()
	if r := failed.Load(); r != nil {
		fmt.Printf("seed %d fails: %v\n", r.Seed, r.Failure)
		need, last := sim.Minimise(ctx, *r)
		fmt.Printf("it needs %d of %d actions:\n", len(need), len(r.Actions))
		for _, a := range r.Actions {
			for _, k := range need {
				if a.N == k {
					fmt.Println("  ", a)
				}
			}
		}
		fmt.Printf("with them: %v\nreplay it with\n   %s\n", last.Failure, sim.Command(r.Seed, need))
		return 1
	}
	fmt.Printf("%d seeds from %d hold: %d events in %s\n", min(next.Load(), n), first, events.Load(), time.Since(begin).Round(time.Millisecond))
	return 0
}
