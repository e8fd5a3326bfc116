#!/usr/bin/env bash
# Install Python packages; if that fails, say in one sentence what to do.
#
# usage: tools/pip-install.sh PYTHON REQUIREMENT...
set -uo pipefail

readonly python=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT

"$python" -m pip install --quiet --disable-pip-version-check --retries 2 "$@" >"$log" 2>&1 && exit
reason=$(grep -iE '^ *error:' "$log" | tail -n 1 | sed -E 's/^ *//')
echo "The Python packages could not be installed: see that this machine reaches the index that pip" \
    "uses (https://pypi.org if nothing else is configured) and has room on its disk, then run the" \
    "same command again (pip said: ${reason:-nothing})." >&2
exit 1
