# SPDX-License-Identifier: MIT
# Sourced by the scripts of this folder: installs the library under test into a
# directory of the test's own, copies the examples beside it, and finds both.
#
#   $work       scratch, removed at the end
#   $examples   a copy of examples/ to build in
#   $libdir     where libashlar.so.1 and libashlar.a are installed
set -euo pipefail
export LC_ALL=C.UTF-8 PATH=/usr/bin:/bin:/usr/sbin:/sbin
unset LD_PRELOAD LD_LIBRARY_PATH MALLOC_CONF ASHLAR_CONF CFLAGS LDFLAGS MAKEFLAGS

fail()
{
	echo "FAILED: $*" >&2
	exit 1
}

# need TOOL PACKAGE
need()
{
	command -v "$1" >/dev/null || fail "$1 is missing: apt-get install $2"
}

# expect WHAT GOT WANTED
expect()
{
	[[ $2 == "$3" ]] || fail "$1: got '$2', wanted '$3'"
	echo "ok: $1"
}

# between WHAT NUMBER SMALLEST LARGEST
between()
{
	[[ $2 =~ ^[0-9]+$ ]] && (($2 >= $3 && $2 <= $4)) || fail "$1: got '$2', wanted $3 to $4"
	echo "ok: $1: $2"
}

# serves_20_mb WHAT TEXT: what heap_report printed says that ashlar served its objects and got them back
serves_20_mb()
{
	local report='^asked for 20000000 bytes, in use ([0-9]+) more, after free ([0-9]+) more$'
	[[ $(tail -n 1 <<<"$2") =~ $report ]] || fail "$1: no report in '$2'"
	local held=${BASH_REMATCH[1]} left=${BASH_REMATCH[2]}
	between "$1: bytes in use more while the program holds 20 MB" "$held" 20000000 24000000
	between "$1: bytes in use more after it freed them" "$left" 0 1000000
}

# library_of FILE NAME: which file the dynamic linker took NAME from for FILE, by the log of LD_DEBUG=bindings
library_of()
{
	sed -n "s|.*binding file $1 \[0\] to \([^ ]*\) \[0\]: normal symbol \`$2'.*|\1|p" "$work"/bindings.* | sort -u
}

need meson meson
need pkg-config pkgconf
need make make
need cc gcc
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
meson install -C "$ASHLAR_BUILD" --no-rebuild --quiet --destdir "$work/root" >"$work/install.log" 2>&1 ||
	fail "meson install: $(tail -n 3 "$work/install.log")"
libdir=$(dirname "$(find "$work/root" -name libashlar.so.1)")
[[ -f $libdir/libashlar.so.1 ]] || fail "meson install leaves no libashlar.so.1"
[[ -f $libdir/pkgconfig/ashlar.pc ]] || fail "meson install leaves no ashlar.pc"
cp -r "$ASHLAR_SRC/examples" "$work/"
examples=$work/examples
# What a user built there belongs to another library.
(cd "$examples" && rm -rf rust/target cmake/build launcher/libashlar.so.1 heap_report && make -s -C c clean && make -s -C plugin clean)
prefix=$(dirname "$(dirname "$(dirname "$(find "$work/root" -path '*/ashlar/ashlar.h')")")")

# What a user sets after an installation into a place of his own.
export PKG_CONFIG_PATH=$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$work/root CMAKE_PREFIX_PATH=$prefix
export HOME=$work CARGO_HOME=$work/cargo
