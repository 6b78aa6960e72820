#!/bin/bash
# SPDX-License-Identifier: MIT
#
# If this fails, a program with ashlar does not run under a debugging tool, or
# its heap cannot be looked at in a process that is stopped somewhere.
#
#   tools.sh CASE PROGRAM      CASE is one of the functions below
set -euo pipefail

case=$1 program=$2
lib=${ASHLAR_LIB:?}
tmp=$(mktemp -d)
victim=
trap '[ -z "$victim" ] || kill -KILL "$victim" 2>/dev/null; rm -rf "$tmp"' EXIT
export DEBUGINFOD_URLS=

fail()
{
	echo "FAILED: $1"
	tail -n 60 "$tmp"/* || true
	exit 1
}

need()
{
	command -v "$1" >/dev/null || fail "could not run: $1 is missing (apt install $2)"
}

ends_with_done()
{
	[ "$(tail -n 1 "$1")" = done ] || fail "the program did not end as it should"
}


in_valgrind()
{
	need valgrind valgrind
	LD_PRELOAD=$lib timeout 100 valgrind "$@" --error-exitcode=9 --log-file="$tmp/log" "$program" 30 >"$tmp/out" 2>"$tmp/err" || fail "exit status $?"
	ends_with_done "$tmp/out"
	[ ! -s "$tmp/err" ] || fail "the program printed something"
}

# ashlar itself runs inside memcheck, which watches each of its reads and writes.
valgrind_watches_ashlar() { in_valgrind --soname-synonyms=somalloc=nouserintercepts; }
valgrind_without_tool() { in_valgrind --tool=none; }
# By default memcheck puts its own malloc in place of ours, which must not mind.
valgrind_replaces_ashlar() { in_valgrind; grep -q 'in use at exit' "$tmp/log" || fail "memcheck saw no heap"; }

# Each `malloc_stats()` begins with the bytes held and the bytes in use.
check_tables()
{
	python3 - "$1" "$2" <<'PY' || fail "the tables of malloc_stats are not as they should be"
import re
import sys
text = open(sys.argv[1]).read()
tables = re.findall(r"(?m)^ *(\d+) bytes held from the system\n *(\d+) bytes in use\n", text)
assert len(tables) >= int(sys.argv[2]), f"{len(tables)} tables of {sys.argv[2]}"
for held, in_use in tables:
    assert 0 < int(held) and int(in_use) <= int(held), f"held {held}, in use {in_use}"
PY
}

in_gdb()
{
	need gdb gdb
	timeout 100 gdb -batch -nx -iex 'set auto-load off' -iex 'set debuginfod enabled off' "$@"
}

# Stopped where an allocation holds the lock of a bin, or one of the pool while it asks the system.
gdb_inside_slow_path()
{
	cat >"$tmp/commands" <<'GDB'
set pagination off
set startup-with-shell off
break main
run
delete
set $n = 0
tbreak ash_os_commit
break ash_slab_take
continue
while $n < 12
	set scheduler-locking on
	call (void)malloc_stats()
	call (void)malloc_stats_print((void *)0, (void *)0, (void *)0)
	set scheduler-locking off
	set $n = $n + 1
	continue
end
delete
continue
GDB
	in_gdb -ex "set environment LD_PRELOAD $lib" -ex "source $tmp/commands" --args "$program" 100 >"$tmp/out" 2>"$tmp/err" || fail "gdb: exit status $?"
	grep -q '^done$' "$tmp/out" || fail "the program did not go on to its end"
	grep -q 'exited normally' "$tmp/out" || fail "the program did not exit normally"
	grep -q 'ash_os_commit' "$tmp/out" || fail "nothing stopped in ash_os_commit"
	grep -q 'ash_slab_take' "$tmp/out" || fail "nothing stopped in ash_slab_take"
	cat "$tmp/err" "$tmp/out" >"$tmp/tables"
	check_tables "$tmp/tables" 24
	(($(grep -c '^--- End jemalloc statistics ---$' "$tmp/tables") == 12)) || fail "malloc_stats_print did not come to its end 12 times"
}

# Attached while four threads allocate as fast as they can, stopped wherever they are.
gdb_attached_anywhere()
{
	LD_PRELOAD=$lib "$program" 0 >"$tmp/out" 2>"$tmp/err" &
	victim=$!
	sleep 0.2
	for i in 1 2 3 4 5 6; do
		in_gdb -p "$victim" -ex 'call (void)malloc_stats()' \
			-ex 'call (void)malloc_stats_print((void *)0, (void *)0, (void *)0)' -ex detach >"$tmp/gdb" 2>&1 || fail "gdb: exit status $?"
		kill -0 "$victim" || fail "the program ended after malloc_stats was called in it"
	done
	kill -TERM "$victim"
	wait "$victim" || fail "the program: exit status $?"
	victim=
	ends_with_done "$tmp/out"
	check_tables "$tmp/err" 12
	(($(grep -c '^--- End jemalloc statistics ---$' "$tmp/err") == 6)) || fail "malloc_stats_print did not come to its end 6 times"
}

strace_follows()
{
	need strace strace
	timeout 100 strace -f -o "$tmp/trace" -E LD_PRELOAD="$lib" "$program" 300 >"$tmp/out" 2>"$tmp/err" || fail "exit status $?"
	ends_with_done "$tmp/out"
	[ ! -s "$tmp/err" ] || fail "the program printed something"
	grep -q 'libashlar' "$tmp/trace" || fail "the library was not there"
}

# User-mode emulation: its madvise may not zero, its rseq may be missing.
qemu_user()
{
	need qemu-x86_64 qemu-user
	timeout 100 qemu-x86_64 -E LD_PRELOAD="$lib" "$program" 300 >"$tmp/out" 2>"$tmp/err" || fail "exit status $?"
	ends_with_done "$tmp/out"
	[ ! -s "$tmp/err" ] || fail "the program printed something"
}

declare -F "$case" >/dev/null || fail "unknown case $case"
"$case"
