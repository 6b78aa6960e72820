#!/bin/bash
# SPDX-License-Identifier: MIT
# The folder that serves as a jemalloc prefix: a program written for jemalloc is
# built in it by pkg-config, by jemalloc-config, shared, as an archive and
# static, and one that was built with Debian's jemalloc runs on it. If this
# fails, what was configured for jemalloc does not build or run on ashlar.
. "$ASHLAR_SRC/tests/ways/lib.sh"
need readelf binutils
need cmake cmake

jemalloc=$libdir/ashlar/jemalloc
client=$ASHLAR_SRC/tests/ways/jemalloc_client.c
unset PKG_CONFIG_SYSROOT_DIR
export PKG_CONFIG_PATH=$jemalloc/lib/pkgconfig
cd "$work"

expect "jemalloc-config knows where it is" "$("$jemalloc/bin/jemalloc-config" --prefix)" "$jemalloc"
ln -s "$jemalloc/bin/jemalloc-config" config
expect "also by a link" "$(./config --libdir)" "$jemalloc/lib"
header=$(sed -n 's/^#define JEMALLOC_VERSION "\(.*\)"/\1/p' "$jemalloc/include/jemalloc/jemalloc.h")
expect "its version is the header's" "$(./config --version)" "$header"
expect "every documented question of jemalloc-config has an answer" "$(for option in $(./config --help | grep -o -e '--[a-z]*' | grep -v help); do
	./config "$option" >/dev/null || echo "$option"; done)" ""
! ./config --nonsense 2>/dev/null || fail "jemalloc-config answers --nonsense"
expect "jemalloc.pc has the version of Debian's" "$(pkg-config --modversion jemalloc)" \
	"$(PKG_CONFIG_PATH= pkg-config --modversion jemalloc)"

build() # NAME ARGUMENT...: no word from the compiler
{
	cc -std=gnu17 -Wall -Wextra -Wno-unused-parameter -Werror -O2 -fno-builtin -o "$1" "$client" "${@:2}" >log 2>&1 ||
		fail "$1: $(cat log)"
}
[[ -f /usr/include/jemalloc/jemalloc.h ]] || fail "no jemalloc: apt-get install libjemalloc-dev"
build debian -ljemalloc
build shared $(pkg-config --cflags --libs jemalloc)
# Not PIE: the variables are copied into the program.
build no-pie -no-pie -fno-pie $(pkg-config --cflags --libs jemalloc)
build by-config -I"$(./config --includedir)" -L"$(./config --libdir)" -Wl,-rpath,"$(./config --libdir)" -ljemalloc $(./config --libs)
build archive -I"$jemalloc/include" "$jemalloc/lib/libjemalloc.a" -pthread
build pic-archive -I"$jemalloc/include" "$jemalloc/lib/libjemalloc_pic.a" -pthread
build static -static -I"$jemalloc/include" -L"$jemalloc/lib" -ljemalloc -pthread

wanted=$(./debian 2>debian.version)
! grep -q NO <<<"$wanted" || fail "on Debian's jemalloc: $wanted"
expect "the program has something to say" "$(grep -c ": yes$" <<<"$wanted")" 11
run() # NAME [VARIABLE=VALUE...]
{
	local got
	got=$(env "${@:2}" "./$1" 2>version) || fail "$1 ended with $?: $got $(cat version)"
	expect "$1: all as on Debian's jemalloc" "$got" "$wanted"
	case $1 in
	debian) expect "$1: on ours" "$(cut -d' ' -f1 version)" "$header" ;;
	*) expect "$1: the version is the header's" "$(cat version)" "$header $header" ;;
	esac
}
run shared LD_LIBRARY_PATH="$jemalloc/lib"
run no-pie LD_LIBRARY_PATH="$jemalloc/lib"
run by-config
run archive
run pic-archive
run static
run debian LD_LIBRARY_PATH="$jemalloc/lib"
expect "no-pie: malloc_message lies in the program" "$(readelf -rW no-pie | grep -c 'COPY.*malloc_message')" 1

needed()
{
	readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(libjemalloc.*\)\]/\1/p'
}
expect "shared: the program needs libjemalloc.so.2" "$(needed shared)" libjemalloc.so.2
expect "archive: it needs none" "$(needed archive)$(needed pic-archive)" ""

# As CMake projects look for jemalloc, by the prefix alone.
mkdir cmake
cp "$client" cmake/client.c
cat >cmake/CMakeLists.txt <<-'EOT'
	cmake_minimum_required(VERSION 3.18)
	project(client C)
	find_path(JEMALLOC_INCLUDE_DIR jemalloc/jemalloc.h REQUIRED)
	find_library(JEMALLOC_LIBRARY jemalloc REQUIRED)
	add_executable(client client.c)
	target_include_directories(client PRIVATE ${JEMALLOC_INCLUDE_DIR})
	target_link_libraries(client ${JEMALLOC_LIBRARY})
EOT
cmake -S cmake -B cmake/build -DCMAKE_BUILD_TYPE=Debug -DCMAKE_PREFIX_PATH="$jemalloc" >log 2>&1 && cmake --build cmake/build >>log 2>&1 ||
	fail "CMake: $(tail -n 5 log)"
cp cmake/build/client by-cmake
run by-cmake

# A library of the program's own that has the allocator in it.
cc -shared -fPIC -O2 -o plugin.so -x c - <<<'#include <jemalloc/jemalloc.h>
void *take(void) { return mallocx(100, 0); }' -I"$jemalloc/include" -Wl,--exclude-libs,ALL -x none "$jemalloc/lib/libjemalloc_pic.a" -pthread ||
	fail "libjemalloc_pic.a does not go into a shared library"
