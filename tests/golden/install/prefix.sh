#!/bin/bash
# SPDX-License-Identifier: MIT
# prefix.sh [--update]: installs into a prefix and under DESTDIR without a network, without tests and bench, and builds a
# user's program against the result by pkg-config and by CMake. A broken ashlar.pc or a missing file shows here, not at
# the packager's.
if [ "${ASHLAR_OFFLINE:-}" != 1 ]; then
	export ASHLAR_OFFLINE=1
	unshare --net true 2>/dev/null && exec unshare --net "$0" "$@"
	unshare --user --map-root-user --net true 2>/dev/null && exec unshare --user --map-root-user --net "$0" "$@"
	echo "prefix.sh: cannot leave the network (unshare --net): run this as root or allow user namespaces" >&2
	exit 1
fi
. "$(dirname "$0")/common.sh"
need cmake cmake
need pkg-config pkg-config
need readelf binutils

prefix=$work/prefix
version=$(sed -n "s/^  version: '\(.*\)',$/\1/p" "$src/meson.build" | head -n 1)
[ -n "$version" ] || fail "found no version in meson.build"

listed() { # FOLDER
	(cd "$1" && find . ! -type d | sed 's|^\./||' | sort)
}

installs_into_a_prefix_without_network_tests_and_bench() {
	copy_sources "$work/src"
	rm -rf "$work/src/tests" "$work/src/bench"
	# No pkg-config file and no C++ compiler can be found: nothing but a C compiler may be asked for.
	PKG_CONFIG_LIBDIR=$work/none CXX=/bin/false build "$work/src" "$work/build" --prefix "$prefix" --libdir lib
	quietly meson install -C "$work/build" --no-rebuild
	listed "$prefix" >"$work/installed"
	[ "${1:-}" != --update ] || cp "$work/installed" "$here/../installed"
	diff -u "$here/../installed" "$work/installed" || fail "other files are installed than tests/golden/installed lists"
}

installs_the_same_under_destdir() {
	DESTDIR=$work/dest quietly meson install -C "$work/build" --no-rebuild
	diff -r "$prefix" "$work/dest$prefix" || fail "DESTDIR changes what is installed"
	! grep -r "$work/dest" "$work/dest" || fail "DESTDIR appears in an installed file"
	local outside
	outside=$(cd "$work/dest" && find . ! -type d ! -path ".$prefix/*")
	[ -z "$outside" ] || fail "installed outside the prefix: $outside"
}

runs() { # PROGRAM SHARED|STATIC: prints the version, and has the right library
	local printed needed
	printed=$(LD_LIBRARY_PATH=$prefix/lib "$1") || fail "$1 failed"
	[ "$printed" = "$version" ] || fail "$1 printed '$printed', not '$version'"
	needed=$(readelf -dW "$1" | grep -c 'NEEDED.*libashlar.so.1' || true)
	case $2 in
	shared) [ "$needed" = 1 ] || fail "$1 does not need libashlar.so.1" ;;
	static) [ "$needed" = 0 ] || fail "$1 needs libashlar.so.1 although it was linked statically" ;;
	esac
}

builds_by_pkg_config() {
	export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
	[ "$(pkg-config --modversion ashlar)" = "$version" ] || fail "ashlar.pc has another version than $version"
	# Unquoted on purpose: pkg-config prints words.
	quietly cc -Werror -o "$work/by-pkg-config" "$here/consumer.c" $(pkg-config --cflags --libs ashlar)
	runs "$work/by-pkg-config" shared
	quietly cc -Werror -static -o "$work/by-pkg-config-static" "$here/consumer.c" $(pkg-config --static --cflags --libs ashlar)
	runs "$work/by-pkg-config-static" static
	quietly cc -Werror -static-pie -fPIE -o "$work/static-pie" "$here/consumer.c" $(pkg-config --static --cflags --libs ashlar)
	runs "$work/static-pie" static
}

builds_by_cmake() {
	mkdir "$work/user"
	cp "$here/consumer.c" "$here/CMakeLists.txt" "$work/user"
	quietly cmake -S "$work/user" -B "$work/user/build" -DCMAKE_PREFIX_PATH="$prefix"
	quietly cmake --build "$work/user/build"
	runs "$work/user/build/consumer-shared" shared
	runs "$work/user/build/consumer-static" static
}

installs_into_a_prefix_without_network_tests_and_bench "$@"
installs_the_same_under_destdir
builds_by_pkg_config
builds_by_cmake
echo "installs into a prefix and under DESTDIR; programs build by pkg-config and CMake, shared and static"
