// Command cmd runs the simulator: one seed step by step, or many. A failing seed
// is cut down to the actions it needs, and printed with the command that replays
// it; the others go on.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
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
	brief := flag.Bool("brief", false, "with many seeds: then sweep, and print what fails in one line, not cut down")
	likely := flag.String("likely", "", "with -brief: try this run first, named as it prints them")
	scenario := flag.String("scenario", "", "run this scenario alone, with -fault at -effect")
	fault := flag.String("fault", "", "with -scenario: what goes wrong")
	effect := flag.Int("effect", 1, "with -scenario: the effect after which it goes wrong")
	logs := flag.Bool("logs", false, "with -v: print the programs' own logs, too")
	jobs := flag.Int("j", runtime.GOMAXPROCS(0), "seeds at once")
	flag.Parse()
	debug.SetGCPercent(400) // a run is small, and makes much that is soon forgotten
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *seed != 0 {
		os.Exit(one(ctx, *seed, *only, *verbose, *logs))
	}
	if *scenario != "" {
		os.Exit(sweep(ctx, sim.Sweep{Scenario: *scenario, Fault: *fault, K: *effect}, *verbose, *logs))
	}
	if *brief {
		os.Exit(briefly(ctx, *likely, *first, *seeds, *jobs))
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

func sweep(ctx context.Context, s sim.Sweep, verbose, logs bool) int {
	out := io.Discard
	if verbose {
		out = os.Stdout
	}
	failure, reached := sim.RunSweep(ctx, s, out, logs)
	switch {
	case failure != nil:
		fmt.Printf("%s: %v\n", s, failure)
		return 1
	case !reached:
		fmt.Printf("%s: there is no such effect\n", s)
		return 2
	}
	fmt.Printf("%s: all holds\n", s)
	return 0
}

// search tries what the numbers below n mean, side by side, until one fails; it
// returns what the lowest that failed came to, nil for nothing.
func search(ctx context.Context, n uint64, jobs int, try func(i uint64) *string) *string {
	var next atomic.Uint64
	var lock sync.Mutex
	lowest, found := n, (*string)(nil) // guarded by lock
	tell := func(i uint64, failed *string) {
		lock.Lock()
		defer lock.Unlock()
		if i < lowest {
			lowest, found = i, failed
		}
		next.Store(n)
	}
	var all sync.WaitGroup
	for range jobs {
		all.Go(func() {
			for i := next.Add(1) - 1; i < n && ctx.Err() == nil; i = next.Add(1) - 1 {
				if failed := try(i); failed != nil {
					tell(i, failed)
				}
			}
		})
	}
	all.Wait()
	return found
}

// quick is how many seeds are tried before the sweeps: what is easy to find is
// found in one of them.
const quick = 30

// try is a run, or a few; it says in one line what failed, nil for nothing.
type try func(ctx context.Context) *string

// briefly looks for any failure, in the way that is the fastest for a program
// that has one: what has failed before, the scenarios as they are, some seeds, the
// sweeps, and the other seeds.
func briefly(ctx context.Context, likely string, first, n uint64, jobs int) int {
	tries := again(likely)
	for _, s := range sim.Scenarios() {
		tries = append(tries, once(s))
	}
	for i := range min(n, quick) {
		tries = append(tries, seed(first+i))
	}
	for _, s := range sim.Sweeps() {
		tries = append(tries, func(ctx context.Context) *string { return sweepAll(ctx, s) })
	}
	for i := min(n, quick); i < n; i++ {
		tries = append(tries, seed(first+i))
	}
	failed := search(ctx, uint64(len(tries)), jobs, func(i uint64) *string { return tries[i](ctx) })
	if failed == nil {
		return 0
	}
	fmt.Println(*failed)
	return 1
}

// again is the run that a text names, and for one of a sweep the whole of it:
// effects move when the program changes.
func again(name string) []try {
	var n uint64
	if _, err := fmt.Sscanf(name, "seed %d", &n); err == nil {
		return []try{seed(n)}
	}
	s, ok := sim.ParseSweep(name)
	if !ok {
		return nil
	}
	whole := s
	whole.K = 1
	return []try{once(s), func(ctx context.Context) *string { return sweepAll(ctx, whole) }}
}

func seed(n uint64) try {
	return func(ctx context.Context) *string {
		return oneLine(fmt.Sprintf("seed %d", n), sim.Run(ctx, n, sim.Options{}).Failure)
	}
}

func once(s sim.Sweep) try {
	return func(ctx context.Context) *string {
		failure, _ := sim.RunSweep(ctx, s, nil, false)
		return oneLine(s.String(), failure)
	}
}

// sweepAll runs a sweep at each of its effects, until one fails.
func sweepAll(ctx context.Context, s sim.Sweep) *string {
	for ; ctx.Err() == nil; s = s.Next(1) {
		failure, reached := sim.RunSweep(ctx, s, nil, false)
		if failure != nil || !reached {
			return oneLine(s.String(), failure)
		}
	}
	return nil
}

func oneLine(what string, f *sim.Failure) *string {
	if f == nil {
		return nil
	}
	s := fmt.Sprintf("%s\t%s\t%s", what, f.Invariant, f.Message)
	return &s
}

// many runs seeds side by side. It goes on after one that fails, so that a fault
// that many seeds find hides no other, says of each what it needs to fail, and
// names all at the end.
func many(ctx context.Context, first, n uint64, jobs int) int {
	begin := time.Now()
	var next, events, held atomic.Uint64
	failed := make(chan sim.Result)
	var all sync.WaitGroup
	for range jobs {
		all.Go(func() {
			for i := next.Add(1) - 1; i < n && ctx.Err() == nil; i = next.Add(1) - 1 {
				if r := sim.Run(ctx, first+i, sim.Options{}); r.Failure != nil {
					failed <- r
				} else {
					events.Add(r.Events)
					held.Add(1)
				}
			}
		})
	}
	go func() { all.Wait(); close(failed) }()
	var seeds []uint64
	for r := range failed {
		if ctx.Err() == nil { // what was broken off has not failed
			seeds = append(seeds, r.Seed)
			explain(ctx, r)
		}
	}
	fmt.Printf("%d seeds from %d hold: %d events in %s\n", held.Load(), first, events.Load(), time.Since(begin).Round(time.Millisecond))
	if len(seeds) > 0 {
		slices.Sort(seeds)
		fmt.Printf("%d fail: %v\n", len(seeds), seeds)
		return 1
	}
	return 0
}

// explain cuts a failing seed down to the actions it needs, and says how to see
// that.
func explain(ctx context.Context, r sim.Result) {
	fmt.Printf("seed %d fails: %v\n", r.Seed, r.Failure)
	need, last := sim.Minimise(ctx, r)
	fmt.Printf("it needs %d of %d actions:\n", len(need), len(r.Actions))
	for _, a := range r.Actions {
		if slices.Contains(need, a.N) {
			fmt.Println("  ", a)
		}
	}
	fmt.Printf("with them: %v\nreplay it with\n   %s\n", last.Failure, sim.Command(r.Seed, need))
}
