package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dinp/dinp/common/route"
)

const (
	redisAddr  = "127.0.0.1:9300"
	manyFlips  = 30
	flipsUnder = 64 // connections of the load meanwhile
	askers     = 4  // that ask beside the one who waits for the change
)

// change measures how long a change of one route takes to be obeyed while other
// clients are served, and what those notice of it: under as much load as there can
// be, where each waits for a processor, and under half of that.
func (b *bench) change(ctx context.Context) error {
	fmt.Fprintf(b.out, "\none route changed %d times under load; from before it is published to the first answer by it\n", manyFlips)
	fmt.Fprintf(b.out, "  %-10s %8s %-5s %10s %10s %10s | %10s %10s | %12s %10s   %s\n", "", "routes", "load", "p50", "p99", "max", "old until", "p99", "publication", "a request", "what the load's clients saw")
	redis, err := start(ctx, filepath.Join(b.dir, "redis.log"), "redis-server", "--port", "9300", "--save", "", "--dir", b.dir)
	if err != nil {
		return err
	}
	defer redis.stop()
	if err := await(ctx, redisAddr); err != nil {
		return err
	}
	for _, p := range peers {
		if (p.name != "dinp" && p.name != "nginx") || !chosen(b.peers, p.name) {
			continue
		}
		for _, many := range []bool{false, true} {
			if err := b.changeOf(ctx, p, setting{routes: many, flips: appAddrs[0]}); err != nil {
				return fmt.Errorf("change of a route, %s: %w", p.name, err)
			}
		}
	}
	return nil
}

func (b *bench) changeOf(ctx context.Context, p peer, s setting) error {
	client := redis.NewClient(&redis.Options{Addr: redisAddr, DisableIdentity: true})
	defer client.Close()
	l := &leader{client: client}
	if err := l.begin(ctx, entries(s)); err != nil {
		return err
	}
	b.redis = redisAddr
	defer func() { b.redis = "" }()
	r, err := b.launch(ctx, p, s)
	if err != nil {
		return err
	}
	defer r.stop()
	w := workload{name: "change", conns: flipsUnder, path: "/"}
	all, err := b.changeUnder(ctx, r, l, s, pressure{name: "all", load: func(d time.Duration) (sample, error) {
		return b.wrk(ctx, w, r.addr, d)
	}})
	if err != nil {
		return err
	}
	half := float64(all.requests) / all.seconds / 2
	_, err = b.changeUnder(ctx, r, l, s, pressure{name: "half", pause: time.Millisecond, load: func(d time.Duration) (sample, error) {
		return paceOn(ctx, w, r.addr, half, d), nil
	}})
	return err
}

// paceOn paces for a time, with new connections when one is cut, and counts how
// often that was.
func paceOn(ctx context.Context, w workload, addr string, perSecond float64, d time.Duration) (saw sample) {
	cut, end := 0, time.Now().Add(d)
	for left := d; left > 0 && ctx.Err() == nil; left = time.Until(end) {
		if _, err := pace(ctx, w, addr, perSecond, left); err != nil {
			cut++
			saw.errors = fmt.Sprintf("cut off %d times: %v", cut, err)
		}
	}
	return saw
}

// pressure is what else goes on while a route changes.
type pressure struct {
	name  string
	pause time.Duration // of each asker after an answer
	load  func(d time.Duration) (sample, error)
}

// changeUnder prints what a running peer does under a load, and returns the load.
func (b *bench) changeUnder(ctx context.Context, r *running, l *leader, s setting, under pressure) (saw sample, err error) {
	loaded := make(chan error, 1)
	go func() {
		var err error
		saw, err = under.load(8 * time.Second)
		loaded <- err
	}()
	var parts flipParts
	took, err := b.flip(ctx, r, l, s, under.pause, &parts)
	if err := errors.Join(err, <-loaded); err != nil {
		return saw, err
	}
	routes := 1
	if s.routes {
		routes = manyHosts * manyPaths
	}
	fmt.Fprintf(b.out, "  %-10s %8d %-5s %10v %10v %10v | %10v %10v | %12v %10v   %s\n", r.name, routes, under.name, shorter(percentile(took, 50)), shorter(percentile(took, 99)),
		shorter(took[len(took)-1]), shorter(percentile(parts.old, 50)), shorter(percentile(parts.old, 99)),
		shorter(median(parts.publication)), shorter(median(parts.request)), either(saw.errors, "no connection cut, no request failed"))
	return saw, nil
}

// flipParts are what the time of a change consists of beside the router's own:
// the machine is busy, and the change is seen by asking again and again.
type flipParts struct {
	old         []time.Duration // sorted: when the last request was sent that the old app answered
	publication []time.Duration // until Redis, or the new file, has it
	request     []time.Duration // each that was asked meanwhile
}

