#!/bin/bash
# SPDX-License-Identifier: MIT
# distribution.sh gcc|clang TRACER VICTIM: builds with the flags that distributions use — Debian's hardening, Intel CET,
# LTO — and checks that the library keeps its properties, that preloaded programs run, and that the fast path costs at
# most 2 instructions more (CET puts an endbr64 at each entry).
. "$(dirname "$0")/common.sh"
compiler=$1 tracer=$(realpath "$2") victim=$(realpath "$3")
need dpkg-buildflags dpkg-dev
need "$compiler" "$compiler"
export CC=$compiler

hardening() { # CFLAGS|CPPFLAGS|LDFLAGS
	DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --get "$1"
}

preloaded_programs_run() { # LIB
	local said
	said=$(LD_PRELOAD=$1 bash -c 'a=(); for i in {1..20000}; do a+=("item $i"); done; echo ${#a[@]} ${a[19999]}' 2>&1)
	[ "$said" = "20000 item 20000" ] || fail "a preloaded bash printed: $said"
	said=$(LD_PRELOAD=$1 PYTHONMALLOC=malloc python3 -c '
import json, threading
def work(): json.loads(json.dumps([{"k": str(i)} for i in range(5000)]))
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print("libashlar" in open("/proc/self/maps").read())' 2>&1)
	[ "$said" = True ] || fail "a preloaded python3 printed: $said"
}

check() { # NAME BUILD_DIR
	local lib=$2/libashlar.so
	echo "$1:"
	"$here/../exports.py" --lib "$lib" --compiler "$compiler" --properties-only
	preloaded_programs_run "$lib"
	"$here/../fast_path.py" --lib "$lib" --compiler "$compiler" --tracer "$tracer" --victim "$victim" --limits-only --slack 2
}

# buildtype=plain: the flags are the distribution's alone.
export CFLAGS="$(hardening CFLAGS) -fcf-protection" CPPFLAGS="$(hardening CPPFLAGS)" LDFLAGS="$(hardening LDFLAGS)"
case $CFLAGS in *-fstack-protector-strong*) ;; *) fail "dpkg-buildflags gave no hardening: $CFLAGS" ;; esac
build "$src" "$work/hardened" --buildtype=plain
# The library itself carries the mark only where libc's start files do; every object of ours must.
objects=$(ar t "$work/hardened/libashlar.a" | wc -l)
marked=$(readelf -nW "$work/hardened/libashlar.a" | grep -c 'x86 feature: IBT, SHSTK' || true)
[ "$objects" = "$marked" ] || fail "only $marked of $objects objects are marked for CET"
check "$compiler, hardening=+all and -fcf-protection" "$work/hardened"

unset CPPFLAGS
export CFLAGS=-O2 LDFLAGS=
if [ "$compiler" = clang ]; then
	need ld.lld lld
	export CC_LD=lld
fi
build "$src" "$work/lto" --buildtype=plain -Db_lto=true
check "$compiler, LTO" "$work/lto"
