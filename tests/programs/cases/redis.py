# SPDX-License-Identifier: MIT
import random
import socket
import time

from world import Failure, answers, program

CONFIG = ('--port', '0', '--save', '', '--appendonly', 'no', '--enable-debug-command', 'yes', '--daemonize', 'no',
	'--dbfilename', 'dump.rdb', '--hz', '50', '--activerehashing', 'yes')


class Client:
	"""The redis protocol over a unix socket, just enough of it."""

	def __init__(self, path):
		self.socket = socket.socket(socket.AF_UNIX)
		self.socket.connect(path)
		self.reader = self.socket.makefile('rb')

	def send(self, *words):
		parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
		self.socket.sendall(b'*%d\r\n' % len(parts) + b''.join(b'$%d\r\n%s\r\n' % (len(p), p) for p in parts))

	def reply(self):
		line = self.reader.readline()
		kind, rest = line[:1], line[1:-2]
		if kind == b'-' or not line:
			raise Failure(f'redis-server answered {line!r}')
		if kind == b'$':
			return None if rest == b'-1' else self.reader.read(int(rest) + 2)[:-2]
		if kind == b'*':
			return [self.reply() for _ in range(int(rest))]
		return rest

	def __call__(self, *words):
		self.send(*words)
		return self.reply()

	def refused(self, *words):
		"""The error that the command must be answered with."""
		self.send(*words)
		line = self.reader.readline()
		if line[:1] != b'-':
			raise Failure(f'redis-server did not refuse {words}: {line!r}')
		return line


def fill(client):
	"""Every type and encoding, values that grow, half of the keys deleted again, some with a time to live."""
	rng, sent = random.Random(6), 0
	kinds = (
		lambda k, i: ('SET', f'string:{k}', 'v' * rng.randrange(1, 600)),
		lambda k, i: ('APPEND', f'string:{k % 500}', 'more' * rng.randrange(1, 20)),
		lambda k, i: ('RPUSH', f'list:{k % 2000}', *(f'element-{j}' for j in range(rng.randrange(1, 9)))),
		lambda k, i: ('HSET', f'hash:{k % 2000}', f'field{i % 300}', 'h' * rng.randrange(1, 90)),
		lambda k, i: ('SADD', f'set:{k % 900}', rng.randrange(100000), f'member{i % 777}'),
		lambda k, i: ('ZADD', f'zset:{k % 900}', rng.randrange(1000), f'member{i % 777}'),
		lambda k, i: ('XADD', f'stream:{k % 50}', f'{i + 1}-1', 'a', i, 'b', 'x' * (i % 50)),
		lambda k, i: ('PFADD', f'hll:{k % 20}', i),
		lambda k, i: ('SETEX', f'expiring:{k}', 100000, i),
		lambda k, i: ('DEL', f'string:{rng.randrange(20000)}', f'list:{rng.randrange(4000)}'),
	)
	for i in range(120000):
		client.send(*kinds[rng.randrange(len(kinds))](rng.randrange(20000), i))
		sent += 1
		if sent % 500 == 0:
			for _ in range(500):
				client.reply()
	client('EVAL', 'local s=0 for i=1,200000 do local t={i,tostring(i)} s=s+#t[2] end redis.call("SET","lua",s) return s', 0)


def digest(client):
	return client('DEBUG', 'DIGEST')


def info(client, field):
	for line in client('INFO', 'all').decode().split('\r\n'):
		if line.startswith(field + ':'):
			return line.split(':', 1)[1]
	raise Failure(f'redis-server has no {field} in INFO')


def background_save(client):
	"""BGSAVE forks a child that walks the data while the parent changes it."""
	client('BGSAVE')
	changes = 0
	while info(client, 'rdb_bgsave_in_progress') == '1' or changes < 2000:
		client('SET', f'during:{changes % 5000}', 'y' * (changes % 300))
		changes += 1
	if info(client, 'rdb_last_bgsave_status') != 'ok':
		raise Failure('BGSAVE failed')
	for n in range(5000):
		client('DEL', f'during:{n}')


def benchmark(w, sock):
	out = w.run('redis-benchmark', '-s', sock, '-n', '40000', '-c', '20', '-P', '8', '-r', '10000', '-d', '200', '-q',
		'-t', 'set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100', compare=False)
	w.record('redis-benchmark rows', sorted(set(line.split(':')[0] for line in out.decode().replace('\r', '\n').split('\n')
		if 'requests per second' in line)))


