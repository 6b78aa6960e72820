#!/bin/bash
# SPDX-License-Identifier: MIT
# Preloaded into a program that is linked to Debian's jemalloc, ashlar has every
# name that jemalloc exports, and Debian's library serves none. If this fails,
# such a program has two heaps, and frees to the one what the other gave.
. "$ASHLAR_SRC/tests/ways/lib.sh"
need nm binutils

debian=$(find /usr/lib -name libjemalloc.so.2 | head -n 1)
[[ -n $debian ]] || fail "no jemalloc: apt-get install libjemalloc2"
ashlar=$libdir/libashlar.so.1
cc -O2 -o "$work/program" "$ASHLAR_SRC/tests/ways/interpose.c" -Wl,--no-as-needed "$debian"
mapfile -t names < <(nm -D --defined-only "$debian" | awk '{ print $3 }')
between "names that Debian's jemalloc exports" ${#names[@]} 44 60

expect "without a preload, all are Debian's" "$("$work/program" "${names[@]}" | grep -c ' /.*/libjemalloc.so.2$')" ${#names[@]}
expect "with it, all are ashlar's" "$(LD_PRELOAD=$ashlar "$work/program" "${names[@]}" | grep -vF " $ashlar")" ""
# What the dynamic linker binds while a program runs, inside Debian's library, too.
LD_PRELOAD=$ashlar LD_BIND_NOW=1 LD_DEBUG=bindings LD_DEBUG_OUTPUT="$work/bindings" "$work/program" malloc >/dev/null
expect "nothing is bound to Debian's library but by itself" \
	"$(cat "$work"/bindings.* | grep 'to [^ ]*/libjemalloc.so.2 ' | grep -v 'binding file [^ ]*/libjemalloc.so.2 '  | sed 's/.*symbol//')" ""
bound=$(grep -h 'binding file [^ ]*/libjemalloc.so.2 ' "$work"/bindings.*)
for name in malloc_conf malloc_message malloc mallocx malloc_stats_print; do
	expect "Debian's library itself takes $name from ashlar" "$(grep "symbol \`$name'" <<<"$bound" | sed 's/.* to \([^ ]*\) .*/\1/')" "$ashlar"
done
