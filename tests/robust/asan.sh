#!/bin/bash
# SPDX-License-Identifier: MIT
#
# If this fails, a program built with AddressSanitizer and ashlar ends in a crash
# that nobody understands. ashlar steps aside, or one clear line ends the program.
#
#   asan.sh CASE
set -euo pipefail

lib=${ASHLAR_LIB:?}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export ASAN_OPTIONS=detect_leaks=0

fail()
{
	echo "FAILED: $1"
	head -n 40 "$tmp/out" "$tmp/err" || true
	exit 1
}

cat >"$tmp/program.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char **argv)
{
	volatile char *p = malloc(100);
	for (int i = 0; i < 1000; i++)
		free(realloc(calloc(1, i + 1), i * 10 + 1));
	if (argc > 1)
		p[100] = 1;
	free((void *)p);
	return puts("done") < 0;
}
C

build()
{
	gcc -g -O1 -fsanitize=address -fno-builtin -o "$tmp/program" "$tmp/program.c" "$@" >"$tmp/out" 2>"$tmp/err" ||
		fail "could not run: gcc -fsanitize=address $*"
}

# AddressSanitizer is at work when it sees the overflow.
sanitizer_is_at_work()
{
	env "$@" "$tmp/program" >"$tmp/out" 2>"$tmp/err" || fail "a right program fails"
	[ "$(cat "$tmp/out")" = done ] || fail "a right program does not end as it should"
	if env "$@" "$tmp/program" overflow >"$tmp/out" 2>"$tmp/err"; then
		fail "the overflow was not seen"
	fi
	grep -q 'ERROR: AddressSanitizer: heap-buffer-overflow' "$tmp/err" || fail "AddressSanitizer did not name the overflow"
}

linked_with_both()
{
	build "$lib" -Wl,-rpath,"$(dirname "$lib")"
	sanitizer_is_at_work A=1
}

preloaded_over_static_runtime()
{
	build -static-libasan
	sanitizer_is_at_work LD_PRELOAD="$lib"
}

preloaded_over_shared_runtime()
{
	build
	if LD_PRELOAD=$lib "$tmp/program" >"$tmp/out" 2>"$tmp/err"; then
		sanitizer_is_at_work LD_PRELOAD="$lib"
		return
	fi
	[ "$(grep -c . "$tmp/err")" = 1 ] || fail "the program did not stop with one line"
	grep -q -e 'ashlar: .*AddressSanitizer' -e 'ASan runtime does not come first' "$tmp/err" || fail "the line does not say what is wrong"
}

preloaded_after_the_runtime()
{
	build
	sanitizer_is_at_work LD_PRELOAD="$(gcc -print-file-name=libasan.so) $lib"
}

"$1"
