// Command router measures the router beside nginx, HAProxy and Caddy: the CPU
// time their processes take for a request, in rounds that alternate between
// them, all before the same apps and under the same load.
//
// scripts/bench-router.sh installs and builds what it needs, and runs it in a
// network namespace with a loopback of its own:
//
//	make bench-router
//	scripts/bench-router.sh -only small,post -peers nginx,dinp -rounds 3
//
// To add a workload, add a row to workloads in workload.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options of a run.
type options struct {
	peers, only string
	rounds      int
	seconds     time.Duration
	dinp, caddy string // programs
	beside      string // other builds of dinp, by commas
	self        string // our own, for apps and attackers
	dir         string // for configurations and logs
	tails       bool   // measure p99 at half load
	attacks     string // those of abuse to measure, by commas; "": all
	idle        int    // idle connections to open; below 0: as many as may be opened
	profile     string // of all peers, per workload, into this folder
}

func main() {
	switch {
	case len(os.Args) > 1 && os.Args[1] == "app":
		exit(serveApps(os.Args[2:]))
	case len(os.Args) == 4 && os.Args[1] == "attack":
		exit(attackAs(os.Args[2], os.Args[3]))
	}
	var o options
	flag.StringVar(&o.peers, "peers", "nginx,haproxy,caddy,dinp", "measure these, of nginx, haproxy, caddy, dinp and dinp-full (the full path alone)")
	flag.StringVar(&o.only, "only", "", "measure these alone: workloads by name, change (of a route under load), idle (connections), abuse (by others)")
	flag.IntVar(&o.rounds, "rounds", 3, "measure each peer so often, in turn")
	flag.DurationVar(&o.seconds, "for", 2*time.Second, "a measurement takes this long")
	flag.StringVar(&o.dinp, "dinp", "bin/dinp", "the program to measure")
	flag.StringVar(&o.beside, "beside", "", "measure these programs, too, other builds of dinp: they are named beside1, beside2 …")
	flag.StringVar(&o.caddy, "caddy", "", "Caddy's program")
	flag.BoolVar(&o.tails, "tails", true, "measure p99 of nginx and dinp at half of nginx's load, too")
	flag.IntVar(&o.idle, "idle", -1, "measure the memory of so many idle connections; below 0: as many as may be opened")
	flag.StringVar(&o.attacks, "attacks", "", "of abuse measure these alone, such as \"slow readers,new connections\"")
	flag.StringVar(&o.profile, "profile", "", "have perf record each peer under each workload into this folder")
	file := flag.String("o", "", "write the report to this file as well")
	flag.Parse()
	if o.idle < 0 {
		o.idle = descriptors()/2 - 500 // a proxy keeps the other half for its apps
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, o, *file))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-router:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, o options, file string) (err error) {
	if o.dir, err = os.MkdirTemp("", "bench-router"); err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)
	out := io.Writer(os.Stdout)
	if file != "" {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		defer f.Close()
		out = io.MultiWriter(os.Stdout, f)
	}
	if o.self, err = os.Executable(); err != nil {
		return err
	}
	apps, err := start(ctx, filepath.Join(o.dir, "apps.log"), o.self, append([]string{"app"}, appAddrs[:]...)...)
	if err != nil {
		return err
	}
	defer apps.stop()
	if err := errors.Join(await(ctx, appAddrs[0]), makeCertificate(o.dir)); err != nil {
		return err
	}
	b := &bench{options: o, out: out}
	b.addBeside()
	b.describe()
	return b.run(ctx)
}

// appAddrs are where the two apps listen. The network namespace is our own.
var appAddrs = [2]string{"127.0.0.1:9101", "127.0.0.1:9102"}

// await waits until something listens.
func await(ctx context.Context, addr string) error {
	until := time.Now().Add(30 * time.Second)
	for {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(until) || ctx.Err() != nil {
			return fmt.Errorf("nobody listens at %s: %w", addr, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// chosen reports whether a comma-separated list names it; an empty one names all.
func chosen(list, name string) bool {
	if list == "" {
		return true
	}
	for s := range strings.SplitSeq(list, ",") {
		if s == name {
			return true
		}
	}
	return false
}
