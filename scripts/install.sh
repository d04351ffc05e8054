#!/usr/bin/env bash
# install.sh PACKAGE… installs those of the Debian packages that are missing, and nothing else.
# Servers that come with them are left stopped: dinp and its tests start private copies.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "$0")/lib.sh"

[[ $# -gt 0 ]] || die "no package named" "usage: install.sh PACKAGE…"

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# stop_services ends what the maintainer scripts of the new packages may have started, under systemd or without.
stop_services() {
    local package name
    for package in "$@"; do
        case $package in
        mariadb-server) name=mariadb ;;
        docker.io) name=docker ;;
        redis-server | docker-registry | haproxy | nginx) name=$package ;;
        *) continue ;;
        esac
        if [[ -d /run/systemd/system ]]; then
            systemctl disable --now --quiet "$name" 2>/dev/null || true
        elif [[ -x /etc/init.d/$name ]]; then
            "/etc/init.d/$name" stop >/dev/null 2>&1 || true
        fi
    done
}

missing=()
for package in "$@"; do
    installed "$package" || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

byhand="apt-get install --no-install-recommends ${missing[*]}"
command -v apt-get >/dev/null || die "missing: ${missing[*]}" \
    "this machine has no apt-get; provide the programs of these Debian packages with its own package manager"
[[ $EUID -eq 0 ]] || die "missing: ${missing[*]}" "only root may install them: sudo $byhand"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# Another apt may be running on the machine: wait for its lock instead of failing.
apt=(apt-get -qq -o DPkg::Lock::Timeout=600)
install=("${apt[@]}" install --yes --no-install-recommends "${missing[@]}")

say "installing ${missing[*]}"
if ! "${install[@]}" >"$log" 2>&1; then
    # The usual cause on a fresh or long idle machine: package lists absent or outdated.
    if ! "${apt[@]}" update >>"$log" 2>&1 || ! "${install[@]}" >>"$log" 2>&1; then
        tail -n 30 "$log" >&2
        die "cannot install ${missing[*]}" \
            "the lines above say why; without a network, point apt at a mirror that is reachable" "then: $byhand"
    fi
fi
stop_services "${missing[@]}"
