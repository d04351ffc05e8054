#!/usr/bin/env bash
# soak-router.sh kills everything behind the router, one by one and all together, for SOAK_EACH=60s each under SOAK_RATE=2000
# requests a second; loses, empties and turns back Redis; and replaces the router meanwhile. No request may fail.
# It needs what the tests need, and a Docker engine that runs: `make test` installs and starts them.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

command -v go >/dev/null || die "Go is not installed" "the version that go.mod names: $(awk '$1 == "go" {print $2}' go.mod)"
export SOAK_EACH=${SOAK_EACH:-60s} SOAK_RATE=${SOAK_RATE:-2000}

# soak PACKAGE runs its tests of stability, one at a time, and shows what they count.
soak() {
    go test -tags nomsgpack -count 1 -parallel 1 -timeout 2h -v -run '^TestStability_' "$1" |
        grep --line-buffered -E 'requests|^(---|ok|FAIL|panic)' >&2
}

step "Redis, and the router itself" soak ./router
step "everything" soak ./cmd/dinp
