#!/usr/bin/env bash
# base-images.sh makes the base images of the runtimes from Debian packages, into the cache ($DINP_BASE_IMAGES, or
# dinp/base-images in the user's cache folder). What is there and unchanged is left alone; to take in newer Debian
# packages, remove the folder first.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install.sh mmdebstrap
# The flags of `make build`, because Go compiles everything anew for any others.
CGO_ENABLED=0 go run -tags nomsgpack -trimpath ./images/base/cmd
