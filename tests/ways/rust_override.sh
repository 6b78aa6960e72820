#!/bin/bash
# SPDX-License-Identifier: MIT
# A Rust daemon by Debian's cargo over Debian's jemalloc-sys crate, whose build
# takes the library that JEMALLOC_OVERRIDE names: the archive with the prefix
# _rjem_, beside the C library's malloc, and the one without, in its place. If
# this fails, Rust programs that name an override do not build or run on ashlar.
. "$ASHLAR_SRC/tests/ways/lib.sh"
need cargo cargo
need rustc rustc
need python3 python3
need nm binutils

jemalloc=$libdir/ashlar/jemalloc/lib
registry=/usr/share/cargo/registry
compgen -G "$registry/jemalloc-sys-*" >/dev/null || fail "no crate jemalloc-sys: apt-get install librust-jemalloc-sys-dev"
cp -r "$ASHLAR_SRC/tests/ways/rust-daemon" "$work/"
cd "$work/rust-daemon"
mkdir .cargo
cat >.cargo/config.toml <<-EOT
	[source.crates-io]
	replace-with = "debian"
	[source.debian]
	directory = "$registry"
EOT

# tikv-jemalloc-sys tells the compiler of its prefix also with an override; Debian's older crate leaves that to who builds.

# Four clients at once; prints the answers to STATS before, with 20 MB stored, and after a clear.
talk() # PORT
{
	timeout 60 python3 - "$1" <<-'EOT'
		import socket, sys, threading
		def connection():
		    s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
		    return s, s.makefile('r')
		def ask(c, line):
		    c[0].sendall(line.encode() + b'\n')
		    return c[1].readline().rstrip('\n')
		def client(n, bad):
		    c = connection()
		    for i in range(2500):
		        value = f'{n}.{i}.' * (i % 500)
		        if ask(c, f'SET key{n}.{i} {value}') != 'stored' or ask(c, f'GET key{n}.{i}') != value:
		            bad.append(i)
		            return
		main, bad = connection(), []
		print(ask(main, 'STATS'))
		threads = [threading.Thread(target=client, args=(n, bad)) for n in range(4)]
		[t.start() for t in threads], [t.join() for t in threads]
		assert not bad, f'wrong answers: {bad}'
		print(ask(main, 'STATS'))
		print(ask(main, 'CLEAR'))
		print(ask(main, 'STATS'))
		main[0].sendall(b'STOP\n')
		main[1].readline()
	EOT
}

serve() # NAME WANTED_DECAY WANTED_OF_C VARIABLE=VALUE...
{
	local port said
	rm -f port
	mkfifo port
	env "${@:4}" timeout 120 "target/release/daemon" >port 2>err &
	local daemon=$!
	read -r port <port
	said=$(talk "$port") || fail "$1: $said $(cat err)"
	wait $daemon || fail "$1: the daemon ended with $?: $(cat err)"
	rm -f port
	mapfile -t said <<<"$said"
	expect "$1: it reads its own variable" "$(cut -d' ' -f1,2 <<<"${said[0]}")" "decay $2"
	expect "$1: C code has its malloc" "$(cut -d' ' -f7,8 <<<"${said[0]}")" "of-C $3"
	between "$1: allocated at first" "$(cut -d' ' -f4 <<<"${said[0]}")" 1000 5000000
	between "$1: allocated with what is stored" "$(cut -d' ' -f4 <<<"${said[1]}")" 10000000 60000000
	between "$1: allocated after a clear" "$(cut -d' ' -f4 <<<"${said[3]}")" 1000 5000000
	expect "$1: it has nothing to complain of" "$(cat err)" ""
}

export CARGO_NET_OFFLINE=true
JEMALLOC_OVERRIDE=$jemalloc/libjemalloc_rjem.a RUSTFLAGS='--cfg prefixed' cargo build --quiet --release --offline >log 2>&1 ||
	fail "with the prefix: $(cat log)"
expect "prefixed: the program keeps the C library's malloc" "$(nm target/release/daemon | grep -c ' [TW] malloc$' || true)" 0
serve prefixed 1234 false _RJEM_MALLOC_CONF=dirty_decay_ms:1234 MALLOC_CONF=dirty_decay_ms:99
rm -rf target
JEMALLOC_OVERRIDE=$jemalloc/libjemalloc_pic.a cargo build --quiet --release --offline >log 2>&1 || fail "without a prefix: $(cat log)"
serve unprefixed 99 true MALLOC_CONF=dirty_decay_ms:99
