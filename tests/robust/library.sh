#!/bin/bash
# SPDX-License-Identifier: MIT
#
# If this fails, the library file has a property that breaks some program: thread-local
# storage too large for dlopen, a symbol version that no program asks for, a library
# that it drags in, or it may be unloaded under its own handlers.
#
#   library.sh CASE
set -euo pipefail

lib=${ASHLAR_LIB:?}

fail()
{
	echo "FAILED: $1"
	exit 1
}

command -v readelf >/dev/null || fail "could not run: readelf is missing (apt install binutils)"

small_thread_local_storage()
{
	local size
	size=$(readelf -lW "$lib" | awk '$1 == "TLS" { print $6 }')
	[ -n "$size" ] || fail "no TLS segment: how does a thread find its cache?"
	((size <= 64)) || fail "the TLS segment has $((size)) bytes"
}

unversioned_definitions()
{
	local versioned
	versioned=$(readelf --dyn-syms -W "$lib" | awk '$7 != "UND" && $8 ~ /@/ { print $8 }')
	[ -z "$versioned" ] || fail "definitions with a version: $versioned"
	readelf --dyn-syms -W "$lib" | grep -w malloc >/dev/null || fail "malloc is not exported"
}

needs_libc_only()
{
	local needed
	needed=$(readelf -dW "$lib" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -v -e '^libc\.' -e '^ld-linux' || true)
	[ -z "$needed" ] || fail "the library needs $needed"
}

never_unloaded()
{
	readelf -dW "$lib" | grep NODELETE >/dev/null || fail "the library may be unloaded by dlclose"
}

"$1"
