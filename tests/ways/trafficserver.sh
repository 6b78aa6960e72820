#!/bin/bash
# SPDX-License-Identifier: MIT
# Debian's source of Traffic Server, configured --with-jemalloc=DIR with our
# prefix: its configure finds what it looks for, and its own allocator, which
# sets extent hooks, runs on the shared library and on the archive. If this
# fails, programs with that switch of configure do not build or run on ashlar.
. "$ASHLAR_SRC/tests/ways/lib.sh"
need autoreconf autoconf
need automake automake
need libtoolize libtool
need dpkg-source dpkg-dev
need g++ g++
need apt-get apt

prefix=$libdir/ashlar/jemalloc
unset PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_PATH
cd "$work"

# Sources by apt's own verification, in folders of this test; the system's lists stay as they are.
fetch_source() # PACKAGE
{
	local codename mirror
	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | sed -n "s/ $codename$//p" | sort -u | head -n 1)
	[[ -n $mirror ]] || fail "apt knows no mirror of Debian $codename"
	echo "deb-src $mirror $codename main" >sources.list
	mkdir -p apt/lists/partial apt/archives/partial
	local apt=(apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt" -o APT::Sandbox::User="$(id -un)")
	"${apt[@]}" update >log 2>&1 && "${apt[@]}" source --download-only "$1" >>log 2>&1 || fail "no source of $1 from $mirror: $(tail -n 3 log)"
	dpkg-source --no-check -x "$1"_*.dsc source >log 2>&1 || fail "dpkg-source: $(tail -n 3 log)"
}

configure() # DIR
{
	./configure --with-jemalloc="$1" --with-yaml-cpp=/usr >log 2>&1 || fail "configure: $(tail -n 3 log)"
	expect "configure finds the library" "$(sed -n 's/^checking for library containing malloc_stats_print... //p' log)" -ljemalloc
	expect "and its header" "$(sed -n 's/^checking for jemalloc.jemalloc.h... //p' log)" yes
}

# Traffic Server's object by its own Makefile, and a program around it with the flags that configure has found.
build() # PROGRAM [LDFLAGS]
{
	make -s -C src/tscore JeAllocator.lo >log 2>&1 || fail "make: $(tail -n 5 log)"
	g++ -std=c++17 -O2 -Iinclude -I"$prefix/include" -o "$1" "$ASHLAR_SRC/tests/ways/trafficserver.cpp" src/tscore/.libs/JeAllocator.o \
		${2-$(sed -n 's/^LDFLAGS = //p' src/tscore/Makefile)} -ljemalloc -pthread >log 2>&1 || fail "$1: $(tail -n 5 log)"
}

runs() # PROGRAM NEEDED
{
	expect "$1: what it needs of jemalloc" "$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(libjemalloc.*\)\]/\1/p')" "$2"
	expect "$1: its buffers" "$(timeout 60 ./"$1" 2>&1)" "6420 buffers stay out of core files, 0 do not; what new gives is in them"
}

fetch_source trafficserver
cd source
autoreconf -fi >log 2>&1 || fail "autoreconf: $(tail -n 3 log)"
configure "$prefix"
build on-debian ""
runs on-debian libjemalloc.so.2
build shared
runs shared libjemalloc.so.2
expect "shared: it runs on ours" "$(ldd shared | grep -c "$prefix/lib/libjemalloc.so.2")" 1

# A prefix that has the archive alone.
mkdir -p "$work/static/lib"
ln -s "$prefix/include" "$work/static/include"
cp "$prefix/lib/libjemalloc.a" "$work/static/lib/"
configure "$work/static"
build static
runs static ""
