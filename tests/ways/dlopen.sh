#!/bin/bash
# SPDX-License-Identifier: MIT
# Loaded by dlopen(RTLD_NOW | RTLD_LOCAL), ashlar is a second heap beside the
# program's own, which stays as it is; and a plug-in that is linked to ashlar
# does not mix the two. If this fails, a program that only loads ashlar dies of
# a pointer that went to the wrong heap, or cannot load it at all.
. "$ASHLAR_SRC/tests/ways/lib.sh"

cd "$examples/plugin"
make -s
cc -O2 -Wall -Wextra -o "$work/dlopen_threads" "$ASHLAR_SRC/tests/ways/dlopen_threads.c" -pthread

# private_heap_with WHAT PRELOAD: the program's malloc must be of the file PRELOAD, or of the C library
private_heap_with()
{
	local got of
	got=$(LD_PRELOAD=$2 ./private_heap "$libdir/libashlar.so.1")
	of=$(sed -n "s/^the program's malloc: //p" <<<"$got")
	[[ $of == "$2" || (-z $2 && $of == */libc.so.6) ]] || fail "$1: the program's malloc is of $of"
	expect "$1: the private malloc is ashlar's" "$(sed -n 's/^the private malloc: //p' <<<"$got")" "$libdir/libashlar.so.1"
	for round in 1 2 3; do
		between "$1, round $round: the private heap grew" \
			"$(sed -n "s/^round $round: .* by \([0-9]*\) bytes for 20000000$/\1/p" <<<"$got")" 20000000 24000000
	done
}

private_heap_with "beside the C library's malloc" ""
jemalloc=/usr/lib/$(gcc -print-multiarch)/libjemalloc.so.2
[[ -f $jemalloc ]] || fail "libjemalloc.so.2 is missing: apt-get install libjemalloc2"
private_heap_with "beside another allocator" "$jemalloc"
for check in sampled full; do
	expect "check:$check: threads older than the library, and forks" \
		"$(MALLOC_CONF=check:$check timeout 60 "$work/dlopen_threads" "$libdir/libashlar.so.1")" "10 rounds"
done

got=$(LD_LIBRARY_PATH=$libdir ./plugin_host ./plugin.so ./plugin.so)
expect "a plug-in is loaded twice and has a heap of its own" \
	"$(sed 's/served [0-9]* bytes/served N bytes/' <<<"$got" | sort | uniq -c | tr -s ' ')" \
	" 2 ./plugin.so: ashlar $(pkg-config --modversion ashlar) served N bytes of scratch memory"
between "the plug-in's scratch memory was ashlar's" "$(sed -n '1s/.*served \([0-9]*\) bytes.*/\1/p' <<<"$got")" 1000000 1100000
cc -O2 -o "$work/loader" "$ASHLAR_SRC/tests/ways/loader.c"
cc -O2 -shared -fPIC -o "$work/entry_points.so" "$ASHLAR_SRC/tests/ways/entry_points.c" \
	-Wl,--no-as-needed $(pkg-config --libs ashlar)
got=$(LD_LIBRARY_PATH=$libdir "$work/loader" "$work/entry_points.so")
expect "by name, each function of a plug-in is the program's" \
	"$(sed 's| .*/| |' <<<"$got" | cut -d' ' -f2- | sort | uniq -c | tr -s ' ')" " 11 libc.so.6"
got=$(LD_LIBRARY_PATH=$libdir LD_PRELOAD=libashlar.so.1 ./plugin_host ./plugin.so)
between "the same when the program runs on ashlar" "$(sed -n 's/.*served \([0-9]*\) bytes.*/\1/p' <<<"$got")" 1000000 1100000
