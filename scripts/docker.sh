#!/usr/bin/env bash
# docker.sh ensure DIR makes a Docker engine answer: the one that runs, else systemd's, else one of our own with all its
#                      state in DIR. It installs the engine from Debian's packages when the machine has none.
# docker.sh stop DIR   ends the engine that ensure started in DIR, with everything it left on the machine; any other
#                      engine stays untouched.
set -euo pipefail
here=$(dirname "$0")
# shellcheck source=scripts/lib.sh
source "$here/lib.sh"

[[ $# -eq 2 && ($1 == ensure || $1 == stop) ]] || die "usage: docker.sh ensure|stop DIR"
action=$1
dir=$(realpath -m "$2")
pidfile=$dir/dockerd.pid

# Not `docker info`: old clients exit 0 there although no engine answers.
answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

ensure() {
    if command -v docker >/dev/null && answers; then
        say "docker: engine $(docker version --format '{{.Server.Version}}') answers"
        return
    fi
    [[ -z ${DOCKER_HOST:-} ]] || die "DOCKER_HOST=$DOCKER_HOST does not answer" \
        "start that engine, or unset DOCKER_HOST to let this script start one"
    [[ $EUID -eq 0 ]] || die "no Docker engine answers, and only root can start one" \
        "sudo $0 ensure $dir, or: sudo systemctl start docker" \
        "if it runs already, you may lack the right to use it: sudo usermod -aG docker $(id -un), then log in again"
    install_engine
    if [[ -d /run/systemd/system ]]; then
        say "docker: starting the service"
        systemctl start docker || die "the docker service does not start" "journalctl -u docker says why"
        await 60 answers || die "the docker service runs but does not answer" "journalctl -u docker says why"
    else
        start_own
    fi
}

install_engine() {
    local packages=(iptables iproute2 procps)
    command -v dockerd >/dev/null && command -v docker >/dev/null || packages+=(docker.io)
    "$here/install.sh" "${packages[@]}"
}

start_own() {
    mkdir -p "$dir"
    drop_orphaned_bridges
    # Sockets live in exec-root, and a socket's path holds 107 bytes: the path of a checkout may be longer.
    local run
    run=$(mktemp -d /run/dinp-docker.XXXXXX)
    echo "$run" >"$dir/exec-root"
    iptables -S FORWARD 2>/dev/null | head -n 1 >"$dir/forward-policy" || true
    # A stale pid file whose number now belongs to another process makes dockerd refuse to start.
    rm -f "$pidfile"
    say "docker: starting an engine of our own, state in $dir"
    setsid nohup dockerd --host unix:///var/run/docker.sock --data-root "$dir/data" --exec-root "$run" \
        --pidfile "$pidfile" --log-level warn >"$dir/dockerd.log" 2>&1 </dev/null &
    local pid=$!
    if ! await 60 answers_or_dead "$pid" || ! answers; then
        tail -n 20 "$dir/dockerd.log" >&2
        kill "$pid" 2>/dev/null || true
        await 10 gone "$pid" || true
        clean
        die "dockerd does not start" "the lines above say why" \
            "a container or a sandbox needs the right to mount, to make network devices and cgroups"
    fi
    say "docker: engine $(docker version --format '{{.Server.Version}}') answers"
}

# An engine that was killed leaves its containers running on its bridge. A new engine would take that bridge over and give
# their addresses out once more, and two containers would answer at one address. So the bridge goes first.
drop_orphaned_bridges() {
    engine_here && die "a dockerd runs here already, but not on /var/run/docker.sock" "use that one: export DOCKER_HOST=..."
    bridges | while read -r name; do
        say "docker: removing the bridge $name, left behind by an engine that was killed"
        ip link delete "$name" || true
    done
}

# engine_here tells whether any dockerd runs in this network namespace.
engine_here() {
    local pid
    for pid in $(pgrep -x dockerd); do
        alive "$pid" && [[ $(readlink "/proc/$pid/ns/net") == "$(readlink /proc/self/ns/net)" ]] && return
    done
    return 1
}

answers_or_dead() { answers || ! alive "$1"; }
gone() { ! alive "$1"; }

stop() {
    [[ -d $dir ]] || return 0
    local pid
    pid=$(cat "$pidfile" 2>/dev/null || true)
    # The number may have passed to another process since: only a dockerd started with our folder is ours.
    if alive "$pid" && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "--data-root $dir/data "; then
        say "docker: stopping our engine"
        kill "$pid"
        await 60 gone "$pid" || kill -KILL "$pid"
        await 10 gone "$pid" || die "dockerd (process $pid) does not end" "see $dir/dockerd.log"
    fi
    clean
}

# clean removes what a dockerd leaves behind: mounts, its bridge, its firewall rules, its files.
clean() {
    local run=/nonexistent path
    [[ ! -s $dir/exec-root ]] || run=$(cat "$dir/exec-root")
    end_orphans "$run"
    # Deepest mounts first.
    awk -v a="$dir/" -v b="$run/" 'index($2, a) == 1 || index($2, b) == 1 {print $2}' /proc/mounts | sort -r |
        while read -r path; do umount -l "$path" || true; done
    if ! answers; then
        [[ ! -s $dir/forward-policy ]] || clean_network
        rm -f /var/run/docker.sock
        find /run/docker /run/containerd -type d -empty -delete 2>/dev/null || true
    fi
    [[ $run != /run/dinp-docker.* ]] || rm -rf "$run"
    rm -rf "$dir"
}

# end_orphans RUN ends what outlives a dockerd that was killed: its containerd, the shims, and their containers.
end_orphans() {
    local pid
    for pid in $(pgrep -f -- "^[^ ]*containerd.* $1/"); do
        # shellcheck disable=SC2046 # a shim may have no container any more
        kill -KILL $(pgrep -P "$pid") "$pid" 2>/dev/null || true
        await 10 gone "$pid" || say "docker: process $pid does not end"
    done
}

# Docker's own names: its default bridge, the bridges of its networks, its chains.
links='docker0|br-[0-9a-f]{12}'

# bridges prints the bridges that an engine made in this network namespace.
bridges() { ip -o link show type bridge | grep -oE "($links):" | tr -d : || true; } # finding nothing is no failure

clean_network() {
    local table rule name
    bridges | while read -r name; do ip link delete "$name" || true; done
    for table in filter nat; do
        iptables -t "$table" -S | grep -E -- "^-A (FORWARD|PREROUTING|OUTPUT|POSTROUTING) .*(DOCKER|$links)" |
            sed 's/^-A/-D/' | while read -r rule; do
            # shellcheck disable=SC2086 # a rule is many words
            iptables -t "$table" $rule || true
        done || true
        # A chain goes only once nothing refers to it: empty all, then remove all.
        iptables -t "$table" -S | awk '$1 == "-N" && $2 ~ /^DOCKER/ {print $2}' >"$dir/chains"
        while read -r name; do iptables -t "$table" -F "$name"; done <"$dir/chains"
        while read -r name; do iptables -t "$table" -X "$name"; done <"$dir/chains"
    done
    # dockerd sets the policy to DROP; give back what we found. The line reads "-P FORWARD ACCEPT".
    # shellcheck disable=SC2046
    iptables $(cat "$dir/forward-policy") || true
}

"$action"
