#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs launcher.py against an installed library.
. "$ASHLAR_SRC/tests/ways/lib.sh"
need python3 python3

jemalloc=/usr/lib/$(gcc -print-multiarch)/libjemalloc.so.2
[[ -f $jemalloc ]] || fail "libjemalloc.so.2 is missing: apt-get install libjemalloc2"
unset PYTHONPATH PYTHONHOME
python3 "$ASHLAR_SRC/tests/ways/launcher.py" "$ASHLAR_SRC/examples/launcher/mytool.py" "$libdir/libashlar.so.1" "$jemalloc"
