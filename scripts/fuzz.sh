#!/usr/bin/env bash
# fuzz.sh [NAME…] fuzzes what reads strangers' bytes in the router, each fuzzer, or those named, for TIME=30s, beginning with
# the corpora kept in testdata/fuzz. A failing input stays there, too: mend what it shows and keep it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

fuzzers=(
    FuzzRequest:router/http1
    FuzzResponse:router/http1
    FuzzChunks:router/http1
    FuzzLookup:router/table
    FuzzParse:router/proxyproto
    FuzzPaths:router/conformance # fast path against full path
)

out=$(mktemp)
trap 'rm -f "$out"' EXIT

# fuzz NAME FOLDER. Go up to 1.26 may report the end of the time as a failure of its own (golang/go#75804): a failure
# that names a deadline and no input is none.
fuzz() {
    if go test -tags nomsgpack -run '^$' -fuzz "^$1\$" -fuzztime "${TIME:-30s}" -fuzzminimizetime 20x "./$2" >"$out" 2>&1; then
        grep -F 'fuzz: elapsed' "$out" | tail -1 >&2
    elif grep -qx '    context deadline exceeded' "$out" && ! grep -q 'Failing input' "$out"; then
        say "the time was over in the middle of an input"
    else
        cat "$out" >&2
        return 1
    fi
}

for f in "${fuzzers[@]}"; do
    name=${f%%:*}
    [[ $# -gt 0 && " $* " != *" $name "* ]] || step "$name" fuzz "$name" "${f#*:}"
done
