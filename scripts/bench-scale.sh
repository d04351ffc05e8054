#!/usr/bin/env bash
# bench-scale.sh [FLAGS] measures the server at the size of a large installation (see bench/scale), and keeps the figures
# of each commit in .bench/, so that they can be compared: bench-scale.sh compare OLD NEW.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

command -v go >/dev/null || die "Go is not installed" "the version that go.mod names: $(awk '$1 == "go" {print $2}' go.mod)"
if [[ ${1:-} == compare ]]; then
    [[ $# -eq 3 ]] || die "usage: bench-scale.sh compare OLD NEW"
    exec go run -tags nomsgpack ./bench/scale "$@"
fi
mkdir -p .bench
file=.bench/scale-$(git describe --always --dirty 2>/dev/null || echo unknown).txt
go run -tags nomsgpack ./bench/scale -o "$file" "$@"
say "the figures are in $file; compare them with those of another commit: scripts/bench-scale.sh compare OLD $file"
