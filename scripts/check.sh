#!/usr/bin/env bash
# check.sh looks at the code without running it: format, vet, staticcheck, generated code, shell scripts.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

format() {
    local bad
    bad=$(find . -name '*.go' -not -path './.*' -exec gofmt -l {} +)
    [[ -z $bad ]] || die "not formatted by gofmt:" "$bad"
}

shell() {
    local files
    mapfile -t files < <(find . -name '*.sh' -not -path './.demo/*' && find images -name "dinp-*")
    if command -v shellcheck >/dev/null; then
        shellcheck --external-sources "${files[@]}"
    else
        say "shellcheck is not installed: the shell scripts stay unchecked (apt-get install shellcheck)"
    fi
}

step format format
step vet go vet -tags nomsgpack ./...
step staticcheck go tool staticcheck -tags nomsgpack ./...
step "generated code" scripts/proto.sh check
step "shell scripts" shell
