#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds the library and stress.c with ThreadSanitizer and runs them. If this
# fails, two threads touch the same memory without an order between them: the
# kind of mistake that no other test meets on the machine that it is run on.
#
# ThreadSanitizer needs malloc for itself, so the entry points get a prefix:
# free becomes ash_test_free, and stress.c calls it by that name.
#
#   tsan.sh      ASHLAR_SRC, ASHLAR_BUILD: the source tree and a build with its ashlar-config.h
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags=(-std=gnu17 -O1 -g -fsanitize=thread -fno-builtin -fno-strict-aliasing)
names='malloc|malloc_info|malloc_trim|mallinfo2?|mallopt|free|calloc|realloc|reallocarray|posix_memalign|aligned_alloc|memalign|valloc|pvalloc|malloc_usable_size|free_sized|free_aligned_sized|malloc_stats|_Z(nw|na|dl|da).*'

build() {
	local source object plain
	for source in "$ASHLAR_SRC"/{base,numa,arena,tcache,alloc}/*.c; do
		object=$(basename "$(dirname "$source")")_$(basename "$source" .c).o
		# early.c runs while ld.so still relocates: no call of the runtime would reach it then
		plain=$([ "$(basename "$source")" = early.c ] && echo -fno-sanitize=thread || true)
		gcc "${flags[@]}" $plain -fvisibility=hidden -ftls-model=initial-exec \
			-I"$ASHLAR_SRC" -I"$ASHLAR_SRC/include" -I"$ASHLAR_BUILD" -c "$source" -o "$work/$object"
	done
	ld -r -o "$work/all.o" "$work"/*_*.o
	nm --defined-only --extern-only "$work/all.o" | awk -v names="^($names)\$" '$3 ~ names {print $3, "ash_test_" $3}' >"$work/names"
	[ "$(wc -l <"$work/names")" -ge 33 ] || { echo "not all entry points were found in the library"; exit 1; }
	objcopy --redefine-syms="$work/names" "$work/all.o" "$work/prefixed.o"
	gcc "${flags[@]}" -D'ALLOC(name)=ash_test_##name' -I"$ASHLAR_SRC/include" -I"$ASHLAR_SRC/tests/api" \
		"$ASHLAR_SRC/tests/stress/stress.c" "$work/prefixed.o" -o "$work/stress" -pthread
}

# Without a helper thread: that borrows caches, in an order which membarrier keeps and the sanitizer does not see; what it
# does besides slow paths do then. (Borrowing is tested by contents: tests/stress/borrow.c, stress.c --trim.)
# Without address randomization: gcc 12's runtime cannot place its shadow under some kernels' layouts.
run() {
	echo "MALLOC_CONF=$1"
	MALLOC_CONF=helper_thread:false,$1 TSAN_OPTIONS=exitcode=66 timeout 300 setarch -R "$work/stress" "${@:2}" || {
		echo "FAILED under MALLOC_CONF=$1: exit status $?"
		failed=1
	}
}

failed=0
build
run narenas:2 --threads=8 --generations=8 --operations=2000
run narenas:4,tcache:false --threads=4 --generations=4 --operations=1000 --contend
run narenas:4,dirty_decay_ms:0 --threads=8 --generations=4 --operations=1000 --contend
run check:full --threads=4 --generations=4 --operations=1000
exit $failed
