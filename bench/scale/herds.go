package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// herds are all agents of a cluster, in as many processes as they need to have
// their connections open. One of the processes has the health monitor.
type herds []*child

// otherFiles is what a herd's process may need besides its agents' connections.
const otherFiles = 100

// herdsFor is how many processes n agents need with so many connections each, where a
// process may have so many files open.
func herdsFor(n, connections, files int) int {
	each := max(1, (files-otherFiles)/connections)
	return max(1, (n+each-1)/each)
}

// filesAllowed is how many files a process may have open; Go raises the soft limit
// to the hard one by itself.
func filesAllowed() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 1 << 20
	}
	return int(min(l.Max, 1<<20))
}

// startHerds starts so many processes, which share the agents of o.
func startHerds(ctx context.Context, b *bench, o order, processes int) (herds, error) {
	var h herds
	for k := range processes {
		part := o
		part.First, part.Nodes = share(o.Nodes, k, processes)
		part.Alone = o.Alone || k > 0
		part.Hands = max(1, hands/processes)
		if o.Profile != "" {
			part.Profile = fmt.Sprintf("%s-%d", o.Profile, k)
		}
		c, err := startChild(ctx, b, part)
		if err != nil {
			return nil, err
		}
		h = append(h, c)
	}
	return h, nil
}

// share is which of n things the k-th of so many has: first, and how many.
func share(n, k, of int) (first, count int) {
	first = n * k / of
	return first, n*(k+1)/of - first
}

// counts adds up what they have counted.
func (h herds) counts() (all tally, err error) {
	for _, c := range h {
		var one tally
		if err := c.ask(&one, "counts"); err != nil {
			return all, err
		}
		all.add(one)
	}
	return all, nil
}

// die takes the power from n agents and returns which.
func (h herds) die(n int) (dead []string, err error) {
	for k, c := range h {
		var some []string
		_, count := share(n, k, len(h))
		if err := c.ask(&some, "die %d", count); err != nil {
			return nil, err
		}
		dead = append(dead, some...)
	}
	return dead, nil
}

// connect has all agents connect to all servers at once.
func (h herds) connect() error { return h.all("connect") }

// stock gives the agents what the database has for them.
func (h herds) stock() error { return h.all("stock") }

// all gives all processes an order at the same time.
func (h herds) all(order string) error {
	var g errgroup.Group
	for _, c := range h {
		g.Go(func() error { return c.ask(new(int), order) })
	}
	return g.Wait()
}

// cpu is the CPU time that they have used.
func (h herds) cpu() (all time.Duration, err error) {
	for _, c := range h {
		used, err := c.cpu()
		if err != nil {
			return 0, err
		}
		all += used
	}
	return all, nil
}
