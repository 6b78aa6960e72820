#!/bin/bash
# SPDX-License-Identifier: MIT
# Preloaded, ashlar serves a program that knows nothing of it; if this fails,
# LD_PRELOAD is accepted and the program runs on the C library's heap all the same.
. "$ASHLAR_SRC/tests/ways/lib.sh"

cd "$examples/c"
make -s words
wanted=$(./words <words.c)
[[ $(wc -l <<<"$wanted") == 5 ]] || fail "words prints no five lines: $wanted"

got=$(LD_BIND_NOW=1 LD_DEBUG=bindings LD_DEBUG_OUTPUT="$work/bindings" LD_PRELOAD="$libdir/libashlar.so.1" ./words <words.c)
expect "the output is the same as without" "$got" "$wanted"
for name in malloc free reallocarray; do
	expect "$name of the program is ashlar's" "$(library_of ./words $name)" "$libdir/libashlar.so.1"
done
for name in malloc free realloc calloc; do
	expect "$name of the C library's own calls is ashlar's" "$(library_of '[^ ]*libc.so.6' $name)" "$libdir/libashlar.so.1"
done

report=$(MALLOC_CONF=stats_print:true LD_PRELOAD="$libdir/libashlar.so.1" ./words <words.c 2>&1 >/dev/null)
[[ -n $report ]] || fail "stats_print:true prints no table at exit"
echo "ok: stats_print:true prints a table at exit"

cc -O2 -o "$work/loader" "$ASHLAR_SRC/tests/ways/loader.c"
cc -O2 -shared -fPIC -o "$work/entry_points.so" "$ASHLAR_SRC/tests/ways/entry_points.c"
got=$(LD_PRELOAD="$libdir/libashlar.so.1" "$work/loader" "$work/entry_points.so")
expect "a library loaded later gets all of its functions from ashlar" \
	"$(cut -d' ' -f2- <<<"$got" | sort | uniq -c | tr -s ' ')" " 11 $libdir/libashlar.so.1"
