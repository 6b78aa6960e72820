#!/bin/bash
# SPDX-License-Identifier: MIT
# A CMake project finds ashlar where it is installed, by version, and links
# either library. If this fails, find_package(ashlar) finds nothing, the wrong
# version, or targets that do not link.
. "$ASHLAR_SRC/tests/ways/lib.sh"
need cmake cmake

version=$(pkg-config --modversion ashlar)
cmake -S "$examples/cmake" -B "$work/build" >"$work/log" 2>&1 || fail "cmake: $(cat "$work/log")"
cmake --build "$work/build" >"$work/log" 2>&1 || fail "cmake --build: $(cat "$work/log")"
for way in shared archive; do
	got=$("$work/build/heap_report_$way")
	expect "$way: the version is that of ashlar.pc" "$(head -n 1 <<<"$got")" "ashlar $version"
	serves_20_mb "$way" "$got"
done

# finds REQUEST [PREFIX]: prints the version that find_package(REQUEST) gives, or "none"
finds()
{
	mkdir -p "$work/request"
	cat >"$work/request/CMakeLists.txt" <<-END
		cmake_minimum_required(VERSION 3.18)
		project(request LANGUAGES C)
		find_package($1)
		if(ashlar_FOUND AND TARGET ashlar::ashlar AND TARGET ashlar::ashlar_static)
		  file(WRITE \${CMAKE_BINARY_DIR}/answer "\${ashlar_VERSION}")
		else()
		  file(WRITE \${CMAKE_BINARY_DIR}/answer "none")
		endif()
	END
	rm -rf "$work/request/build"
	CMAKE_PREFIX_PATH=${2-$prefix} cmake -S "$work/request" -B "$work/request/build" >"$work/log" 2>&1 ||
		fail "cmake: $(cat "$work/log")"
	cat "$work/request/build/answer"
}

expect "a request without a version is answered" "$(finds ashlar)" "$version"
expect "a request for the exact version is answered" "$(finds "ashlar $version EXACT")" "$version"
expect "a request for a newer version is not" "$(finds "ashlar ${version%%.*}.999")" none
expect "a request for another major version is not" "$(finds "ashlar 999.0")" none
mv "$prefix" "$work/moved"
expect "an installed tree can be moved" "$(finds ashlar "$work/moved")" "$version"

# On Debian /lib is a link to /usr/lib, and a PATH that begins with /bin makes CMake look below / first.
mkdir "$work/merged"
mv "$work/moved" "$work/merged/usr"
ln -s usr/lib "$work/merged/lib"
rm -rf "$work/build"
CMAKE_PREFIX_PATH=$work/merged cmake -S "$examples/cmake" -B "$work/build" >"$work/log" 2>&1 || fail "cmake: $(cat "$work/log")"
cmake --build "$work/build" >"$work/log" 2>&1 || fail "found through a link to lib: $(cat "$work/log")"
serves_20_mb "found through a link to lib" "$("$work/build/heap_report_archive")"
