#!/usr/bin/env bash
# bench-build.sh [ROUNDS] [CASE…] times the way from an artifact to its image in the registry, upload included, next to what a person
# does by hand with the same content: docker build, docker push. It prints medians and ratios of: a static site of 10 MB, a
# WAR of 60 MB of which 40 MB are libraries (first build, and builds in which only classes changed), a tarball of 200 MB.
# All go up by `dinp deploy`, which sends what the platform lacks of the file, but for war-curl: a change of classes that
# goes up by `curl -T`, which sends the whole. CASE is site, war or tarball; without any all are timed.
# The two take turns, base images are in the registry and in the engine before, and every round has new content, except
# that the changed WAR keeps the libraries of the one before, as people's builds do. Then it prints the most memory that
# the builder's process ever had.
# All processes are its own, on free ports, in a scratch folder.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

rounds=${1:-3}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "usage: bench-build.sh [ROUNDS] [CASE…]"
cases=" ${*:2} "
[[ $cases != "  " ]] || cases=" site war tarball "
scratch=$(mktemp -d)
export DINP_HOME=$scratch/cli
children=()

clean() {
    local pid
    for pid in "${children[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${children[@]}"; do await 30 gone "$pid" || true; done
    [[ -z ${registry:-} ]] || remove_images "$registry/"
    scripts/docker.sh stop "$scratch/docker"
    rm -rf "$scratch"
}
gone() { ! alive "$1"; }
trap clean EXIT
trap 'exit 130' INT TERM

free_port() {
    local port
    for port in $(shuf -i 20000-32000 -n 50); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || {
            echo "$port"
            return
        }
    done
}

# child NAME COMMAND… starts a process that ends with this script.
child() {
    local name=$1
    shift
    "$@" >"$scratch/$name.log" 2>&1 </dev/null &
    children+=($!)
}

# A registry, a dash and a builder on one database file: the parts that a build needs, the builder as a process of its own.
start_platform() {
    registry=127.0.0.1:$(free_port)
    dash=127.0.0.1:$(free_port)
    cat >"$scratch/registry.yml" <<YML
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $scratch/registry}, delete: {enabled: true}, cache: {blobdescriptor: inmemory}}
http: {addr: "$registry", secret: bench}
YML
    head -c 24 /dev/urandom | base64 >"$scratch/secret"
    chmod 600 "$scratch/secret"
    cat >"$scratch/dinp.yml" <<YML
database: "sqlite:$scratch/dinp.db"
secret_file: $scratch/secret
servers: ["127.0.0.1:1"]
registry: "$registry"
domain: apps.test
log: {level: warn}
dash: {listen: "$dash", admin: "127.0.0.1:0", data: $scratch/dash}
builder: {admin: "127.0.0.1:0", work_dir: $scratch/builder}
YML
    child registry docker-registry serve "$scratch/registry.yml"
    child dash bin/dinp dash --config "$scratch/dinp.yml"
    await 60 logged_in || die "the platform does not start" "$(tail -n 5 "$scratch/dash.log")"
    child builder bin/dinp builder --config "$scratch/dinp.yml"
    builder=${children[-1]}
}
logged_in() {
    local password
    password=$(sed -n 's/.*with password \([^ ]*\).*/\1/p' "$scratch/dash.log")
    [[ -n $password ]] && bin/dinp login "http://$dash" --user admin --password-stdin <<<"$password" >/dev/null 2>&1
}

# noise FILE BYTES writes what no compressor makes smaller, as in a jar or a picture; text FILE BYTES what one does.
noise() { head -c "$2" /dev/urandom >"$1"; }
text() { head -c "$(($2 * 3 / 4))" /dev/urandom | base64 --wrap 120 | head -c "$2" >"$1"; }

# files DIR COUNT BYTES makes files, half noise and half text.
files() {
    local i
    mkdir -p "$1"
    for i in $(seq "$2"); do
        if ((i % 2)); then noise "$1/$i.bin" "$3"; else text "$1/$i.txt" "$3"; fi
    done
}

site() { # DIR ROUND
    files "$1/files" 200 52000
    echo "<h1>round $2</h1>" >"$1/index.html"
}
war() { # DIR ROUND
    files "$1/pictures" 80 200000
    mkdir -p "$1/WEB-INF/lib"
    echo '<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.0"/>' >"$1/WEB-INF/web.xml"
    local i
    for i in $(seq 40); do noise "$1/WEB-INF/lib/library$i.bin" 1000000; done
    classes "$1" "$2"
}
# classes DIR ROUND writes the 4 MB of the application's own: 400 files that begin as Java 17's classes do.
classes() {
    local i
    mkdir -p "$1/WEB-INF/classes"
    for i in $(seq 400); do
        { printf '\xca\xfe\xba\xbe\x00\x00\x00\x3d' && head -c 7500 /dev/urandom | base64; } >"$1/WEB-INF/classes/C$i.class"
    done
}
tarball() { # DIR ROUND
    files "$1/data" 200 1050000
    echo 'web: sh -c "sleep 1d"' >"$1/Procfile"
}

# pack DIR prints the name of the artifact of the folder. Without --strip-extra, zip writes when each file was last read into it, which Java's tools do
# not: after `docker build` has read them, all files of the next WAR would differ from those of the one before.
pack() {
    case $1 in
    *war*) (cd "$1" && zip --quiet --strip-extra --recurse-paths "$1.war" .) && echo "$1.war" ;;
    *) tar --create --gzip --file "$1.tar.gz" --directory "$1" . && echo "$1.tar.gz" ;;
    esac
}

now() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# by_dinp APP ARTIFACT and by_curl APP ARTIFACT send an artifact and print the build's ID.
by_dinp() { bin/dinp deploy "$1" "$2" --instances 0 --no-wait 2>>"$scratch/deploy.log" | tail -n 1; }
by_curl() {
    curl -fsS -T "$2" -H "Authorization: Bearer $token" "http://$dash/api/v1/apps/$1/deploy?filename=${2##*/}&instances=0" 2>>"$scratch/deploy.log" |
        sed -n 's/.*"build":{"id":"\([^"]*\)".*/\1/p'
}

# busy SHELL prints the milliseconds of processor time that the platform's processes and the clients that SHELL has started have
# used so far: on a machine that others use, too, that says more than the clock.
busy() {
    local ticks
    ticks=$(for pid in "$1" "${children[@]}"; do sed 's/.*) //' "/proc/$pid/stat"; done | awk '{n += $12 + $13 + $14 + $15} END {print n}')
    echo $((ticks * 1000 / $(getconf CLK_TCK)))
}

# by_platform APP ARTIFACT CLIENT prints the milliseconds from the start of the upload to the end of the build.
by_platform() {
    local began id used shell=$BASHPID
    began=$(now)
    used=$(busy "$shell")
    id=$("by_$3" "$1" "$2")
    local sent=$(($(now) - began))
    bin/dinp build log "$id" -f >"$scratch/build.log" 2>&1 || true
    local took=$(($(now) - began))
    grep -q '^image ' "$scratch/build.log" || die "the build failed" "$(tail -n 5 "$scratch/build.log")" "$(tail -n 5 "$scratch/deploy.log")"
    grep -E '^(fetched|times|pushed)' "$scratch/build.log" >&2
    echo "sent, stored and queued after $sent ms, the build and its log's end took $((took - sent)) ms; processor time $(($(busy "$shell") - used)) ms" >&2
    echo "$took"
}

# by_hand NAME DIR BASE DEST prints the milliseconds of docker build and docker push.
by_hand() {
    local began
    printf 'FROM %s/dinp/base/%s:latest\nCOPY . %s\n' "$registry" "$3" "$4" >"$scratch/Dockerfile"
    began=$(now)
    {
        docker build --quiet --file "$scratch/Dockerfile" --tag "$registry/bench/$1" "$2"
        docker push --quiet "$registry/bench/$1"
    } >"$scratch/hand.log" 2>&1 || die "docker build or push failed" "$(<"$scratch/hand.log")"
    echo $(($(now) - began))
}

# turn CASE DIR BASE DEST [CLIENT] builds a folder both ways and notes the times. CLIENT is dinp or curl.
turn() {
    local artifact platform hand
    artifact=$(pack "$2")
    platform=$(by_platform "$3" "$artifact" "${5:-dinp}")
    hand=$(by_hand "$3" "$2" "$3" "$4")
    echo "$platform" >>"$scratch/$1.platform"
    echo "$hand" >>"$scratch/$1.hand"
    say "$1, $(($(stat --format %s "$artifact") / 1000000)) MB by ${5:-dinp deploy}: $platform ms, by hand $hand ms"
    rm -f "$artifact"
}

median() { sort -n "$1" | awk '{v[NR] = $1} END {print (v[int((NR + 1) / 2)] + v[int((NR + 2) / 2)]) / 2}'; }

report() { # CASE GOAL
    awk -v name="$1" -v p="$(median "$scratch/$1.platform")" -v h="$(median "$scratch/$1.hand")" -v goal="$2" -v n="$rounds" 'BEGIN {
        printf "%-12s median of %d: dinp %5d ms, by hand %5d ms, ratio %.2f (to reach: %s)\n", name, n, p, h, p / h, goal}'
}

scripts/install.sh curl zip docker-registry
scripts/docker.sh ensure "$scratch/docker"
make --no-print-directory build
scripts/base-images.sh >&2
start_platform
bin/dinp base-images push "$registry" static tomcat binary >&2
token=$(bin/dinp tokens create bench | tail -n 1)
for base in static tomcat binary; do docker pull --quiet "$registry/dinp/base/$base:latest" >/dev/null; done

timed() { [[ $cases == *" $1 "* ]]; }
for round in $(seq "$rounds"); do
    if timed site; then
        site "$scratch/site" "$round" && turn site "$scratch/site" static /app
    fi
    if timed war; then
        war "$scratch/war" "$round" && turn war "$scratch/war" tomcat /app/ROOT
        classes "$scratch/war" "$round" && turn war-classes "$scratch/war" tomcat /app/ROOT
        classes "$scratch/war" "$round" && turn war-curl "$scratch/war" tomcat /app/ROOT curl
    fi
    if timed tarball; then
        tarball "$scratch/tarball" "$round" && turn tarball "$scratch/tarball" binary /app
    fi
    rm -rf "$scratch"/{site,war,tarball}
done

timed site && report site 0.70
timed war && report war 0.70 && report war-classes 0.20 && report war-curl 0.20
timed tarball && report tarball 0.70
awk '/^VmHWM/ {printf "builder      most memory ever: %d MB (to reach: 64 MB)\n", $2 / 1000}' "/proc/$builder/status"
