#!/usr/bin/env bash
# bench-deploy.sh [ROUNDS] times a deploy of a 10 MB static site, from `dinp deploy` to the first 200 through the router,
# next to what a person does by hand with the same files: docker build, docker run, curl. The two take turns; every
# round has new content, so that neither lives off a cache. It prints the medians and their ratio.
# The platform it measures is one of its own, on free ports, in a scratch folder.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

rounds=${1:-5}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "usage: bench-deploy.sh [ROUNDS]"
scratch=$(mktemp -d)
export DINP_HOME=$scratch/cli

clean() {
    [[ -z ${platform:-} ]] || kill "$platform" 2>/dev/null || true
    [[ -z ${platform:-} ]] || await 30 gone "$platform" || true
    local ids=()
    if [[ -s $scratch/data/agent/node-id ]]; then
        mapfile -t ids < <(docker ps --all --quiet --filter "label=dinp.node=$(<"$scratch/data/agent/node-id")")
    fi
    ids+=("${containers[@]}")
    [[ ${#ids[@]} -eq 0 ]] || docker rm --force --volumes "${ids[@]}" >/dev/null
    [[ -z ${registry:-} ]] || remove_images "$registry/"
    scripts/docker.sh stop "$scratch/docker"
    rm -rf "$scratch"
}
gone() { ! alive "$1"; }
containers=()
trap clean EXIT
trap 'exit 130' INT TERM

# said NAME prints the address that `dinp up` announces on its line NAME.
said() { awk -v name="$1" '$1 == name {print $2}' "$scratch/log"; }

start_platform() {
    bin/dinp up --data "$scratch/data" --router 127.0.0.1:0 --router-tls '' --dash 127.0.0.1:0 --grpc 127.0.0.1:0 \
        --registry 127.0.0.1:"$1" --log-level warn >"$scratch/log" 2>&1 </dev/null &
    platform=$!
    await 60 test_ready || {
        cat "$scratch/log" >&2
        die "the platform does not start" "the lines above say why"
    }
}
test_ready() { [[ -n $(said apps) ]] && bin/dinp apps >/dev/null 2>&1; }

# content DIR makes a site of 200 files, 10 MB, half of it compressible, different each time.
content() {
    local i
    mkdir -p "$1"
    echo "<h1>round</h1>" >"$1/index.html"
    for i in $(seq 200); do
        { head -c 26000 /dev/urandom && head -c 26000 < <(yes "round $i"); } >"$1/file$i.bin"
    done
}

# until_200 URL waits for the first good answer.
until_200() { await 120 curl --silent --fail --output /dev/null --max-time 5 "$1" || die "$1 does not answer"; }

# timed COMMAND… prints the milliseconds a command takes.
timed() {
    local began=${EPOCHREALTIME/[.,]/}
    "$@" >&2
    echo $(((${EPOCHREALTIME/[.,]/} - began) / 1000))
}

by_platform() {
    local app=bench$1
    bin/dinp deploy "$app" "$scratch/site$1.tar.gz" >"$scratch/deploy.log" 2>&1 &
    deploy=$!
    until_200 "${apps//<app>/$app}"
}

by_hand() {
    docker build --quiet --tag "$registry/bench:$1" "$scratch/site$1" >"$scratch/build.log" 2>&1 ||
        die "docker build failed" "$(<"$scratch/build.log")"
    containers+=("$(docker run --detach --publish 127.0.0.1::8080 "$registry/bench:$1")")
    until_200 "http://$(docker port "${containers[-1]}" 8080/tcp)/"
}

median() { sort -n | awk '{v[NR] = $1} END {print (v[int((NR + 1) / 2)] + v[int((NR + 2) / 2)]) / 2}'; }

free_port() { # of the registry, because images are named after it
    local port
    for port in $(shuf -i 20000-32000 -n 50); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || {
            echo "$port"
            return
        }
    done
}

command -v curl >/dev/null || scripts/install.sh curl
scripts/docker.sh ensure "$scratch/docker"
make --no-print-directory build
scripts/base-images.sh >&2
registry=127.0.0.1:$(free_port)
start_platform "${registry#*:}"
apps=$(said apps)
bin/dinp base-images push "$registry" static >&2
docker pull --quiet "$registry/dinp/base/static:latest" >/dev/null

for round in $(seq "$rounds"); do
    content "$scratch/site$round"
    tar --create --gzip --file "$scratch/site$round.tar.gz" --directory "$scratch/site$round" .
    printf 'FROM %s/dinp/base/static:latest\nCOPY . /app\n' "$registry" >"$scratch/site$round/Dockerfile"
    timed by_platform "$round" >>"$scratch/platform.ms"
    wait "$deploy" || die "the deploy failed" "$(<"$scratch/deploy.log")"
    timed by_hand "$round" >>"$scratch/hand.ms"
    say "round $round: platform $(tail -n 1 "$scratch/platform.ms") ms, by hand $(tail -n 1 "$scratch/hand.ms") ms"
done

platform_ms=$(median <"$scratch/platform.ms")
hand_ms=$(median <"$scratch/hand.ms")
awk -v p="$platform_ms" -v h="$hand_ms" -v n="$rounds" 'BEGIN {
    printf "deploy of 10 MB to the first 200, median of %d: dinp %d ms, by hand %d ms, ratio %.2f\n", n, p, h, p / h}'
