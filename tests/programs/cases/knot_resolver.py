# SPDX-License-Identifier: MIT
import hashlib
import random
import signal

import dns
from world import Failure, program

CONFIG = '''net.listen('127.0.0.1', {port}, {{ kind = 'dns' }})
trust_anchors.remove('.')
modules = {{ 'policy', 'hints > iterate', 'stats' }}
hints.set('hint.test 192.0.2.77')
policy.add(policy.all(policy.FLAGS('NO_0X20')))
policy.add(policy.suffix(policy.DENY, policy.todnames({{ 'denied.test' }})))
policy.add(policy.all(policy.STUB('127.0.0.1@{behind}')))
cache.size = 10 * MB
'''


def elsewhere(name, kind):
	if name.lower().startswith('none'):
		return None
	if kind != dns.TYPES['A']:
		return []
	return [hashlib.sha256(f'{name.lower()}{i}'.encode()).digest()[:4] for i in range(1 + len(name) % 5)]


def answers(port):
	rng, found = random.Random(5), []
	for i in range(6000):
		name = rng.choice((f'name{rng.randrange(1500)}.test', f'none{rng.randrange(500)}.test', f'x{i}.denied.test', 'hint.test'))
		code, count = dns.ask(port, name, rng.choice(('A', 'A', 'AAAA')))
		found.append(f'{name} {code} {count}')
	return found


@program('knot-resolver', needs={'/usr/sbin/kresd': 'knot-resolver'}, timeout=180, linked=True)
def knot_resolver(w):
	"""A cache, static hints and rules in Lua before a name server: twelve thousand questions, half of them from the cache."""
	port = w.free_port()
	with dns.server(elsewhere) as behind:
		with open(w.path('kresd.conf'), 'w') as f:
			f.write(CONFIG.format(port=port, behind=behind))
		with w.server('/usr/sbin/kresd', '-n', '-c', w.path('kresd.conf'), w.dir, ready=lambda: dns.is_served(port, 'hint.test'), stop=signal.SIGTERM):
			for _ in range(2):
				found = answers(port)
				if not any(line.startswith('name') and ' 0 ' in line for line in found):
					raise Failure(f'knot-resolver: no name has an address: {found[:5]}')
				w.record('answers', '\n'.join(found))
