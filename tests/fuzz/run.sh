#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Builds one target and the library with clang's libFuzzer and sanitizers, and
# runs it for so many seconds from its corpus. If this fails, an input breaks
# the module: it is printed, and belongs into corpus/TARGET from then on.
#
#   run.sh TARGET SECONDS        ASHLAR_SRC, ASHLAR_BUILD: the source tree and a build with its ashlar-config.h
#   run.sh TARGET --minimize     adds what SECONDS found: writes a small corpus that reaches as much (for developers)
set -euo pipefail
target=$1 seconds=$2
: "${ASHLAR_SRC:?}" "${ASHLAR_BUILD:?}"
. "$(dirname "$(readlink -f "$0")")/targets.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v clang >/dev/null || { echo 'clang is not installed (package clang)'; exit 1; }
flags=(-std=gnu17 -O1 -g -fno-omit-frame-pointer -fno-builtin -fno-strict-aliasing -fsanitize=fuzzer-no-link,address,undefined
	-fno-sanitize-recover=all -I"$ASHLAR_SRC" -I"$ASHLAR_SRC/include" -I"$ASHLAR_BUILD" -I"$ASHLAR_SRC/tests/api"
	-Wno-unused-command-line-argument)
names='malloc|free|calloc|realloc|reallocarray|posix_memalign|aligned_alloc|memalign|valloc|pvalloc|malloc_.*|mall.*|free_sized|free_aligned_sized|_Z(nw|na|dl|da).*'

# The library of this target: all of it, or what it can have without replacing malloc.
sources() {
	local source
	for source in "$ASHLAR_SRC"/{base,numa,arena,tcache,alloc}/*.c; do
		case $source in
		*/early.c) ;;
		*/alloc/conf_table.c) [[ $target = conf || $target = ctl || $target = realloc ]] && echo "$source" || true ;;
		*/alloc/*) [[ $target = ctl || $target = realloc ]] && echo "$source" || true ;;
		*) echo "$source" ;;
		esac
	done
}

compile() {
	local source object objects=()
	while read -r source; do
		object=$work/$(basename "$(dirname "$source")")_$(basename "$source" .c).o
		clang "${flags[@]}" -fvisibility=hidden -ftls-model=initial-exec -c "$source" -o "$object"
		objects+=("$object")
	done < <(sources)
	# The sanitizers need malloc for themselves: malloc becomes ash_test_malloc.
	nm --defined-only --extern-only "${objects[@]}" | awk -v names="^($names)\$" '$3 ~ names && $3 !~ /^malloc_(conf|message)/ {print $3, "ash_test_" $3}' | sort -u >"$work/names"
	for object in "${objects[@]}"; do
		objcopy --redefine-syms="$work/names" "$object"
	done
	ar rc "$work/library.a" "${objects[@]}"
	clang "${flags[@]}" $(own_flags "$target") -D'ALLOC(name)=ash_test_##name' \
		-c "$ASHLAR_SRC/tests/fuzz/$target.c" -o "$work/$target.o"
	clang "${flags[@]}" -fsanitize=fuzzer $(wraps "$target") "$work/$target.o" "$work/library.a" -o "$work/$target" -pthread
}

# allocator_may_return_null: a target may ask the library, never the sanitizer, for too much.
run() {
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=0:handle_segv=1 UBSAN_OPTIONS=print_stacktrace=1 \
		timeout $(( ${seconds_to_run:-60} + 120 )) "$work/$target" -rss_limit_mb=3000 -timeout=60 -print_final_stats=1 \
		-artifact_prefix="$work/" "$@" 2>&1
}

show_findings() {
	local found
	for found in "$work"/{crash,timeout,oom,leak,slow-unit}-*; do
		[ -e "$found" ] || continue
		echo "--- put this into tests/fuzz/corpus/$target: base64 -d >$(basename "$found")"
		base64 "$found"
	done
}

compile
corpus=$ASHLAR_SRC/tests/fuzz/corpus/$target
[ -n "$(ls "$corpus")" ] || { echo "$corpus has no inputs"; exit 1; }
mkdir "$work/found"
if [ "$seconds" = --minimize ]; then
	mkdir "$work/small"
	run -set_cover_merge=1 -max_len="$(max_len "$target")" "$work/small" "$corpus" ${FOUND:+"$FOUND"} | tail -3
	rm -f "$corpus"/*
	cp "$work/small"/* "$corpus"
	exit 0
fi
seconds_to_run=$seconds
# What is new goes into the first folder, which is thrown away.
if ! run -max_total_time="$seconds" -max_len="$(max_len "$target")" "${FOUND:-$work/found}" "$corpus" >"$work/log"; then
	grep -E 'does not hold|ERROR|runtime error|SUMMARY' "$work/log" || true
	# Without the dictionary that libFuzzer recommends.
	grep -v '^"' "$work/log" | tail -n 60
	show_findings
	exit 1
fi
tail -n 9 "$work/log"
grep -q 'stat::number_of_executed_units' "$work/log" || { echo 'the fuzzer did not run to its end'; exit 1; }
