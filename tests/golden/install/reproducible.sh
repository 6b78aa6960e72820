#!/bin/bash
# SPDX-License-Identifier: MIT
# reproducible.sh: builds twice, in folders of different names and at different times, and compares every installed byte.
# A path or a time that leaks into the library would make distributions' rebuilds differ.
. "$(dirname "$0")/common.sh"

installed_from() { # FOLDER TO [MESON_OPTION...]
	copy_sources "$1/source"
	(cd "$1" && build "$1/source" "$1/out" --prefix /usr --libdir lib "${@:3}")
	DESTDIR=$2 quietly meson install -C "$1/out" --no-rebuild
}

same_bytes() { # NAME FIRST SECOND
	diff -r "$2" "$3" || fail "two $1 builds in different folders differ"
	[ -s "$2/usr/lib/libashlar.so" ] || fail "$1: no library was built"
	! grep -rl "$work" "$2" || fail "$1: the path of the build folder is in an installed file"
}

a=$work/a b=$work/another/and/longer/folder
mkdir -p "$a" "$b"

installed_from "$a/release" "$work/release-a" --buildtype=release
installed_from "$b/release" "$work/release-b" --buildtype=release
same_bytes release "$work/release-a" "$work/release-b"

# With debug information a packager maps the build folder away, as dpkg-buildflags does.
CFLAGS=-ffile-prefix-map=$a/debug=. installed_from "$a/debug" "$work/debug-a" --buildtype=debugoptimized
CFLAGS=-ffile-prefix-map=$b/debug=. installed_from "$b/debug" "$work/debug-b" --buildtype=debugoptimized
same_bytes debugoptimized "$work/debug-a" "$work/debug-b"
echo "two builds in different folders have the same bytes, with and without debug information"
