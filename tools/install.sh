#!/usr/bin/env bash
# Install the commands for everybody on this machine, or take them away again.
#
# usage: tools/install.sh check PREFIX FOLDER...
#        tools/install.sh install|uninstall PREFIX [EXTRAS]
#
# `check` says, before anything is done, which of the folders cannot be written to.
# PREFIX/lib/browserid-sasl/env is a symbolic link to a virtual environment made by Debian's
# python3, which every user can read and only this one can write; PREFIX/bin gets a link to each
# command. A new install makes a new environment and moves the link, so that a program that runs on
# the old one does not lose the files below its feet: the old one goes at the install after.
set -euo pipefail

cd "$(dirname "$0")/.."
readonly action=$1 prefix=$2
readonly python=/usr/bin/python3
readonly home=$prefix/lib/browserid-sasl
readonly commands=(bidtool browserid browserid-acceptor browserid-agent browserid-idp
    browserid-sample-client browserid-sample-server browserid-verifier)

case $prefix in /*) ;; *) echo "install: PREFIX must be an absolute path, not '$prefix'" >&2 && exit 1 ;; esac

umask 022

check_folders() {
    local folder parent
    for folder in "$home" "$prefix/bin" "$prefix/share" "$@"; do
        parent=$folder
        while [ ! -e "$parent" ]; do parent=$(dirname "$parent"); done
        [ -d "$parent" ] && [ -w "$parent" ] && continue
        echo "install: $(id -un) may not write to $folder: run this as root, or in a checkout and" \
            "with a PREFIX of your own, such as PREFIX=\"\$HOME/.local\"" >&2
        exit 1
    done
}

remove_links() {
    local command
    for command in "${commands[@]}"; do
        if [ "$(readlink "$prefix/bin/$command")" = "$home/env/bin/$command" ]; then
            rm "$prefix/bin/$command"
        fi
    done
}

# Manual pages and completions: browserid_sasl/cli/share.py writes them.
remove_shared() {
    local command
    for command in "${commands[@]}"; do
        rm -f "$prefix/share/man/man1/$command.1" "$prefix/share/man/man8/$command.8" \
            "$prefix/share/bash-completion/completions/$command" \
            "$prefix/share/zsh/site-functions/_$command" \
            "$prefix/share/fish/vendor_completions.d/$command.fish"
    done
}

remove_environments_except() {
    local environment
    for environment in "$home"/env-*; do
        case " $* " in *" ${environment##*/} "*) ;; *) rm -rf "$environment" ;; esac
    done
}

install_commands() {
    local previous command
    local extras=$1
    previous=$(basename "$(readlink "$home/env" || true)")
    mkdir -p "$home" "$prefix/bin"
    new=$(mktemp -d "$home/env-XXXXXXXX")
    # A build writes into the folder it builds from, and packs what an earlier one left there.
    sources=$(mktemp -d)
    trap 'rm -rf "$new" "$sources"' EXIT
    chmod 755 "$new"
    "$python" -m venv "$new"
    cp -r setup.cfg pyproject.toml README.md LICENSE browserid_sasl "$sources"
    tools/pip-install.sh "$new/bin/python" "$sources[$extras]"
    rm -rf "$sources"
    ln -sfn "$(basename "$new")" "$home/env.new"
    mv -T "$home/env.new" "$home/env"
    trap - EXIT
    remove_environments_except "$(basename "$new")" "$previous"
    # Not every installation has what all commands need, and so not every one has their pages.
    [ ! -x "$home/env/bin/uvicorn" ] || "$home/env/bin/python" -m browserid_sasl.cli.share "$prefix"
    for command in "${commands[@]}"; do
        [ ! -x "$home/env/bin/$command" ] || ln -sfn "$home/env/bin/$command" "$prefix/bin/$command"
    done
    echo "installed in $home, commands in $prefix/bin"
}

uninstall_commands() {
    remove_links
    remove_shared
    rm -rf "$home"
}

case $action in
    check) check_folders "${@:3}" ;;
    install) install_commands "${3:-idp}" ;;
    uninstall) uninstall_commands ;;
    *) sed -n -E 's/^# (usage: |       tools)/\1/p' "$0" >&2 && exit 2 ;;
esac
