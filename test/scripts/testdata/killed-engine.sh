#!/usr/bin/env bash
# killed-engine.sh DOCKER.SH APP DIR runs in network and mount namespaces of its own. An engine with three containers is
# killed; the next one's containers have to answer, and stopping both leaves nothing running.
set -euo pipefail
script=$1 app=$2 dir=$3
unset DOCKER_HOST
mount -t tmpfs tmpfs /run # hides the machine's engine, and systemd
ip link set lo up
trap '"$script" stop "$dir/second"; "$script" stop "$dir/first"' EXIT

run() { # run NAME PORT
    docker run --detach --name "$1" --env "PORT=$2" --publish "127.0.0.1::$2" app >/dev/null
}
import() { tar --create --directory "$(dirname "$app")" "$(basename "$app")" |
    docker import --change "ENTRYPOINT [\"/$(basename "$app")\"]" - app >/dev/null; }

"$script" ensure "$dir/first"
import
for i in 1 2 3; do run "old$i" 8080; done
runs=$(cat "$dir/first/exec-root")
engine=$(cat "$dir/first/dockerd.pid")
pids=$(pgrep --parent "$engine" containerd)
# shellcheck disable=SC2086 # one or more
kill -KILL "$engine" $pids
timeout 10 tail --pid "$engine" --follow /dev/null

"$script" ensure "$dir/second"
if ip -oneline link show master docker0 | grep .; then
    echo "the killed engine's containers are on the new one's bridge" >&2
    exit 1
fi
import
for i in 1 2 3; do
    run "new$i" 9090
    curl --silent --show-error --fail --retry 20 --retry-delay 1 --retry-all-errors --output /dev/null "http://$(docker port "new$i" 9090)/"
done

"$script" stop "$dir/second"
"$script" stop "$dir/first"
trap - EXIT
if pgrep --full --list-full -- "$dir/|$runs/|^/$(basename "$app")" | grep -v "^$$ "; then
    echo "these still run" >&2
    exit 1
fi
