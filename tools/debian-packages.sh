#!/usr/bin/env bash
# Install the Debian packages that the given files list, one a line with # comments, as far as they
# are missing. Who may not install packages is told which to ask for.
#
# usage: tools/debian-packages.sh FILE...
set -euo pipefail

# Other builds of a package have it under a name of their own, and say that they provide it.
provided_packages() {
    dpkg-query -W -f '${db:Status-Status}: ${Provides}\n' | sed -n 's/^installed: //p' |
        tr ',' '\n' | sed -e 's/(.*//' -e 's/[[:space:]]//g' | sort -u
}

missing_packages() {
    local package provided
    provided=$(provided_packages)
    sed -e 's/#.*//' "$@" | tr -s '[:space:]' '\n' | sort -u | while read -r package; do
        [ -n "$package" ] || continue
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            grep -qxF "$package" <<<"$provided" || echo "$package"
    done
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" </dev/null >"$log" 2>&1; }

# Daemons that come with the packages are started by the tests that use them, on ports of their own:
# while the packages install, Debian's start of them is refused.
refuse_to_start_daemons() {
    local guard=/usr/sbin/policy-rc.d
    [ ! -e "$guard" ] || return 0
    trap 'rm -f "$log" /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$guard"
    chmod 755 "$guard"
}

# The lists of packages are fetched only if apt cannot do without: there are none, or they are old.
install_packages() {
    apt --simulate install --no-install-recommends "$@" || apt update || return
    apt install -y --no-install-recommends "$@" && return
    apt update && apt install -y --no-install-recommends "$@"
}

if ! command -v dpkg-query >/dev/null; then
    echo "This is no Debian: make sure that what these files name is installed: $*" >&2
    exit 1
fi
mapfile -t missing < <(missing_packages "$@")
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
    {
        echo "Debian packages are missing. As root, run:"
        echo
        echo "    apt update && apt install --no-install-recommends ${missing[*]}"
        echo
        echo "then try again."
    } >&2
    exit 1
fi
echo "==> Debian packages: ${missing[*]}"
refuse_to_start_daemons
install_packages "${missing[@]}" || {
    echo "They could not be installed: see that this machine reaches the archive that apt uses, then" \
        "run the same command again (apt said: $(grep '^E:' "$log" | tail -n 1))." >&2
    exit 1
}
