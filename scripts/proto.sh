#!/usr/bin/env bash
# proto.sh generates the gRPC code from proto/**/*.proto, with the plug-ins that go.mod pins.
# proto.sh check tells whether the code in the tree is what would be generated.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

[[ $# -eq 0 || $* == check ]] || die "usage: proto.sh [check]"
command -v protoc >/dev/null || scripts/install.sh protobuf-compiler

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# plug_in PACKAGE compiles a pinned plug-in where protoc finds it.
plug_in() { go build -o "$work/$(basename "$1")" "$1"; }
plug_in google.golang.org/protobuf/cmd/protoc-gen-go
plug_in google.golang.org/grpc/cmd/protoc-gen-go-grpc

# generate ROOT writes the code of all files below ROOT.
generate() {
    local files
    mapfile -t files < <(cd proto && find . -name '*.proto' | sed 's#^\./##' | LC_ALL=C sort)
    PATH=$work:$PATH protoc -I proto "${files[@]}" \
        --go_out="$1" --go_opt=module=github.com/dinp/dinp \
        --go-grpc_out="$1" --go-grpc_opt=module=github.com/dinp/dinp
}

if [[ $# -eq 0 ]]; then
    generate .
    exit
fi
mkdir "$work/new"
generate "$work/new"
# Two releases of protoc differ in the line that names it, and in nothing else that matters.
diff -r -u --ignore-matching-lines='^// .*protoc  *v' --exclude='*.proto' proto/dinp "$work/new/proto/dinp" >&2 ||
    die "generated code is stale" "make proto generates it; commit the result"
