// Command swarm measures dinp beside Docker Swarm on one engine, in one run:
// how long it takes until so many instances answer, and until a killed one is
// replaced and all answer again. Rounds take turns, so that what else the machine
// does meets both alike. scripts/bench-swarm.sh prepares all that it needs.
//
// Whether an instance answers is asked of its container's own address, the same
// way for both. Of dinp it is asked besides when the router sends requests to
// all of them, and whether it ever sent one to an instance that was not ready;
// Swarm's own routing needs IPVS in the kernel, which not every host has.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// patience bounds each wait.
const patience = 3 * time.Minute

func main() {
	var p plan
	flag.StringVar(&p.dinp, "dinp", "bin/dinp", "the program, logged in to the platform")
	flag.StringVar(&p.image, "image", "", "image to run, in a registry that both reach")
	flag.StringVar(&p.url, "url", "", "address of the app through dinp's router")
	flag.IntVar(&p.instances, "instances", 20, "how many instances")
	flag.IntVar(&p.rounds, "rounds", 5, "how many rounds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := p.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "swarm:", err)
		os.Exit(1)
	}
}

// plan is what is to be measured.
type plan struct {
	dinp, image, url  string
	instances, rounds int
	figures           map[string][]time.Duration
	names             []string // of figures, in the order of the table
}

func (p *plan) run(ctx context.Context) error {
	e, err := newEngine(os.Getenv("DOCKER_HOST"))
	if err != nil {
		return err
	}
	p.figures = map[string][]time.Duration{}
	platforms := []*platform{swarm(e, p.image, "Swarm", "5s"), swarm(e, p.image, "Swarm, no restart delay", "0s"), ours(e, p)}
	for _, s := range platforms {
		if err := s.create(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for round := range p.rounds {
		for k := range platforms { // each begins a round in its turn
			s := platforms[(round+k)%len(platforms)]
			if err := p.measure(ctx, s, round); err != nil {
				return fmt.Errorf("%s, round %d: %w", s.name, round+1, err)
			}
		}
	}
	p.print()
	return nil
}

// measure is one round of one platform: from nothing to all instances, then the
// loss of one, then back to nothing.
func (p *plan) measure(ctx context.Context, s *platform, round int) error {
	ctx, cancel := context.WithTimeout(ctx, 4*patience)
	defer cancel()
	began := time.Now()
	watch := s.watch(ctx, p.instances, "")
	if err := s.scale(ctx, p.instances); err != nil {
		return err
	}
	if err := p.note(s, began, watch, fmt.Sprintf("%d instances", p.instances)); err != nil {
		return err
	}
	// Another one each time: dinp counts how often an instance's place has failed of
	// late, and waits longer from the third time on.
	victim, err := s.engine.nth(ctx, s.label, 7*round)
	if err != nil {
		return err
	}
	began = time.Now()
	watch = s.watch(ctx, p.instances, victim)
	if err := s.engine.kill(ctx, victim); err != nil {
		return err
	}
	if err := p.note(s, began, watch, "replaced"); err != nil {
		return err
	}
	if err := s.scale(ctx, 0); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		all, err := s.engine.list(ctx, s.label)
		return len(all) == 0, err
	})
}

// note waits for both ends of a watch, and keeps how long they took.
func (p *plan) note(s *platform, began time.Time, w *watch, what string) error {
	answering, err := w.answering()
	if err != nil {
		return err
	}
	p.keep(s.name+": "+what+" answering", answering.Sub(began))
	if s.url == "" {
		return nil
	}
	routed, err := w.routed()
	if err != nil {
		return err
	}
	p.keep(s.name+": "+what+" in the routes", routed.Sub(began))
	if w.failed > 0 {
		fmt.Printf("%s: %d of %d requests through the router failed: %s\n", s.name, w.failed, w.sent, w.why)
	}
	return nil
}

func (p *plan) keep(name string, d time.Duration) {
	if !slices.Contains(p.names, name) {
		p.names = append(p.names, name)
	}
	p.figures[name] = append(p.figures[name], d)
	fmt.Fprintf(os.Stderr, "%-55s %6.2f s\n", name, d.Seconds())
}

func (p *plan) print() {
	slices.Sort(p.names)
	fmt.Printf("%-55s %8s %8s %8s\n", fmt.Sprintf("seconds, %d rounds", p.rounds), "least", "median", "most")
	for _, name := range p.names {
		all := p.figures[name]
		slices.Sort(all)
		fmt.Printf("%-55s %8.2f %8.2f %8.2f\n", name, all[0].Seconds(), all[len(all)/2].Seconds(), all[len(all)-1].Seconds())
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		fmt.Println("load of the machine at the end:", strings.TrimSpace(string(load)))
	}
}
