#!/usr/bin/env bash
# sim.sh runs the cluster simulator (test/sim): SEEDS seeds from FIRST on, or SEED alone, step by step.
set -euo pipefail
cd "$(dirname "$0")/.."
if [[ -n ${SEED:-} ]]; then
    exec go run -tags nomsgpack ./test/sim/cmd -seed "$SEED" -only "${ONLY:-}" -v
fi
exec go run -tags nomsgpack ./test/sim/cmd -first "${FIRST:-1}" -seeds "${SEEDS:-300}"
