#!/usr/bin/env bash
# fuzz.sh [decoders|NAME…] fuzzes what reads strangers' bytes in the router, each fuzzer, the decoders only, or those named,
# for TIME=30s, beginning with the corpora kept in testdata/fuzz, two at a time. A failing input stays there, too: mend what
# it shows and keep it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

# NAME:FOLDER:WORKERS. FuzzPaths waits for sockets most of the time, and its corpus takes some seconds of the time.
paths=(FuzzPaths:router/conformance:4) # fast path against full path
decoders=(
    FuzzRequest:router/http1:1
    FuzzResponse:router/http1:1
    FuzzChunks:router/http1:1
    FuzzLookup:router/table:1
    FuzzCanon:router/table:1
    FuzzParse:router/proxyproto:1
)
fuzzers=("${paths[@]}" "${decoders[@]}")
if [[ ${1:-} == decoders ]]; then
    fuzzers=("${decoders[@]}")
    shift
fi

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# fuzz NAME FOLDER WORKERS. Go up to 1.26 may report the end of the time as a failure of its own (golang/go#75804): a
# failure that names a deadline and no input is none.
fuzz() {
    local log=$out/$1
    if go test -tags nomsgpack -run '^$' -fuzz "^$1\$" -fuzztime "${TIME:-30s}" -fuzzminimizetime 20x -parallel "$3" "./$2" >"$log" 2>&1; then
        say "$1: $(grep -F 'fuzz: elapsed' "$log" | tail -1)"
    elif grep -qx '    context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"; then
        say "$1: the time was over in the middle of an input"
    else
        cat "$log" >&2
        return 1
    fi
}

# pair runs the fuzzers given, two at a time, and fails if one of them does.
pair() {
    local f failed=0 running=0
    for f in "$@"; do
        if ((running == 2)); then
            wait -n || failed=1
            running=1
        fi
        # shellcheck disable=SC2086
        fuzz ${f//:/ } &
        running=$((running + 1))
    done
    while ((running-- > 0)); do
        wait -n || failed=1
    done
    return "$failed"
}

chosen=()
for f in "${fuzzers[@]}"; do
    [[ $# -gt 0 && " $* " != *" ${f%%:*} "* ]] || chosen+=("$f")
done
[[ ${#chosen[@]} -gt 0 ]] || die "no fuzzer is called that" "there are: ${fuzzers[*]%%:*}"
pair "${chosen[@]}"
