#!/bin/bash
# SPDX-License-Identifier: MIT
# A program linked to ashlar, by pkg-config, as a shared library, as an archive
# in a dynamic program, and static: in each, ashlar serves it. If this fails, a
# program that was built with the flags of ashlar.pc does not run on ashlar, or
# runs on two heaps at once.
. "$ASHLAR_SRC/tests/ways/lib.sh"
need readelf binutils

cd "$examples/c"
make -s >"$work/log" 2>&1 || fail "make: $(cat "$work/log")"
expect "compiler and linker have nothing to say" "$(cat "$work/log")" ""
# A static program that the kernel places anywhere; c/Makefile has no rule for it.
cc -O2 -static-pie $(pkg-config --cflags ashlar) -o heap_report-static-pie heap_report.c \
	$(pkg-config --static --libs ashlar) >"$work/log" 2>&1 || fail "-static-pie: $(cat "$work/log")"
version=$(pkg-config --modversion ashlar)

for way in shared archive static static-pie; do
	got=$(LD_LIBRARY_PATH=$libdir ./heap_report-$way)
	expect "$way: the version is that of ashlar.pc" "$(head -n 1 <<<"$got")" "ashlar $version"
	serves_20_mb "$way" "$got"
done

needed()
{
	readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(libashlar.*\)\]/\1/p'
}

expect "shared: the program needs libashlar.so.1" "$(needed heap_report-shared)" libashlar.so.1
expect "archive: the program needs no library of ashlar" "$(needed heap_report-archive)" ""
expect "static: the program needs no dynamic linker" "$(readelf -l heap_report-static | grep -c INTERP || true)" 0
expect "static-pie: nor does this one, and it can lie anywhere" \
	"$(readelf -hl heap_report-static-pie | grep -oE 'DYN|INTERP' | sort -u | tr '\n' ' ')" "DYN "

cc -O2 -shared -fPIC -o "$work/entry_points.so" "$ASHLAR_SRC/tests/ways/entry_points.c"
loader=$ASHLAR_SRC/tests/ways/loader.c
cc -O2 -o "$work/loader-shared" "$loader" $(pkg-config --libs ashlar)
cc -O2 -o "$work/loader-archive" "$loader" $(pkg-config --libs-only-L ashlar) -l:libashlar.a -pthread
got=$(LD_LIBRARY_PATH=$libdir "$work/loader-shared" "$work/entry_points.so")
expect "shared: a library loaded later gets all of its functions from ashlar" \
	"$(cut -d' ' -f2- <<<"$got" | sort | uniq -c | tr -s ' ')" " 11 $libdir/libashlar.so.1"
got=$("$work/loader-archive" "$work/entry_points.so")
expect "archive: a library loaded later gets all of its functions from the program" \
	"$(cut -d' ' -f2- <<<"$got" | sort | uniq -c | tr -s ' ')" " 11 $work/loader-archive"
