#!/usr/bin/env bash
# bench-router.sh [FLAGS] measures the router beside nginx, HAProxy and Caddy (see bench/router), in a network namespace
# of its own, and keeps the report of each commit in .bench/. It installs and builds what it needs. -h lists the flags.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

[[ $EUID -eq 0 ]] || die "a network namespace needs root" "sudo $0 $*"
command -v go >/dev/null || die "Go is not installed" "the version that go.mod names: $(awk '$1 == "go" {print $2}' go.mod)"
scripts/install.sh nginx haproxy wrk redis-server iproute2
mkdir -p .bench
# With symbols, unlike what is delivered: -profile shows them. The code is the same.
CGO_ENABLED=0 step "dinp" go build -tags nomsgpack -trimpath -o .bench/dinp ./cmd/dinp
step "bench" go build -tags nomsgpack -o .bench/bench-router ./bench/router
step "Caddy" go -C bench/router/caddy build -o "$PWD/.bench/caddy" .
file=.bench/router-$(git describe --always --dirty 2>/dev/null || echo unknown).txt
ulimit -n 300000 2>/dev/null || ulimit -n "$(ulimit -Hn)"
# The namespaces have a loopback of their own, and processes of their own, which end with the bench, however that ends.
# Congestion is controlled in Debian's way whatever the host prefers; where the host does not let us choose that one, by
# reno, which every host lets us choose, and which does the same where nothing is lost.
# shellcheck disable=SC2016
unshare --net --pid --fork --kill-child --mount-proc sh -c 'ip link set lo up; { echo cubic || echo reno; } 2>/dev/null >/proc/sys/net/ipv4/tcp_congestion_control; exec "$@"' sh \
    .bench/bench-router -dinp .bench/dinp -caddy .bench/caddy -o "$file" "$@"
say "the report is in $file"
