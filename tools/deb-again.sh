#!/usr/bin/env bash
# Build the Debian packages again, elsewhere and otherwise, and compare: the same sources make the same
# packages, octet by octet. What is different is the folder, the date and the time zone, the umask, the
# language, and that the packages of this architecture and the others are built apart.
#
# usage: tools/deb-again.sh FOLDER AGAIN
#   FOLDER  has what tools/deb.sh has built
#   AGAIN   for the second ones
set -euo pipefail

cd "$(dirname "$0")/.."
readonly first=$1 again=$2

umask 077
export NO_FAKE_STAT=1 LANG=C LC_ALL=C LANGUAGE=de TZ=Pacific/Kiritimati
for part in any all; do
    mkdir -p "$again/$part"
    rm -rf "$again/$part/wheels"
    cp -r "$first/wheels" "$again/$part/wheels"
    faketime -f '+400d' tools/deb.sh "$again/$part" "$part"
done

# The names and digests of all that is in a package, to see where two differ.
contents() {
    local tree
    tree=$(mktemp -d)
    dpkg-deb --raw-extract "$1" "$tree"
    (cd "$tree" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
    dpkg-deb --contents "$1"
    rm -rf "$tree"
}

differs=0
for package in "$first"/*.deb; do
    name=$(basename "$package")
    other=$(find "$again" -name "$name")
    if cmp --silent "$package" "$other"; then
        echo "the same: $name"
    else
        echo "differs: $name" >&2
        diff <(contents "$package") <(contents "$other") >&2 || true
        differs=1
    fi
done
exit $differs
