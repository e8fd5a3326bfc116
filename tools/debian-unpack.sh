#!/usr/bin/env bash
# Unpack the Debian packages that a file lists, each line a folder below .unpacked/ and packages,
# without installing them: those that cannot be installed beside each other. Does nothing, quickly,
# when they are there.
#
# usage: tools/debian-unpack.sh FILE
set -euo pipefail

cd "$(dirname "$0")/.."

download() {
    apt-get -qq download "$@" 2>/dev/null || { apt-get -qq update && apt-get -qq download "$@"; }
}

unpack() {
    local folder=.unpacked/$1 new
    shift
    [ "$(cat "$folder/.packages" 2>/dev/null)" != "$*" ] || return 0
    echo "==> unpacked in $folder: $*"
    mkdir -p .unpacked
    # Everybody may look in: the programs give up root's rights.
    new=$(mktemp -d .unpacked/new-XXXXXXXX)
    chmod 755 "$new"
    (cd "$new" && download "$@")
    for package in "$new"/*.deb; do
        dpkg -x "$package" "$new"
        rm "$package"
    done
    echo "$*" >"$new/.packages"
    rm -rf "$folder"
    mv -T "$new" "$folder"
}

exec 9<"$1"
flock 9
while read -r -a words; do
    unpack "${words[@]}"
done < <(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1")
