#!/usr/bin/env bash
# pack.sh OUTDIR packs the samples the way a user would upload them: site.tar.gz and site.zip, hello.tar.gz,
# dockerfile.tar.gz, hello.jar, node.tar.gz, python.tar.gz, php.tar.gz, javax.war, and tomcat-examples.war, a real web
# application taken from the Debian package of that name.
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

# key INPUT… names the content of files and folders, of this script, and of the compiler. Paths are from here on, so that
# two checkouts share what one of them packed.
key() {
    {
        (cd "$here" && find "${@#"$here"/}" pack.sh -type f -print0 | sort -z | xargs -0 sha256sum)
        go env GOVERSION GOARCH
    } | sha256sum
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

# download PACKAGE unpacks a Debian package into $work/deb without installing it.
download() {
    local get=(apt-get -qq -o APT::Sandbox::User=root download "$1")
    mkdir -p "$work/deb"
    (
        cd "$work/deb"
        if ! "${get[@]}" 2>/dev/null; then
            # The usual cause: package lists absent or outdated.
            [[ $EUID -ne 0 ]] || apt-get -qq update
            "${get[@]}" || die "cannot download the Debian package $1" \
                "the lines above say why; without a network, point apt at a mirror that is reachable"
        fi
        dpkg -x "$1"_*.deb .
    )
}

pack_tomcat-examples.war() {
    download tomcat10-examples
    # Debian links some of the jars; an artifact holds the files themselves.
    cp -rL "$work/deb/usr/share/tomcat10-examples/examples" "$work/deb/war"
    zipped "$work/deb/war" "$work/tomcat-examples.war"
}

# java SOURCES OUT [CLASSPATH] compiles a folder for the Java of the base images. Eclipse's compiler is a small package;
# it finds Java's own classes in the Java that it runs on.
java() {
    "$scripts/install.sh" ecj default-jre-headless
    ecj -nowarn -proc:none -source 17 -target 17 -g:none ${3:+-cp "$3"} -d "$2" "$1"
}

pack_hello.jar() {
    mkdir -p "$work/jar/META-INF"
    printf 'Manifest-Version: 1.0\nMain-Class: hello.Hello\n' >"$work/jar/META-INF/MANIFEST.MF"
    java "$here/java/src" "$work/jar"
    zipped "$work/jar" "$work/hello.jar"
}

# The servlet API of old is needed to compile only.
pack_javax.war() {
    download libservlet-api-java
    local api=$work/deb/usr/share/java/servlet-api.jar
    cp -r "$here/javax/web" "$work/war"
    mkdir -p "$work/war/WEB-INF/classes" "$work/war/WEB-INF/lib" "$work/stamp"
    java "$here/javax/src" "$work/war/WEB-INF/classes" "$api"
    java "$here/javax/lib" "$work/stamp" "$api"
    zipped "$work/stamp" "$work/war/WEB-INF/lib/stamp.jar"
    zipped "$work/war" "$work/javax.war"
}

pack_node.tar.gz() { tarball "$here/node" "$work/node.tar.gz"; }
pack_python.tar.gz() { tarball "$here/python" "$work/python.tar.gz"; }
pack_php.tar.gz() { tarball "$here/php" "$work/php.tar.gz"; }

pack site.tar.gz "$here/site"
pack site.zip "$here/site"
pack hello.tar.gz "$here/hello"
pack dockerfile.tar.gz "$here/dockerfile" "$here/hello"
pack tomcat-examples.war
pack hello.jar "$here/java"
pack javax.war "$here/javax"
pack node.tar.gz "$here/node"
pack python.tar.gz "$here/python"
pack php.tar.gz "$here/php"