@program('redis', needs={'/usr/bin/redis-server': 'redis-server', '/usr/bin/redis-benchmark': 'redis-tools'}, own_allocator=True)
def redis(w):
	"""redis-benchmark, then fixed data: BGSAVE under writes, reload in place, restart from the file; equal digests.

	Debian's redis links jemalloc: its glibc run preloads glibc itself."""
	sock = w.path('redis.sock')
	command = ('redis-server', *CONFIG, '--unixsocket', sock, '--dir', w.dir)

	def stop():
		connection = Client(sock)
		connection.send('SHUTDOWN', 'NOSAVE')
	with w.server(*command, ready=answers(socket.AF_UNIX, sock), stop=stop):
		client = Client(sock)
		benchmark(w, sock)
		client('FLUSHALL', 'ASYNC')
		fill(client)
		before = digest(client)
		w.record('digest', before)
		w.record('keys', client('DBSIZE'))
		w.record('a range', repr(client('ZRANGE', 'zset:7', 0, -1, 'WITHSCORES')))
		background_save(client)
		client('DEBUG', 'RELOAD')
		if digest(client) != before:
			raise Failure('redis: the data changed over BGSAVE and DEBUG RELOAD')
		client('BGSAVE')
		while info(client, 'rdb_bgsave_in_progress') == '1':
			time.sleep(0.02)
	with w.server(*command, ready=answers(socket.AF_UNIX, sock), stop=stop):
		client = Client(sock)
		while info(client, 'loading') == '1':
			time.sleep(0.02)
		w.record('digest after a restart from the file', digest(client))
		if digest(client) != before:
			raise Failure('redis: the data changed over the restart')


def close_to(what, value, wanted):
	"""A tenth less, or half more (check:full has guards behind objects), and 2 MB that the server does not count: Lua, libraries."""
	if not wanted * 0.9 - 2e6 <= value <= wanted * 1.5 + 2e6:
		raise Failure(f'redis-server: {what}: {value}, which is not close to {wanted}')


def info_memory(w, client):
	"""What the server reads from the allocator by mallctl makes sense, and has the same fields as under jemalloc."""
	fields = dict(line.split(':', 1) for line in client('INFO', 'memory').decode().split('\r\n') if ':' in line)
	w.record('fields of INFO memory', sorted(fields))
	for field in ('mem_allocator', 'active_defrag_running', 'number_of_keys'):
		w.record(f'{field} of INFO memory', fields.get(field))
	allocated, active, resident = (int(fields['allocator_' + name]) for name in ('allocated', 'active', 'resident'))
	if not 0 < allocated <= active <= resident:
		raise Failure(f'redis-server: allocated {allocated}, active {active}, resident {resident}')
	close_to('allocator_allocated beside used_memory', allocated, int(fields['used_memory']))
	return allocated


def resident_falls(client, wanted):
	"""The server reads the allocator's figures ten times a second."""
	until = time.monotonic() + 10
	while int(info(client, 'allocator_resident')) > wanted:
		if time.monotonic() > until:
			raise Failure(f'redis-server: after FLUSHALL and MEMORY PURGE allocator_resident is still {info(client, "allocator_resident")}')
		time.sleep(0.05)


def memory_commands(w, client):
	allocated = info_memory(w, client)
	stats = client('MEMORY', 'STATS')
	w.record('fields of MEMORY STATS', stats[0::2])
	close_to('allocator.allocated of MEMORY STATS', int(stats[stats.index(b'allocator.allocated') + 1]), allocated)
	if b'Sam' not in client('MEMORY', 'DOCTOR'):
		raise Failure('redis-server: MEMORY DOCTOR has no answer')
	text = client('MEMORY', 'MALLOC-STATS')
	if not text.startswith(b'___ Begin jemalloc statistics ___\n') or not text.endswith(b'--- End jemalloc statistics ---\n'):
		raise Failure(f'redis-server: MEMORY MALLOC-STATS answers {text[:200]!r} ... {text[-200:]!r}')
	w.record('MEMORY PURGE', client('MEMORY', 'PURGE'))
	w.record('a refused activedefrag', client.refused('CONFIG', 'SET', 'activedefrag', 'yes'))
	w.record('MALLCTL of a size', client('DEBUG', 'MALLCTL', 'arenas.page'))
	w.record('MALLCTL of an unsigned, which this version of redis cannot read', client.refused('DEBUG', 'MALLCTL', 'arenas.narenas'))
	w.record('MALLCTL of a name that is none', client.refused('DEBUG', 'MALLCTL', 'stats.arenas.0.small.resident'))
	w.record('MALLCTL-STR', client('DEBUG', 'MALLCTL-STR', 'opt.zero_realloc'))
	w.record('background thread', [client('CONFIG', 'SET', 'jemalloc-bg-thread', word) for word in ('no', 'yes')])


@program('redis-linked', needs={'/usr/bin/redis-server': 'redis-server', '/usr/bin/redis-benchmark': 'redis-tools'}, linked=True)
def redis_linked(w):
	"""As Debian builds it: what it asks jemalloc for, redis-benchmark, BGSAVE under writes, a purge of what was deleted."""
	sock = w.path('redis.sock')

	def stop():
		connection = Client(sock)
		connection.send('SHUTDOWN', 'NOSAVE')
	with w.server('redis-server', *CONFIG, '--unixsocket', sock, '--dir', w.dir, ready=answers(socket.AF_UNIX, sock), stop=stop):
		client = Client(sock)
		memory_commands(w, client)
		benchmark(w, sock)
		client('FLUSHALL', 'ASYNC')
		fill(client)
		w.record('digest', digest(client))
		background_save(client)
		memory_commands(w, client)
		held = int(info(client, 'allocator_resident'))
		client('FLUSHALL')
		client('MEMORY', 'PURGE')
		resident_falls(client, held - 4e6)  # of nine million bytes that were freed, many in slabs that others still need
