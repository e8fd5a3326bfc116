#!/usr/bin/env bash
# Make a virtual environment with this package installed in place. Does nothing, quickly, when it is
# there and made from the same things.
#
# usage: tools/environment.sh EXTRAS [FOLDER [CONSTRAINTS]]
#   EXTRAS       extras of setup.cfg, separated by commas
#   FOLDER       of the environment, .venv by default
#   CONSTRAINTS  file of the versions that pip may take
set -euo pipefail

cd "$(dirname "$0")/.."
readonly extras=$1
readonly venv=${2:-.venv}
readonly constraints=${3:-}

# Not the first python3 of PATH, which may be anybody's: Debian's, for which its packages are made.
readonly python=/usr/bin/python3

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python must be there, of version 3.11 or later" >&2
    exit 1
fi

# The interpreter and the folder are written all over a virtual environment: with another of either
# it is made anew. Other requirements only need another run of pip.
made_by() { "$python" -c 'import sys; print(sys.version)' && echo "$PWD"; }
made_for() {
    sha256sum setup.cfg pyproject.toml ${constraints:+"$constraints"}
    grep '^__version__' browserid_sasl/__init__.py
    echo "$extras"
}

# One at a time, when several makes run in the same checkout.
exec 9<setup.cfg
flock 9

if [ "$(cat "$venv/.made-by" 2>/dev/null)" != "$(made_by)" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    echo "==> virtual environment in $venv"
    "$python" -m venv --clear "$venv"
    made_by >"$venv/.made-by"
fi

stamp=$venv/.made-for-${extras//,/-}
if [ "$(cat "$stamp" 2>/dev/null)" != "$(made_for)" ]; then
    echo "==> Python packages: .[$extras]"
    tools/pip-install.sh "$venv/bin/python" ${constraints:+--constraint "$constraints"} --editable ".[$extras]"
    made_for >"$stamp"
fi
