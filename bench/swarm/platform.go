package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
)

// platform is what keeps instances running: the commands a person would give.
type platform struct {
	engine *engine
	name   string
	label  string // of its containers
	url    string // of the app through its router; "" when it has none here
	create func(ctx context.Context) error
	scale  func(ctx context.Context, n int) error
}

// memory is what each instance may use at most.
const memory = "64M"

// swarm is Docker Swarm with so much delay before a restart; 5s is its default.
func swarm(e *engine, image, name, delay string) *platform {
	service := "bench-" + delay
	return &platform{
		engine: e, name: name, label: "com.docker.swarm.service.name=" + service,
		create: func(ctx context.Context) error {
			return run(ctx, "docker", "service", "create", "--quiet", "--detach", "--name", service, "--replicas", "0", "--limit-memory", memory, "--restart-delay", delay,
				"--publish", "mode=host,target=8080", image)
		},
		scale: func(ctx context.Context, n int) error {
			return run(ctx, "docker", "service", "scale", "--detach", service+"="+strconv.Itoa(n))
		},
	}
}

// ours is dinp with its defaults.
func ours(e *engine, p *plan) *platform {
	return &platform{
		engine: e, name: "dinp", label: "dinp.name=bench", url: p.url,
		create: func(ctx context.Context) error {
			if err := run(ctx, p.dinp, "deploy", "bench", "--image", p.image, "--memory", memory, "--health", "/healthz"); err != nil {
				return err
			}
			return run(ctx, p.dinp, "scale", "bench", "0")
		},
		scale: func(ctx context.Context, n int) error {
			return run(ctx, p.dinp, "scale", "bench", strconv.Itoa(n), "--no-wait")
		},
	}
}

func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}
