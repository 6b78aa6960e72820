#!/bin/bash
# SPDX-License-Identifier: MIT
# C++ programs take ashlar in the same ways as C programs; if this fails, the
# archive clashes with libstdc++, or new and delete bypass ashlar.
. "$ASHLAR_SRC/tests/ways/lib.sh"
need g++ g++

archive="$(pkg-config --libs-only-L ashlar) -l:libashlar.a -pthread"
g++ -std=c++17 -O1 $(pkg-config --cflags ashlar) -c -o "$work/operators.o" "$ASHLAR_SRC/tests/ways/operators.cpp"
g++ -o "$work/operators-shared" "$work/operators.o" $(pkg-config --libs ashlar)
g++ -o "$work/operators-archive" "$work/operators.o" $archive
g++ -static -o "$work/operators-static" "$work/operators.o" $archive >"$work/log" 2>&1 || fail "g++: $(cat "$work/log")"
expect "the linker has nothing to say" "$(cat "$work/log")" ""

for way in shared archive static; do
	for check in sampled full; do
		got=$(LD_LIBRARY_PATH=$libdir MALLOC_CONF=check:$check "$work/operators-$way")
		expect "$way, check:$check: new aligns and throws" "${got%, grown*}" "aligned 1, throws 1"
		# 20,000 objects of 1,024 bytes, 1 MB beside them; under full each has a byte more, and the next class of its alignment.
		between "$way, check:$check: bytes in use grew" "${got##* }" 20480000 29000000
	done
done
