#!/bin/sh
# SPDX-License-Identifier: MIT
# prefix.sh PREFIX ARCHIVE RESULT NM OBJCOPY AR -- CC...: makes RESULT of ARCHIVE. Every name that ARCHIVE shows has PREFIX
# before it in RESULT, in what it calls as in what it defines; names that are hidden can clash with nobody's any more.
set -eu
prefix=$1 archive=$2 result=$3 nm=$4 objcopy=$5 ar=$6
shift 7

object=$result.o
trap 'rm -f "$object" "$result.names"' EXIT
# One object, so that all names that stay inside are inside.
"$@" -r -nostdlib -no-pie -o "$object" -Wl,--whole-archive "$archive" -Wl,--no-whole-archive
"$objcopy" --localize-hidden "$object"
"$nm" -g --defined-only "$object" | while read -r _ _ name; do
	echo "$name $prefix$name"
done >"$result.names"
"$objcopy" --redefine-syms="$result.names" "$object"
rm -f "$result"
"$ar" rcs "$result" "$object"
