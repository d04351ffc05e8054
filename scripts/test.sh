#!/usr/bin/env bash
# test.sh runs every check and every test. It installs what they need from the distribution's packages, starts what is
# missing in a scratch folder, and stops what it started, also on Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

command -v go >/dev/null || die "Go is not installed" "the version that go.mod names: $(awk '$1 == "go" {print $2}' go.mod)"

scratch=$(mktemp -d)
clean() {
    scripts/docker.sh stop "$scratch/docker"
    rm -rf "$scratch"
}
trap clean EXIT
trap 'exit 130' INT TERM

packages() {
    local all=(
        mariadb-server redis-server docker-registry haproxy chromium # the neighbours of the parts under test
        nodejs gunicorn tomcat10-common default-jre-headless nginx    # real servers behind the router, and one beside it
        mmdebstrap zip                                                # base images and samples
        iproute2 iptables procps curl                                 # networks and faults
        protobuf-compiler shellcheck                                  # make check
    )
    command -v gcc >/dev/null || all+=(gcc libc6-dev) # the race detector links with it
    scripts/install.sh "${all[@]}"
}

# Three packages at a time: each starts servers of its own. That of the whole program comes first: it takes longest, and
# mostly waits.
tests() { scripts/race.sh -timeout 40m -p 3 ./cmd/dinp ./...; }

# All seeds of the simulator, without the race detector: a run is one goroutine.
simulator() { go test -tags nomsgpack -timeout 20m ./test/sim; }

step "packages" packages
step "docker" scripts/docker.sh ensure "$scratch/docker"
step "base images" scripts/base-images.sh
step "samples" examples/pack.sh "${XDG_CACHE_HOME:-$HOME/.cache}/dinp/examples"
step "check" scripts/check.sh
step "simulator" simulator
step "tests" tests
# A decoder that fails here has a fault. A search for differences of the two paths finds another one in hours as likely as in
# seconds, mostly of taste: that is for `make fuzz`, and must not stop a change that has nothing to do with it. What it has
# found so far is in its corpus, which the tests run.
step "fuzz" scripts/fuzz.sh decoders
