#!/usr/bin/env bash
# bench-route-change.sh [CHANGES] changes one route among 1,000 and among 100,000 under load, through a real Redis, and
# times what it costs to look a host up and to apply a change. Redis must be installed.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

command -v go >/dev/null || die "Go is not installed" "the version that go.mod names: $(awk '$1 == "go" {print $2}' go.mod)"
go test -tags nomsgpack -run '^$' -bench 'RouteChange' -benchtime "${1:-300}x" ./router
go test -tags nomsgpack -run '^$' -bench 'Lookup|Apply_OneRouteOfMany|HeapOf100000Hosts' -benchmem ./router/table
