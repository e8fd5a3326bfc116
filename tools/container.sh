#!/usr/bin/env bash
# Provide what `make container-trial` builds images of: Debian 12, and this checkout, committed or not, with
# the wheels that `make deb` has fetched.
#
# usage: tools/container.sh FOLDER WHEELS
set -euo pipefail

cd "$(dirname "$0")/.."
readonly folder=$1 wheels=$2
mkdir -p "$folder"

if [ ! -e "$folder/debian.made" ]; then
    echo "==> Debian 12"
    rm -rf "$folder/debian"
    debootstrap --variant=minbase --include=ca-certificates bookworm "$folder/debian" \
        ${DEBIAN12_MIRROR:+"$DEBIAN12_MIRROR"} >"$folder/debian.log" || {
        echo "it could not be made, as $folder/debian.log says: $(tail -n 1 "$folder/debian.log")" >&2
        exit 1
    }
    touch "$folder/debian.made"
fi
rm -rf "$folder/context"
mkdir "$folder/context"
git ls-files -z --cached --others --exclude-standard | xargs -0 -I{} find {} -maxdepth 0 -print0 |
    tar --create --null --files-from=- | tar --extract -C "$folder/context"
[ ! -d "$wheels" ] || cp -r "$wheels" "$folder/context/debian/wheels"
