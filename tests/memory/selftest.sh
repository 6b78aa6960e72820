#!/bin/bash
# SPDX-License-Identifier: MIT
#
# limit.py must fail whenever a limit is missed or could not be looked at: else every test of this folder passes for nothing.
set -euo pipefail
limit=$1 small=$2
out=$(mktemp)
trap 'rm -f "$out"' EXIT

passes() {
	"$limit" "$@" >"$out" 2>&1 || { echo "should pass: $*"; cat "$out"; exit 1; }
}

# fails TEXT ARGUMENT...: with TEXT in what is said.
fails() {
	if "$limit" "${@:2}" >"$out" 2>&1; then
		echo "should fail: ${*:2}"
		exit 1
	fi
	grep -q -- "$1" "$out" || { echo "fails without saying '$1': ${*:2}"; cat "$out"; exit 1; }
}

passes --limit 'rss_kib <= 100000' -- "$small"
passes --limit 'rss_kib <= 100 * glibc' -- "$small"
passes --limit 'rss_kib <= glibc + 100000' -- "$small"
fails 'TOO MUCH' --limit 'rss_kib <= 1' -- "$small"
fails 'TOO MUCH' --limit 'rss_kib <= 0.01 * glibc' -- "$small"
fails 'TOO MUCH' --limit 'rss_kib <= 100000' --limit 'private_dirty_kib <= 1' -- "$small"
fails 'no figure' --limit 'nothing <= 1' -- "$small"
fails 'not understood' --limit 'rss_kib < 1' -- "$small"
fails 'status 2' --limit 'rss_kib <= 100000' -- "$small" --unknown
fails 'unknown option' --conf nonsense:1 --limit 'rss_kib <= 100000' -- "$small"
ASHLAR_LIB=/nowhere fails 'names no library' --limit 'rss_kib <= 100000' -- "$small"
# ld.so goes on without a library that it cannot load.
ASHLAR_LIB=$0 fails 'cannot be preloaded' --limit 'rss_kib <= 100000' -- "$small"
echo done
