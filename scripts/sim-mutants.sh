#!/usr/bin/env bash
# sim-mutants.sh shows that the simulator finds bugs: it builds the simulator with each deliberate one of test/sim/mutants laid over
# the tree, runs it until something does not hold, and prints which invariant that was in which run. It fails when one is not found.
# The second line of a patch names the run that found it last: that is tried first, so on two quiet cores it takes some 10 seconds a
# mutant, most of them to compile. ONLY is a part of the names of those to try, SEEDS how many seeds are tried besides the sweeps,
# UPDATE=1 notes in the patches what has found them now. With REPLAY a mutant is run as that says:
# ONLY=ledger REPLAY='-seed 7 -v' scripts/sim-mutants.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

limit=${LIMIT:-600} # seconds for a mutant: one that goes round in circles is not found

scratch=$(mktemp -d)
clean() { rm -rf "$scratch"; }
trap clean EXIT
trap 'exit 130' INT TERM

# mutate lays a patch over the tree: the changed files alone are copied, so only what depends on them is compiled again.
mutate() {
    local file to="$scratch/tree" pairs=()
    rm -rf "$to"
    while read -r file; do
        mkdir -p "$to/$(dirname "$file")"
        cp "$file" "$to/$file"
        pairs+=("\"$PWD/$file\":\"$to/$file\"")
    done < <(sed -n 's|^--- a/||p' "$1" | sort -u)
    GIT_CEILING_DIRECTORIES=$scratch git -C "$to" apply "$PWD/$1" || return 1
    (
        IFS=,
        printf '{"Replace":{%s}}' "${pairs[*]}" >"$scratch/overlay"
    )
    go build -tags nomsgpack -ldflags='-s -w' -overlay "$scratch/overlay" -o "$scratch/sim" ./test/sim/cmd
}

# seen prints the run that found a mutant last.
seen() { sed -n '2s/^seen: \(.*\)  .*/\1/p' "$1"; }

# note writes down in a patch what has found it.
note() {
    sed -i -e '2{/^seen: /d}' "$1"
    sed -i -e "1a seen: $2  $3" "$1"
}

# simulate RUN prints what does not hold, in one line; nothing when all does. RUN is tried first.
simulate() {
    local code=0
    timeout --foreground "$limit" "$scratch/sim" -brief -likely "$1" -seeds "${SEEDS:-300}" || code=$?
    case $code in
    0 | 1 | 124) ;; # what is printed was found, if anything
    *) return "$code" ;;
    esac
}

row() { printf '%-6s  %-38s  %-52s  %-50s  %6s  %s\n' "$@"; }

patches=(test/sim/mutants/*"${ONLY:-}"*.patch)
tried=0 missed=0
[[ -n ${REPLAY:-} ]] || row "" mutant run invariant seconds bug
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch) began=$EPOCHREALTIME
    mutate "$patch" || die "$name does not apply, or does not build"
    if [[ -n ${REPLAY:-} ]]; then
        read -ra args <<<"$REPLAY"
        "$scratch/sim" "${args[@]}"
        exit
    fi
    tried=$((tried + 1))
    found=$(simulate "$(seen "$patch")")
    if [[ -z $found ]]; then
        found=$'NOT FOUND\t-\t'
        missed=$((missed + 1))
    fi
    IFS=$'\t' read -r run invariant _ <<<"$found"
    row "$tried/${#patches[@]}" "$name" "$run" "$invariant" "$(since "$began")" "$(head -n 1 "$patch")"
    if [[ -n ${UPDATE:-} && $invariant != - ]]; then note "$patch" "$run" "$invariant"; fi
done
((missed == 0)) || die "$missed of $tried mutants were not found:" "strengthen an invariant of test/sim, or add what shows it to a scenario"
