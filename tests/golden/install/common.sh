# SPDX-License-Identifier: MIT
# For the scripts of this folder: a scratch folder, building a copy of the sources, and failing with one line.
# Reads ASHLAR_SRC. Everything that meson's test runner or a packager's shell may have set is taken away first.
set -euo pipefail
unset LD_PRELOAD LD_LIBRARY_PATH DESTDIR MALLOC_CONF ASHLAR_CONF MALLOC_PERTURB_ CC CXX CFLAGS CPPFLAGS CXXFLAGS LDFLAGS \
	PKG_CONFIG_PATH PKG_CONFIG_LIBDIR
export PATH=/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
src=${ASHLAR_SRC:-$(cd "$here/../../.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}

need() { # TOOL PACKAGE
	command -v "$1" >/dev/null || fail "no $1: install the package $2"
}

# Runs a command and shows what it printed only when it fails.
quietly() {
	"$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "\`$*\` failed"; }
}

# Copies what a release holds; leaves out version control and build folders.
copy_sources() { # TO
	mkdir -p "$1"
	tar -C "$src" --exclude-vcs --exclude=./build --exclude=./.check -cf - . | tar -C "$1" -xf -
}

build() { # SOURCES BUILD_DIR [MESON_OPTION...]
	quietly meson setup "$2" "$1" --wrap-mode=nodownload "${@:3}"
	quietly ninja -C "$2" -j2
}
