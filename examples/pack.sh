#!/usr/bin/env bash
# pack.sh OUTDIR packs the samples the way a user would upload them: site.tar.gz and site.zip, hello.tar.gz,
# dockerfile.tar.gz, and tomcat-examples.war, a real web application taken from the Debian package of that name.
# The same input gives the same bytes; what is up to date is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
scripts=$here/../scripts
# shellcheck source=scripts/lib.sh
source "$scripts/lib.sh"

[[ $# -eq 1 ]] || die "usage: pack.sh OUTDIR"
mkdir -p "$1"
out=$(cd "$1" && pwd)
exec 9>"$out/.lock"
flock 9 # several tests may ask for the samples at once
work=$(mktemp -d "$out/.work.XXXXXX") # on the same disk, so that the final mv is one step
trap 'rm -rf "$work"' EXIT
export LC_ALL=C TZ=UTC

# key INPUT… names the content of files and folders, of this script, and of the compiler.
key() {
    { find "$@" "$here/pack.sh" -type f -print0 | sort -z | xargs -0 sha256sum && go env GOVERSION GOARCH; } | sha256sum
}

# pack NAME INPUT… calls pack_NAME, which leaves $work/NAME, unless OUTDIR/NAME was made from the same.
pack() {
    local name=$1 wanted
    shift
    wanted=$(key "$@")
    if [[ -f $out/$name && $(cat "$out/.$name.key" 2>/dev/null) == "$wanted" ]]; then return; fi
    "pack_$name"
    mv "$work/$name" "$out/$name"
    printf '%s\n' "$wanted" >"$out/.$name.key"
    say "packed $name: $(du -h "$out/$name" | cut -f 1)"
}

# tarball DIR FILE packs a folder's content without anything that depends on who packs it, or when.
tarball() {
    tar --create --directory "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=go-w . |
        gzip --no-name -9 >"$2"
}

# zipped DIR FILE does the same as a zip archive, whose times begin in 1980.
zipped() {
    "$scripts/install.sh" zip
    find "$1" -exec touch --no-dereference --date=@315532800 {} +
    (cd "$1" && find . -type f | sort | zip --quiet -X -9 -@ "$2")
}

pack_site.tar.gz() { tarball "$here/site" "$work/site.tar.gz"; }

pack_site.zip() {
    cp -r "$here/site" "$work/site"
    zipped "$work/site" "$work/site.zip"
}

# app DIR compiles the sample program into a folder, statically linked.
app() {
    (cd "$here/hello" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o "$1/app" .)
}

pack_hello.tar.gz() {
    mkdir "$work/hello"
    cp "$here/hello/Procfile" "$work/hello/"
    app "$work/hello"
    tarball "$work/hello" "$work/hello.tar.gz"
}

pack_dockerfile.tar.gz() {
    cp -r "$here/dockerfile" "$work/dockerfile"
    app "$work/dockerfile"
    tarball "$work/dockerfile" "$work/dockerfile.tar.gz"
}

pack_tomcat-examples.war() {
    local download=(apt-get -qq -o APT::Sandbox::User=root download tomcat10-examples)
    mkdir "$work/deb"
    (
        cd "$work/deb"
        if ! "${download[@]}" 2>/dev/null; then
            # The usual cause: package lists absent or outdated.
            [[ $EUID -ne 0 ]] || apt-get -qq update
            "${download[@]}" || die "cannot download the Debian package tomcat10-examples" \
                "the lines above say why; without a network, point apt at a mirror that is reachable"
        fi
        dpkg -x tomcat10-examples_*.deb .
        # Debian links some of the jars; an artifact holds the files themselves.
        cp -rL usr/share/tomcat10-examples/examples war
    )
    zipped "$work/deb/war" "$work/tomcat-examples.war"
}

pack site.tar.gz "$here/site"
pack site.zip "$here/site"
pack hello.tar.gz "$here/hello"
pack dockerfile.tar.gz "$here/dockerfile" "$here/hello"
pack tomcat-examples.war
