#!/bin/bash
# SPDX-License-Identifier: MIT
# A Rust program by Debian's cargo runs on libashlar.a through GlobalAlloc, and
# so does the C code in it. If this fails, the example that Rust users copy does
# not build offline, or its layouts and ashlar's frees do not fit together.
. "$ASHLAR_SRC/tests/ways/lib.sh"
need cargo cargo
need rustc rustc
need nm binutils

cd "$examples/rust"
cargo build --quiet --release --offline
program=target/release/on-ashlar
for check in sampled full; do
	got=$(MALLOC_CONF=check:$check timeout 60 $program)
	expect "check:$check: the version is that of ashlar.pc" "$(head -n 1 <<<"$got")" "ashlar $(pkg-config --modversion ashlar)"
	numbers=$(sed -n 's/^sum 399960000: \([0-9]*\) bytes .* in \([0-9]*\) bytes in use, after drop \([0-9]*\)$/\1 \2 \3/p' <<<"$got")
	read -r live in_use left <<<"$numbers"
	between "check:$check: what the program holds" "$live" 700000 1200000
	between "check:$check: bytes in use cover it" "$in_use" "$live" 8000000
	between "check:$check: after drop" "$left" 0 $((in_use / 4))
done
expect "C code in the program uses its malloc" "$(nm -D $program | grep -c -E ' T (malloc|free|calloc|realloc)$')" 4

sed "s|ASHLAR_RS|$examples/rust/src/ashlar.rs|" "$ASHLAR_SRC/tests/ways/layouts.rs" >"$work/layouts.rs"
rustc --edition 2021 -O -L "native=$libdir" -l static=ashlar -o "$work/layouts" "$work/layouts.rs"
for check in sampled full; do
	expect "check:$check: every layout" "$(MALLOC_CONF=check:$check timeout 60 "$work/layouts")" "1734 layouts"
done

cd "$work"
rm -rf "$examples/rust/target"
if PKG_CONFIG=/nonexistent cargo build --quiet --release --offline --manifest-path "$examples/rust/Cargo.toml" 2>"$work/log"; then
	fail "the build finds ashlar without pkg-config and ASHLAR_LIB_DIR"
fi
grep -q "set ASHLAR_LIB_DIR to the folder of libashlar.a" "$work/log" || fail "no clear message: $(cat "$work/log")"
echo "ok: a missing pkg-config is told"
