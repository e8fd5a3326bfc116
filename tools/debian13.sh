#!/usr/bin/env bash
# Run a command in a copy of this checkout inside Debian 13, which debootstrap makes once in a folder
# outside of it. Only root may do that. .venv has to be there: its pip tells what it is configured
# to, and the pip inside uses that too.
#
# usage: tools/debian13.sh COMMAND...
#   DEBIAN13         the folder, by default browserid-sasl/debian13 in the user's cache
#   DEBIAN13_MIRROR  the archive to use, by default the one that debootstrap prefers
set -euo pipefail

cd "$(dirname "$0")/.."
readonly root=${DEBIAN13:-${XDG_CACHE_HOME:-$HOME/.cache}/browserid-sasl/debian13}

if [ "$(id -u)" -ne 0 ]; then
    echo "debian13: run this as root: nobody else may make a system in a folder and enter it" >&2
    exit 1
fi

# The smallest system there is. apt adds the packages: debootstrap does not know that one may do in
# place of another.
make_system() {
    [ ! -e "$root/.made" ] || return 0
    echo "==> Debian 13 in $root"
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase --include=ca-certificates trixie "$root" \
        ${DEBIAN13_MIRROR:+"$DEBIAN13_MIRROR"} >"$root.log" 2>&1 || {
        echo "debootstrap failed, and says why in $root.log: $(tail -n 1 "$root.log")" >&2
        exit 1
    }
    touch "$root/.made"
}

# What is here, committed or not. The virtual environment of the last run stays.
copy_sources() {
    mkdir -p "$root/src"
    find "$root/src" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
    git ls-files -z --cached --others --exclude-standard | xargs -0 -I{} find {} -maxdepth 0 -print0 |
        tar --create --null --files-from=- | tar --extract -C "$root/src"
}

# Whatever file of settings it is from, as the environment variables that mean the same.
export_settings_of_pip() {
    local name value
    while IFS='=' read -r name value; do
        name=${name#*.}
        name=PIP_${name//-/_}
        value=${value#\'}
        export "${name^^}=${value%\'}"
    done < <(.venv/bin/python -m pip config list)
}

# The files and folders that pip's settings name, and how names of hosts are looked up. The pages of
# an index in a folder point to files beside it.
files_to_share() {
    { env | grep '^PIP_' || true; echo /etc/resolv.conf /etc/hosts; } | tr " ='" '\n' |
        sed -n -E -e 's,^file://(/.*)/[^/]+/?$,\1,p' -e '\,^/,p' | sort -u | while read -r path; do
            [ ! -e "$path" ] || echo "$path"
        done
}

share() {
    if [ -d "$1" ]; then mkdir -p "$root$1"; else mkdir -p "$(dirname "$root$1")" && touch "$root$1"; fi
    mount --rbind "$1" "$root$1"
}

# In a mount and process namespace of its own: nothing stays mounted or running. The root is a mount
# point as it is elsewhere, and the first process a shell, which collects the dead.
enter() {
    mount --make-rprivate /
    mount --bind "$root" "$root"
    share /dev
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    files_to_share | while read -r path; do share "$path"; done
    export HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
    unset TMPDIR XDG_CACHE_HOME XDG_CONFIG_HOME
    # shellcheck disable=SC2016  # it is the inner shell that expands these
    exec chroot "$root" /bin/bash -c \
        'cd /src && tools/debian-packages.sh tools/debian13-packages.txt && "$@"; exit $?' bash "$@"
}

if [ "${1:-}" = --inside ]; then
    shift
    enter "$@"
fi
make_system
copy_sources
export_settings_of_pip
exec unshare --mount --pid --fork --kill-child "$PWD/tools/debian13.sh" --inside "$@"
