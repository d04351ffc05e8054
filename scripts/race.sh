#!/usr/bin/env bash
# race.sh [FLAG…] [PACKAGE…] tests with the race detector, as `make test` does. SQLite is spared the detector and the checks of
# pointers that come with it: it is C, translated, and makes thrice as much work of every statement with them. Its memory is
# not Go's, so that the detector sees nothing of it anyway; Go's own code around it, the driver and all of ours, is watched.
set -euo pipefail
cd "$(dirname "$0")/.."

exec go test -race -tags nomsgpack \
    '-gcflags=modernc.org/sqlite/lib=-race=false -d=checkptr=0' '-gcflags=modernc.org/libc=-d=checkptr=0' "$@"
