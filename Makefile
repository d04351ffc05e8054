# `make` alone lists the targets; what they do stands in scripts/.
version := $(shell git describe --tags --always --dirty 2>/dev/null)
go_flags := -tags nomsgpack

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## compile bin/dinp
	CGO_ENABLED=0 go build $(go_flags) -trimpath -ldflags '-s -w -X main.version=$(version)' -o bin/dinp ./cmd/dinp

test: ## install what the tests need, then check and run them all; stops what it started
	scripts/test.sh

check: ## format, vet, staticcheck, generated code, shell scripts
	scripts/check.sh

race: ## the tests alone, with the race detector, on what is installed and running
	scripts/race.sh -timeout 40m ./...

sim: ## simulate the cluster: SEEDS=300 seeds from FIRST=1 on, or SEED=n step by step
	scripts/sim.sh

sim-mutants: ## show that the simulator finds each deliberate bug of test/sim/mutants; ONLY=name tries some
	scripts/sim-mutants.sh

base-images: ## make the base images of the runtimes from Debian packages, into the cache
	scripts/base-images.sh

fuzz: ## fuzz the router, each fuzzer for TIME=30s; ONLY=name runs one
	scripts/fuzz.sh $(ONLY)

soak-router: ## kill everything behind the router under load, SOAK_EACH=60s each at SOAK_RATE=2000; no request may fail
	scripts/soak-router.sh

proto: ## generate the gRPC code from proto/
	scripts/proto.sh

demo: ## start the platform on this machine, deploy the samples, print their URLs
	scripts/demo.sh start

demo-stop: ## stop the platform and its samples, keep their data
	scripts/demo.sh stop

demo-clean: ## stop, and remove everything the demo has made
	scripts/demo.sh clean

bench-deploy: ## time a deploy against docker build, run and curl by hand
	scripts/bench-deploy.sh

bench-build: ## time a build against docker build and push by hand, and measure the builder's memory
	scripts/bench-build.sh

bench-route-change: ## change one route of 100,000 under load, and time it
	scripts/bench-route-change.sh
bench-scale: ## measure the server with 10,000 nodes and 1,000,000 instances
	scripts/bench-scale.sh

bench-swarm: ## time 20 instances, and a lost one, beside Docker Swarm
	scripts/bench-swarm.sh

bench-router: ## measure the router beside nginx, HAProxy and Caddy; see router/BENCH.md
	scripts/bench-router.sh

.PHONY: help build test check race sim sim-mutants base-images proto demo demo-stop demo-clean bench-deploy bench-build bench-route-change bench-scale bench-swarm bench-router fuzz soak-router
