#!/usr/bin/env bash
# Fetch npm packages with all that they depend on, each as the lock file has it. None of their
# scripts is run. Does nothing, quickly, when they are there.
#
# usage: tools/npm-tree.sh FOLDER PLACE
#   FOLDER   has package.json and package-lock.json
#   PLACE    gets node_modules
set -euo pipefail

readonly folder=$1
readonly place=$2

if ! cmp -s "$folder/package-lock.json" "$place/.made-from"; then
    echo "==> npm packages of $folder"
    mkdir -p "$place"
    cp "$folder/package.json" "$folder/package-lock.json" "$place"
    (cd "$place" && npm ci --silent --ignore-scripts --no-audit --no-fund)
    cp "$folder/package-lock.json" "$place/.made-from"
fi
