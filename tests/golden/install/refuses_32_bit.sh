#!/bin/bash
# SPDX-License-Identifier: MIT
# refuses_32_bit.sh: configuring for a 32-bit target ends with one line that says why. Without it, the build would go on
# to a library whose page map cannot work. No 32-bit libc has to be installed: with a cross file meson only compiles its
# probe of the pointer size, and the one header that glibc keeps per word size is stood in for by an empty one.
. "$(dirname "$0")/common.sh"

mkdir -p "$work/include/gnu"
touch "$work/include/gnu/stubs-32.h"
cat >"$work/cross.ini" <<END
[binaries]
c = ['gcc', '-m32', '-I$work/include', '-idirafter', '/usr/include/$(gcc -print-multiarch)']
ar = 'ar'
[host_machine]
system = 'linux'
cpu_family = 'x86'
cpu = 'i686'
endian = 'little'
END
if meson setup "$work/build" "$src" --cross-file "$work/cross.ini" >"$work/log" 2>&1; then
	fail "meson accepted a 32-bit target"
fi
line=$(grep ERROR: "$work/log" || true)
grep -q 'Checking for size of "void \*" : 4' "$work/log" || { cat "$work/log" >&2; fail "the probe did not find 32-bit pointers"; }
case $line in
*"ERROR: Problem encountered: ashlar needs a 64-bit target"*) echo "refused: ${line#*encountered: }" ;;
*)
	cat "$work/log" >&2
	fail "meson refused a 32-bit target, but not by ashlar's own line: $line"
	;;
esac
