#!/usr/bin/env bash
# sim-mutants.sh shows that the simulator finds bugs: it applies each deliberate one of test/sim/mutants to a scratch copy of the
# tree, simulates, and prints which invariant has found it in which run. It fails when one is not found. SEEDS are tried, then all
# sweeps; ONLY is a part of the names of those to try.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/tree"
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C "$scratch/tree"

# simulate prints what was found, in one line; nothing when all held.
simulate() {
    (cd "$scratch/tree" && go build -tags nomsgpack -ldflags='-s -w' -o "$scratch/sim" ./test/sim/cmd) || return 2
    "$scratch/sim" -brief -seeds "${SEEDS:-300}" || [[ $? == 1 ]]
}

row() { printf '%-36s  %-46s  %-48s  %s\n' "$@"; }

missed=0
row mutant run invariant bug
for patch in test/sim/mutants/*"${ONLY:-}"*.patch; do
    name=$(basename "$patch" .patch)
    git -C "$scratch/tree" apply "$PWD/$patch"
    found=$(simulate)
    git -C "$scratch/tree" apply --reverse "$PWD/$patch"
    if [[ -z $found ]]; then
        found=$'NOT FOUND\t-\t'
        missed=$((missed + 1))
    fi
    IFS=$'\t' read -r run invariant _ <<<"$found"
    row "$name" "$run" "$invariant" "$(head -n 1 "$patch")"
done
((missed == 0)) || die "$missed mutants were not found:" "strengthen an invariant of test/sim/check.go, or add what shows it to a scenario"
