package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func cores() int { return runtime.NumCPU() }

// bench is a run.
type bench struct {
	options
	out     io.Writer
	redis   string // address of the one that dinp follows; "": none
	results []*result
}

// result is a workload's, by peer.
type result struct {
	workload
	samples map[string][]sample
	tails   map[string][]time.Duration // p99 at half load, a round each
	rate    float64                    // of that
}

func (b *bench) run(ctx context.Context) error {
	var err error
	for _, group := range grouped(b.only) {
		err = errors.Join(err, b.group(ctx, group))
	}
	b.report()
	for _, more := range []struct {
		name string
		run  func(context.Context) error
	}{{"change", b.change}, {"idle", b.crowd}, {"abuse", b.misbehave}} {
		if chosen(b.only, more.name) && ctx.Err() == nil {
			err = errors.Join(err, more.run(ctx))
		}
	}
	return errors.Join(err, context.Cause(ctx))
}

// grouped are the chosen workloads, those of one setting together: the peers
// start anew for each.
func grouped(only string) (all [][]workload) {
	for _, w := range workloads {
		if !chosen(only, w.name) {
			continue
		}
		if i := slices.IndexFunc(all, func(g []workload) bool { return g[0].setting == w.setting }); i >= 0 {
			all[i] = append(all[i], w)
			continue
		}
		all = append(all, []workload{w})
	}
	return all
}

func (b *bench) group(ctx context.Context, group []workload) error {
	var here []*running
	for _, p := range peers {
		if !chosen(b.peers, p.name) {
			continue
		}
		r, err := b.launch(ctx, p, group[0].setting)
		if err != nil {
			return err
		}
		defer r.stop()
		here = append(here, r)
	}
	for _, w := range group {
		res := &result{workload: w, samples: map[string][]sample{}, tails: map[string][]time.Duration{}}
		b.results = append(b.results, res)
		if err := b.measure(ctx, res, here); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// measure loads the peers in turn, a short time unmeasured first.
func (b *bench) measure(ctx context.Context, res *result, here []*running) error {
	for _, r := range here {
		if _, err := b.wrk(ctx, res.workload, r.addr, time.Second); err != nil {
			return err
		}
	}
	for range b.rounds {
		for _, r := range here {
			stop := b.profileOf(r, res.name)
			before := r.cpu()
			s, err := b.wrk(ctx, res.workload, r.addr, b.seconds)
			stop()
			if err != nil {
				return err
			}
			s.cpu = r.cpu() - before
			s.memory, s.program = r.memory()
			res.samples[r.name] = append(res.samples[r.name], s)
			fmt.Fprintf(os.Stderr, "%-8s %-10s %6.1f µs a request  %8.0f/s  p50 %v  p99 %v  %s\n",
				res.name, r.name, s.micros(), float64(s.requests)/s.seconds, s.p50, s.p99, s.errors)
		}
	}
	if !b.tails {
		return nil
	}
	reference := res.samples[here[0].name] // nginx, unless it was left out
	for _, s := range reference {
		res.rate += float64(s.requests) / s.seconds / float64(len(reference)) / 2
	}
	for range b.rounds {
		for _, r := range here {
			if r.name != "nginx" && r.name != "dinp" {
				continue
			}
			took, err := pace(ctx, res.workload, r.addr, res.rate, b.seconds)
			if err != nil {
				return err
			}
			res.tails[r.name] = append(res.tails[r.name], percentile(took, 99))
		}
	}
	return nil
}

// profileOf has perf watch a peer while it is loaded.
func (b *bench) profileOf(r *running, name string) (stop func()) {
	if b.profile == "" || os.MkdirAll(b.profile, 0o755) != nil {
		return func() {}
	}
	file := filepath.Join(b.profile, name+"-"+r.name+".perf")
	cmd := exec.Command("perf", "record", "-e", "cpu-clock", "-F", "2000", "-g", "-o", file, "-p", strings.Join(r.family(), ","))
	if err := cmd.Start(); err != nil {
		return func() {}
	}
	return func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait() // a profile that was not written is missed where it is looked for
	}
}

// makeCertificate writes cert.pem, key.pem and, for HAProxy, both.pem.
func makeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		DNSNames: []string{host, "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "cert.pem"), chain, 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), secret, 0o600),
		os.WriteFile(filepath.Join(dir, "both.pem"), append(chain, secret...), 0o600),
	)
}