// flip changes the route to and fro; others ask as well, with a pause in between.
func (b *bench) flip(ctx context.Context, r *running, l *leader, s setting, pause time.Duration, parts *flipParts) (took []time.Duration, err error) {
	c := &caller{addr: r.addr, all: []string{workload{}.request(flips, "/")}}
	defer c.close()
	time.Sleep(time.Second) // for the load to have begun
	answers := askAlways(r.addr, pause)
	var begun []flipBegan
	defer func() { parts.old = oldUntil(begun, answers()) }()
	for i := range manyFlips {
		s.flips = appAddrs[(i+1)%2]
		began := time.Now()
		begun = append(begun, flipBegan{began, s.flips})
		if r.name == "dinp" {
			err = l.publish(ctx, route.BackendPrefix+flips, backend("flips", s.flips))
		} else if _, err = r.command(b, r.dir, r.addr, s); err == nil {
			err = r.cmd.Process.Signal(syscall.SIGHUP)
		}
		if err != nil {
			return nil, err
		}
		parts.publication = append(parts.publication, time.Since(began))
		for c.app != s.flips {
			asked := time.Now()
			if err := c.call(); err != nil {
				c.close() // a reload cuts it
			}
			parts.request = append(parts.request, time.Since(asked))
			if time.Since(began) > 20*time.Second || ctx.Err() != nil {
				return nil, fmt.Errorf("the change was not obeyed for 20 s: %w", errors.Join(err, ctx.Err()))
			}
		}
		took = append(took, time.Since(began))
		time.Sleep(100 * time.Millisecond) // so that a change meets no other
	}
	slices.Sort(took)
	return took, nil
}

// asked is one request, and who has answered it.
type asked struct {
	sent, answered time.Time
	app            string
}

// askAlways asks the changing app from several connections, with a pause after each
// answer, until the function it returns is called, which returns all that was asked.
func askAlways(addr string, pause time.Duration) (end func() []asked) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		all  []asked
		done = make(chan struct{})
	)
	for range askers {
		wg.Go(func() {
			c := &caller{addr: addr, all: []string{workload{}.request(flips, "/")}}
			defer c.close()
			var mine []asked
			for ended := false; !ended; {
				select {
				case <-done:
					ended = true
				default:
					sent := time.Now()
					if err := c.call(); err != nil {
						c.close() // a reload cuts it
						continue
					}
					mine = append(mine, asked{sent, time.Now(), c.app})
					time.Sleep(pause)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	return func() []asked {
		close(done)
		wg.Wait()
		return all
	}
}

// flipBegan is when a change to an app began.
type flipBegan struct {
	at time.Time
	to string
}

// oldUntil is how long after each change began the last request was sent that
// the app before it answered, sorted. The change took effect between that and
// the first answer by the new app, which includes the time of a request. What
// was answered after the next change began says nothing.
func oldUntil(begun []flipBegan, all []asked) []time.Duration {
	old := make([]time.Duration, len(begun))
	for _, a := range all {
		i := sort.Search(len(begun), func(i int) bool { return begun[i].at.After(a.sent) }) - 1
		said := i+1 >= len(begun) || i >= 0 && a.answered.Before(begun[i+1].at)
		if i >= 0 && said && a.app != begun[i].to {
			old[i] = max(old[i], a.sent.Sub(begun[i].at))
		}
	}
	slices.Sort(old)
	return old
}

// leader publishes routes as the server does.
type leader struct {
	client *redis.Client
	at     route.Version
}

func (l *leader) begin(ctx context.Context, all map[string]string) error {
	l.at = route.Version{Epoch: time.Now().Unix()}
	if err := l.client.FlushAll(ctx).Err(); err != nil {
		return err
	}
	_, err := l.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		for k, v := range all {
			p.Set(ctx, k, v, 0)
		}
		p.HSet(ctx, route.VersionKey, "epoch", l.at.Epoch, "seq", l.at.Seq)
		return nil
	})
	return err
}

func (l *leader) publish(ctx context.Context, key, value string) error {
	l.at.Seq++
	batch := route.EncodeBatch(route.Batch{Version: l.at, Changes: []route.Change{{Key: key, Value: &value}}})
	_, err := l.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, key, value, 0)
		p.HSet(ctx, route.VersionKey, "epoch", l.at.Epoch, "seq", l.at.Seq)
		p.XAdd(ctx, &redis.XAddArgs{Stream: route.ChangesKey, MaxLen: route.ChangesLength, Approx: true, Values: []any{"batch", batch}})
		return nil
	})
	return err
}
