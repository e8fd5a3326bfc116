#!/usr/bin/env bash
# Build the Debian packages of this checkout, committed or not, in a folder of their own. The version is
# the package's one. The network is asked for wheels only, before the build, and none of them that does
# not have its digest in debian/wheels.txt is taken.
#
# usage: tools/deb.sh FOLDER [PART]
#   PART  binary for all of them, which is meant where it is left out; any for those of this
#         architecture, all for the others
set -euo pipefail

cd "$(dirname "$0")/.."
mkdir -p "$1"
folder=$(realpath "$1")
version=$(sed -n -E 's/^__version__ = "(.*)"$/\1/p' browserid_sasl/__init__.py)
readonly folder version part=${2:-binary}
readonly wheels=$folder/wheels sources=$folder/browserid-sasl

fetch_wheels() {
    [ "$(cat "$wheels/.made-for" 2>/dev/null)" != "$(sha256sum <debian/wheels.txt)" ] || return 0
    echo "==> wheels"
    rm -rf "$wheels"
    .venv/bin/python -m pip download -qq --disable-pip-version-check --require-hashes --no-deps \
        --only-binary :all: --python-version 3.11 --dest "$wheels" --requirement debian/wheels.txt
    sha256sum <debian/wheels.txt >"$wheels/.made-for"
}

# What is committed, and what is not ignored. When and with which umask it was checked out is nothing to
# the packages.
copy_sources() {
    rm -rf "$sources"
    mkdir -p "$sources"
    git ls-files -z --cached --others --exclude-standard | xargs -0 -I{} find {} -maxdepth 0 -print0 |
        tar --create --null --files-from=- --mtime="@$(git log -1 --format=%ct)" \
            --mode=go=rX,u+rw | tar --extract --preserve-permissions -C "$sources"
    cp -r "$wheels" "$sources/debian/wheels"
}

write_changelog() {
    local when
    when=$(git log -1 --format=%cD)
    sed -e "s/@VERSION@/$version/" -e "s/@DATE@/$when/" debian/changelog.in >"$sources/debian/changelog"
}

fetch_wheels
copy_sources
write_changelog
rm -f "$folder"/*.deb "$folder"/*.changes "$folder"/*.buildinfo
echo "==> Debian packages, version $version"
(cd "$sources" && dpkg-buildpackage --build="$part" --unsigned-changes --no-pre-clean) >"$folder/build.log" 2>&1 || {
    echo "they could not be built, as $folder/build.log says: $(tail -n 1 "$folder/build.log")" >&2
    exit 1
}
rm -rf "$sources"
ls "$folder"/*.deb
