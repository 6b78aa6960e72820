# SPDX-License-Identifier: MIT
import hashlib
import os
import random
import socket
import threading

from world import Failure, answers, program


def value(key, version):
	return (f'{key}.{version}.'.encode() * 400)[:random.Random(f'{key}.{version}').randrange(1, 3000)]


def read_value(reader):
	"""The value of one get, None for a miss."""
	line = reader.readline()
	if line == b'END\r\n':
		return None
	if not line.startswith(b'VALUE '):
		raise Failure(f'memcached answered {line!r}')
	data = reader.read(int(line.split()[3]) + 2)[:-2]
	if reader.readline() != b'END\r\n':
		raise Failure('memcached: a value does not end where it says')
	return data


def expect(reader, wanted):
	got = reader.readline()
	if got != wanted:
		raise Failure(f'memcached answered {got!r}, not {wanted!r}')


def talk(sock, n, outcome):
	"""One connection with keys of its own, so that its answers do not depend on the other connections."""
	rng, stored, seen = random.Random(n), {}, hashlib.sha256()
	with socket.socket(socket.AF_UNIX) as s:
		s.connect(sock)
		reader = s.makefile('rb')
		for i in range(6000):
			key = f'c{n}k{rng.randrange(1500)}'
			choice = rng.randrange(10)
			if choice < 5:
				data = stored[key] = value(key, i)
				s.sendall(b'set %s 0 0 %d\r\n%s\r\n' % (key.encode(), len(data), data))
				expect(reader, b'STORED\r\n')
			elif choice < 9:
				s.sendall(b'get %s\r\n' % key.encode())
				got = read_value(reader)
				if got != stored.get(key):
					raise Failure(f'memcached lost or changed {key}')
				seen.update(got or b'-')
			else:
				s.sendall(b'delete %s\r\n' % key.encode())
				expect(reader, b'DELETED\r\n' if stored.pop(key, None) else b'NOT_FOUND\r\n')
	outcome[n] = seen.hexdigest()


def statistics(sock, names):
	with socket.socket(socket.AF_UNIX) as s:
		s.connect(sock)
		s.sendall(b'stats\r\n')
		reader, found = s.makefile('rb'), {}
		while (line := reader.readline()) != b'END\r\n':
			found[line.split()[1].decode()] = line.split()[2].decode()
	return ' '.join(f'{n}={found[n]}' for n in names)


def with_clients(sock, count):
	"""The answers of each client; a client that failed has none."""
	outcome, errors = {}, []

	def body(n):
		try:
			talk(sock, n, outcome)
		except (Failure, OSError) as e:
			errors.append(f'client {n}: {e}')
	threads = [threading.Thread(target=body, args=(n,), daemon=True) for n in range(count)]
	for t in threads:
		t.start()
	for t in threads:
		t.join()
	if errors or len(outcome) != count:
		raise Failure('; '.join(errors))
	return sorted(outcome.items())


@program('memcached', needs={'/usr/bin/memcached': 'memcached'})
def memcached(w):
	"""Four server threads, six connections that check every answer, many short connections, statistics, clean end."""
	sock = w.path('memcached.sock')
	user = ('-u', 'nobody') if os.getuid() == 0 else ()
	with w.server('memcached', '-s', sock, '-a', '0777', '-t', '4', '-m', '128', *user, ready=answers(socket.AF_UNIX, sock)):
		w.record('answers', repr(with_clients(sock, 6)))
		for _ in range(300):
			with socket.socket(socket.AF_UNIX) as s:
				s.connect(sock)
				s.sendall(b'get c0k1 c1k1 c2k1 nothing\r\n')
				while s.recv(65536)[-5:] != b'END\r\n':
					pass
		w.record('statistics', statistics(sock, ('curr_items', 'total_items', 'cmd_get', 'cmd_set', 'get_hits', 'delete_hits', 'evictions')))
