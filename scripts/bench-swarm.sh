#!/usr/bin/env bash
# bench-swarm.sh [ROUNDS] measures dinp beside Docker Swarm: the time until 20 instances answer, and until a killed one
# is replaced. Both run the same image on one Docker engine, which is started for that in a network of its own with all
# its state in a scratch folder; nothing of it is left. It needs root, and Docker's programs.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

rounds=${1:-5}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "usage: bench-swarm.sh [ROUNDS]"
[[ $EUID -eq 0 ]] || die "an engine and a network of its own need root" "sudo $0 $rounds"

# Everything happens in a network namespace: its bridges and firewall rules end with it.
if [[ -z ${DINP_BENCH_SWARM:-} ]]; then
    command -v dockerd >/dev/null || scripts/install.sh docker.io
    scripts/install.sh iptables iproute2
    make --no-print-directory build
    go build -tags nomsgpack -trimpath -o bin/bench-swarm ./bench/swarm
    CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/bench-swarm-app ./bench/swarm/app
    DINP_BENCH_SWARM=1 exec unshare --net --mount --propagation private "$0" "$rounds"
fi

scratch=$(mktemp -d)
run=$(mktemp -d /run/dinp-swarm.XXXXXX) # sockets live here, and a socket's path holds 107 bytes
export DOCKER_HOST=unix://$run/docker.sock DINP_HOME=$scratch/cli

clean() {
    end "${platform:-}"
    if answers; then
        docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes >/dev/null || true
        docker swarm leave --force >/dev/null 2>&1 || true
    fi
    end "${engine:-}"
    awk -v a="$scratch/" -v b="$run/" 'index($2, a) == 1 || index($2, b) == 1 {print $2}' /proc/mounts | sort -r |
        while read -r path; do umount -l "$path" || true; done
    rm -rf "$scratch" "$run"
}
end() {
    [[ -n $1 ]] || return 0
    kill "$1" 2>/dev/null || true
    await 60 gone "$1" || kill -KILL "$1" || true
}
gone() { ! alive "$1"; }
answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }
trap clean EXIT
trap 'exit 130' INT TERM

ip link set lo up
dockerd --host "$DOCKER_HOST" --data-root "$scratch/docker" --exec-root "$run" --pidfile "$run/pid" \
    --cgroup-parent /dinp-bench-swarm --log-level warn >"$scratch/dockerd.log" 2>&1 </dev/null &
engine=$!
await 60 answers || die "dockerd does not start" "$(tail -n 20 "$scratch/dockerd.log")"
docker swarm init --advertise-addr 127.0.0.1 >/dev/null

# said NAME prints the address that `dinp up` announces on its line NAME.
said() { awk -v name="$1" '$1 == name {print $2}' "$scratch/log"; }
ready() { [[ -n $(said apps) ]] && bin/dinp apps >/dev/null 2>&1; }
registry=127.0.0.1:5080
bin/dinp up --data "$scratch/data" --router 127.0.0.1:8080 --router-tls '' --dash 127.0.0.1:8000 --grpc 127.0.0.1:1970 \
    --registry $registry --log-level warn >"$scratch/log" 2>&1 </dev/null &
platform=$!
await 60 ready || die "the platform does not start" "$(<"$scratch/log")"

image=$registry/bench-swarm/app:1
tar --create --directory bin --transform s/bench-swarm-app/app/ bench-swarm-app |
    docker import --change 'ENTRYPOINT ["/app"]' --change 'EXPOSE 8080' - $image >/dev/null
docker push --quiet $image >/dev/null

apps=$(said apps)
bin/bench-swarm -dinp bin/dinp -image $image -url "${apps//<app>/bench}" -rounds "$rounds" || {
    tail -n 20 "$scratch/log" "$scratch/dockerd.log" >&2
    exit 1
}
