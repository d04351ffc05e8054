#!/usr/bin/env bash
# demo.sh start  brings the platform up on this machine and deploys the samples through it, as a user would. Again and
#                again it is safe and fast: what runs and is unchanged stays.
# demo.sh stop   ends the platform and its samples; their data stays for the next start.
# demo.sh clean  stops, and removes everything the demo has made. Installed packages and Go's caches stay.
# All state lies in .demo/ of the checkout, the base images in the user's cache.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

state=$PWD/.demo
pidfile=$state/dinp.pid
log=$state/dinp.log
address=http://127.0.0.1:8000
registry=127.0.0.1:5080
base_images=${DINP_BASE_IMAGES:-${XDG_CACHE_HOME:-$HOME/.cache}/dinp/base-images}
# `dinp up` makes this context; a person may have others, and one of them as the current.
export DINP_CONTEXT=local

running() {
    local pid
    pid=$(cat "$pidfile" 2>/dev/null) && alive "$pid" &&
        tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "--data $state/data "
}

start() {
    local began=$EPOCHREALTIME
    command -v go >/dev/null || die "Go is not installed" "the version that go.mod names: $(awk '$1 == "go" {print $2}' go.mod)"
    umask 077 # the log tells the first password
    mkdir -p "$state"
    build_meanwhile
    step "packages" scripts/install.sh curl mmdebstrap zip
    step "docker" scripts/docker.sh ensure "$state/docker"
    step "base images" scripts/base-images.sh
    step "samples" examples/pack.sh "$state/artifacts"
    wait "$build" || die "bin/dinp does not build"
    trap - EXIT
    step "platform" start_platform
    step "deploy site" deploy site site.tar.gz
    step "deploy hello" deploy hello hello.tar.gz --health /healthz
    step "deploy tomcat" deploy tomcat tomcat-examples.war --memory 384M
    summary "$(since "$began")"
}

# build_meanwhile compiles while packages are fetched and unpacked, which leaves a core idle. The process group of its
# own lets an early end of this script end the compilers too.
build_meanwhile() {
    set -m
    step "build bin/dinp" make --no-print-directory build &
    set +m
    build=$!
    trap 'kill -- "-$build" 2>/dev/null || true' EXIT
}

start_platform() {
    # A running platform of an older build would not be what was just compiled.
    if running && [[ $(readlink "/proc/$(cat "$pidfile")/exe") == *' (deleted)' ]]; then stop_platform; fi
    if ! running; then
        setsid nohup bin/dinp up --data "$state/data" --base-images "$base_images" >>"$log" 2>&1 </dev/null &
        echo $! >"$pidfile"
    fi
    await 60 ready_or_ended
    running || {
        tail -n 20 "$log" >&2
        die "the platform does not start" "the lines above say why; all of them are in $log"
    }
    ready || die "the platform runs but does not answer on $address" "see $log"
    await 30 logged_in || die "the platform refuses the login in $state/data/admin-password" \
        "if the password was changed: bin/dinp login $address --user admin --name local"
}

ready() { curl --silent --fail --output /dev/null --max-time 2 "$address/login"; }
ready_or_ended() { ready || ! running; }

logged_in() {
    bin/dinp apps >/dev/null 2>&1 ||
        bin/dinp login "$address" --user admin --name local --password-stdin <"$state/data/admin-password" >/dev/null 2>&1
}

# deploy APP ARTIFACT [FLAG…] deploys a sample and asks for it through the router.
deploy() {
    local app=$1 artifact=$2
    shift 2
    bin/dinp deploy "$app" "$state/artifacts/$artifact" "$@"
    await 30 answers "$app" || die "$app is deployed but does not answer on $(url "$app")" \
        "why: bin/dinp explain $app"
}

url() { echo "http://$1.apps.localhost:8080/"; }
answers() { curl --silent --fail --output /dev/null --max-time 5 "$(url "$1")"; }

summary() {
    cat <<TXT

The platform runs (started in $1 s).

  static site     $(url site)
  Go program      $(url hello)
  WAR on Tomcat   $(url tomcat)

  dashboard       $address/
  login           admin
  password        $(cat "$state/data/admin-password" 2>/dev/null || echo "(changed since)")

  try             bin/dinp apps
                  bin/dinp scale hello 3
                  bin/dinp logs hello -f
  log             $log
  stop            make demo-stop     (demo-clean also removes everything)
TXT
}

stop() {
    stop_platform
    [[ -s $state/data/agent/node-id ]] || return 0
    # By design the apps survive their platform; a demo that is stopped must not.
    remove_containers "label=dinp.node=$(cat "$state/data/agent/node-id")"
}

stop_platform() {
    if running; then
        local pid
        pid=$(cat "$pidfile")
        say "stopping the platform"
        kill "$pid"
        await 60 gone "$pid" || kill -KILL "$pid"
    fi
    rm -f "$pidfile"
}

gone() { ! alive "$1"; }

engine() { command -v docker >/dev/null && docker version >/dev/null 2>&1; }

# remove_containers FILTER removes what a filter finds, if an engine answers.
remove_containers() {
    local ids
    engine || return 0
    mapfile -t ids < <(docker ps --all --quiet --filter "$1")
    [[ ${#ids[@]} -eq 0 ]] || {
        say "removing ${#ids[@]} containers"
        docker rm --force --volumes "${ids[@]}" >/dev/null
    }
}

clean() {
    stop
    forget_context
    ! engine || remove_images "$registry/dinp/"
    scripts/docker.sh stop "$state/docker"
    rm -rf "$state" bin "$base_images"
    rmdir --ignore-fail-on-non-empty "$(dirname "$base_images")" 2>/dev/null || true
}

# forget_context removes the context that `dinp up` made for the command line; those of other platforms stay.
forget_context() {
    local home=${DINP_HOME:-${XDG_CONFIG_HOME:-$HOME/.config}/dinp}
    local file=$home/context.yaml
    # The marker tells that it was this platform that made the context.
    [[ -e $state/data/cli-context && -s $file ]] || return 0
    (
        umask 077
        awk '/^    local:$/ {skip = 1; next}
             skip && /^        / {next}
             {skip = 0}
             /^current: local$/ {print "current: \"\""; next}
             {print}' "$file" >"$file.new"
    )
    mv "$file.new" "$file"
    grep -q '^        url:' "$file" || {
        rm -f "$file"
        rmdir --ignore-fail-on-non-empty "$home"
    }
}

case ${1:-} in
start | stop | clean) "$1" ;;
*) die "usage: demo.sh start|stop|clean" ;;
esac
