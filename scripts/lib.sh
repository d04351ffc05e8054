# shellcheck shell=bash
# What the scripts share: talking to the person, and timing steps. Sourced, never run.

# say prints a line about what happens; stderr, so that a script's output stays clean.
say() { printf '%s\n' "$*" >&2; }

# die says what is wrong and, on further lines, how to provide it.
die() {
    say "$(basename "$0"): $1"
    shift
    local line
    for line in "$@"; do say "  $line"; done
    exit 1
}

# step NAME COMMAND… runs a command between two lines, the second with the seconds it took.
step() {
    local name=$1 began=$EPOCHREALTIME
    shift
    say "==> $name"
    "$@" || {
        local code=$?
        say "==> $name: failed after $(since "$began") s"
        return "$code"
    }
    say "==> $name: $(since "$began") s"
}

# since EPOCHREALTIME prints the seconds from then to now, with tenths.
since() {
    local ms=$(((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}) / 1000))
    printf '%d.%d' $((ms / 1000)) $((ms % 1000 / 100))
}

# alive PID tells whether a process exists and has not ended: a zombie only waits for its parent to notice.
alive() {
    local stat
    [[ -n ${1:-} ]] && { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    stat=${stat##*) } # past the name, which may hold anything
    [[ ${stat::1} != Z ]]
}

# await SECONDS COMMAND… polls until the command succeeds; false when time is up.
await() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < until)) || return 1
        sleep 0.05
    done
}

# remove_images PREFIX removes the names of images that begin so. By name, never by id: the same image may stand under
# another platform's name too.
remove_images() {
    local names
    mapfile -t names < <(docker images --all --digests --format '{{.Repository}} {{.Tag}} {{.Digest}}' |
        awk -v prefix="$1" 'index($1, prefix) == 1 {print $1 ($2 == "<none>" ? "@" $3 : ":" $2)}' | sort -u)
    [[ ${#names[@]} -eq 0 ]] || docker rmi --force "${names[@]}" >/dev/null
}
