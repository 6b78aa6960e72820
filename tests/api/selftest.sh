#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Preloads an allocator with one planted fault after the other and expects the
# model and the stress to notice each. If this fails, they have gone blind.
#
#   selftest.sh FAULTY_LIBRARY MODEL STRESS
set -euo pipefail

faulty=$(realpath "$1") model=$(realpath "$2") stress=$(realpath "$3")
cxx=$(ldconfig -p | awk '!found && $1 == "libstdc++.so.6" && /x86-64|AArch64/ {found = $NF} END {print found}')
[ -n "$cxx" ] || { echo "no libstdc++.so.6: install libstdc++6"; exit 1; }
failed=0

# run FAULT PROGRAM ARGUMENT...: the exit status is in $status, the words in $text
run() {
	local fault=$1
	shift
	status=0
	text=$(FAULT=$fault TEST_LIBRARY=$(basename "$faulty") LD_PRELOAD="$faulty $cxx" timeout 120 "$@" 2>&1) || status=$?
}

expect_notice() {
	local fault=$1 words=$2
	shift 2
	run "$fault" "$@"
	if [ $status -eq 0 ] || ! grep -Eq "$words" <<<"$text"; then
		echo "FAILED $(basename "$1") does not notice '$fault': exit status $status: $text"
		failed=1
	else
		echo "ok     $(basename "$1") notices '$fault': $(tail -1 <<<"$text")"
	fi
}

for program in "$model --operations=200000" "$stress --generations=2"; do
	run none $program
	[ $status -eq 0 ] || { echo "FAILED $program without a fault: exit status $status: $text"; failed=1; }
done

# The operators of libstdc++, which is preloaded for the model, throw where malloc gives NULL.
expect_notice null 'gave NULL|bad_alloc' "$model" --operations=200000
expect_notice two-owners 'overlaps a live object|usable size of only' "$model" --operations=200000
expect_notice calloc-not-zero 'not all zero' "$model" --operations=200000
expect_notice realloc-loses 'lost contents|was overwritten' "$model" --operations=200000
expect_notice misaligned 'is not [0-9]+-aligned' "$model" --operations=200000
expect_notice free-writes 'was overwritten' "$model" --operations=200000
expect_notice free-errno 'set errno' "$model" --operations=200000

expect_notice null 'gave NULL' "$stress" --generations=2
expect_notice two-owners 'overlaps a live object|was overwritten|usable size of' "$stress" --generations=2 --shadow
expect_notice calloc-not-zero 'not all zero' "$stress" --generations=2
expect_notice realloc-loses 'lost contents|was overwritten' "$stress" --generations=2
expect_notice misaligned 'gave' "$stress" --generations=2
expect_notice free-writes 'was overwritten' "$stress" --generations=2
expect_notice free-errno 'set errno' "$stress" --generations=2
exit $failed
