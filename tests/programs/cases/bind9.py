# SPDX-License-Identifier: MIT
import hashlib
import os
import random
import signal
import threading
import time

import dns
from world import Failure, program

CONFIG = '''options {{
	directory "{dir}";
	pid-file "{dir}/named.pid";
	session-keyfile "{dir}/session.key";
	listen-on port {port} {{ 127.0.0.1; }};
	listen-on-v6 {{ none; }};
	recursion yes;
	allow-recursion {{ any; }};
	allow-query {{ any; }};
	allow-transfer {{ any; }};
	dnssec-validation no;
	empty-zones-enable no;
	max-cache-size 8m;
	forward only;
	forwarders {{ 127.0.0.1 port {forwarder}; }};
	dump-file "{dir}/dump";
}};
controls {{ }};
zone "example" {{ type primary; file "{dir}/example.zone"; allow-update {{ any; }}; }};
zone "." {{ type hint; file "/usr/share/dns/root.hints"; }};
'''
ZONE = '''$ORIGIN example.
$TTL 3600
@ SOA ns1 admin 1 7200 900 1209600 300
@ NS ns1
ns1 A 192.0.2.1
'''


def zone(count):
	rng = random.Random(9)
	lines = [ZONE]
	for i in range(count):
		lines.append(f'host{i} A 10.{i >> 16}.{i >> 8 & 255}.{i & 255}\n')
		lines.append(f'host{i} TXT "{"t" * rng.randrange(1, 200)}"\n')
		if i % 3 == 0:
			lines.append(f'alias{i} CNAME host{rng.randrange(count)}\n')
	return ''.join(lines)


def elsewhere(name, kind):
	"""What the server behind the forwarder knows: every name but those that begin with none."""
	if name.startswith('none'):
		return None
	if kind != dns.TYPES['A']:
		return []
	return [hashlib.sha256(f'{name}{i}'.encode()).digest()[:4] for i in range(1 + len(name) % 5)]


def ask_many(port, seed, seen):
	rng, found = random.Random(seed), []
	for i in range(2500):
		kind = rng.choice(('A', 'TXT', 'AAAA'))
		name = rng.choice((f'host{rng.randrange(6000)}.example', f'alias{rng.randrange(2000) * 3}.example', f'name{rng.randrange(4000)}.test', f'none{i}.test'))
		code, count = dns.ask(port, name, kind)
		found.append(f'{name} {kind} {code} {count}')
	seen[seed] = '\n'.join(found)


def load(w, port):
	"""Four clients at once; their answers do not depend on each other."""
	seen = {}
	threads = [threading.Thread(target=ask_many, args=(port, seed, seen), daemon=True) for seed in range(4)]
	for t in threads:
		t.start()
	for t in threads:
		t.join()
	if len(seen) != 4:
		raise Failure('bind9: a client got no answer')
	for seed in range(4):
		w.record(f'answers {seed}', seen[seed])


def dig(w, port, *words):
	return w.run('dig', '@127.0.0.1', '-p', str(port), '+noall', '+answer', *words, compare=False, main=False)


@program('bind9', needs={'/usr/sbin/named': 'bind9', '/usr/bin/dig': 'bind9-dnsutils', '/usr/bin/nsupdate': 'bind9-dnsutils',
	'/usr/share/dns/root.hints': 'dns-root-data'}, timeout=180, linked=True)
def bind9(w):
	"""A zone of 5000 names and a cache of 8 MB that overflows: four clients, a transfer, updates, a reload, a clean end."""
	port = w.free_port()
	with dns.server(elsewhere) as forwarder:
		with open(w.path('named.conf'), 'w') as f:
			f.write(CONFIG.format(dir=w.dir, port=port, forwarder=forwarder))
		with open(w.path('example.zone'), 'w') as f:
			f.write(zone(5000))
		with w.server('/usr/sbin/named', '-g', '-n', '2', '-c', w.path('named.conf'), ready=lambda: dns.is_served(port, 'ns1.example')) as server:
			load(w, port)
			w.record('a transfer', hashlib.sha256(dig(w, port, 'example', 'AXFR')).hexdigest())
			for part in range(4):
				changes = ''.join(f'update add new{i}.example 60 A 192.0.2.{i % 250}\n' for i in range(part * 200, part * 200 + 200))
				w.run('nsupdate', stdin=f'server 127.0.0.1 {port}\nzone example\n{changes}send\n'.encode(), main=False)
			w.record('an added name', dig(w, port, 'new777.example', 'A'))
			os.kill(server.pid(), signal.SIGHUP)
			time.sleep(0.2)
			load(w, port)
			w.record('a transfer after a reload', sorted(dig(w, port, 'example', 'AXFR').splitlines())[:3000])
