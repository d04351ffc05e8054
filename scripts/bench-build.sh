#!/usr/bin/env bash
# bench-build.sh [ROUNDS] times the way from an artifact to its image in the registry, upload included, next to what a person
# does by hand with the same content: docker build, docker push. It prints medians and ratios of: a static site of 10 MB, a
# WAR of 60 MB of which 40 MB are libraries (first build, and a build in which only classes changed), a tarball of 200 MB.
# The two take turns, base images are in the registry and in the engine before, and every round has new content, except
# that the changed WAR keeps the libraries of the one before, as people's builds do. Then it prints the most memory that
# the builder's process ever had.
# All processes are its own, on free ports, in a scratch folder.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

rounds=${1:-3}
[[ $rounds =~ ^[1-9][0-9]*$ ]] || die "usage: bench-build.sh [ROUNDS]"
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

pack() { # DIR: the artifact of the folder; prints its name
    case $1 in
    *war*) (cd "$1" && zip --quiet --recurse-paths "$1.war" .) && echo "$1.war" ;;
    *) tar --create --gzip --file "$1.tar.gz" --directory "$1" . && echo "$1.tar.gz" ;;
    esac
}

now() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# by_platform APP ARTIFACT prints the milliseconds from the start of the upload to the end of the build.
by_platform() {
    local began id
    began=$(now)
    id=$(bin/dinp deploy "$1" "$2" --instances 0 --no-wait 2>>"$scratch/deploy.log" | tail -n 1)
    bin/dinp build log "$id" -f >"$scratch/build.log" 2>&1 || true
    local took=$(($(now) - began))
    grep -q '^image ' "$scratch/build.log" || die "the build failed" "$(tail -n 5 "$scratch/build.log")" "$(tail -n 5 "$scratch/deploy.log")"
    grep -E '^(times|pushed)' "$scratch/build.log" >&2
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

# turn CASE DIR BASE DEST builds a folder both ways and notes the times.
turn() {
    local artifact platform hand
    artifact=$(pack "$2")
    platform=$(by_platform "$3" "$artifact")
    hand=$(by_hand "$3" "$2" "$3" "$4")
    echo "$platform" >>"$scratch/$1.platform"
    echo "$hand" >>"$scratch/$1.hand"
    say "$1, $(($(stat --format %s "$artifact") / 1000000)) MB: dinp $platform ms, by hand $hand ms"
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
for base in static tomcat binary; do docker pull --quiet "$registry/dinp/base/$base:latest" >/dev/null; done

for round in $(seq "$rounds"); do
    site "$scratch/site" "$round" && turn site "$scratch/site" static /app
    war "$scratch/war" "$round" && turn war "$scratch/war" tomcat /app/ROOT
    classes "$scratch/war" "$round" && turn war-classes "$scratch/war" tomcat /app/ROOT
    tarball "$scratch/tarball" "$round" && turn tarball "$scratch/tarball" binary /app
    rm -rf "$scratch"/{site,war,tarball}
done

report site 0.70
report war 0.70
report war-classes 0.20
report tarball 0.70
awk '/^VmHWM/ {printf "builder      most memory ever: %d MB (to reach: 64 MB)\n", $2 / 1000}' "/proc/$builder/status"
