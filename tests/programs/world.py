# SPDX-License-Identifier: MIT
"""What a case sees: commands and servers that run under the chosen allocator, and what is measured of them.

If this fails, a program could misbehave under ashlar, or run without it, and still be reported as passed.

A World is one run of one program: under glibc (lib None), under a preload library, or on a libjemalloc.so.2. Every command goes through
    setpriv --pdeathsig KILL  time -f %M  setpriv --pdeathsig KILL [--reuid USER]  env LD_...=...  PROGRAM
so that nothing outlives the runner, peak RSS is the program's (a child of Python would inherit Python's), and only
the program has the library. CPU is user+sys of the whole tree, from wait4; clients inside the runner are not counted.
"""
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager

HERE = os.path.dirname(os.path.abspath(__file__))
PATH = '/usr/bin:/bin:/usr/sbin:/sbin'
COMPLAINTS = re.compile(rb'^(ashlar: .*|<jemalloc>: .*|ERROR: ld\.so: .*)$', re.M)
CASES = {}


class Failure(Exception):
	"""The program did not behave as it must."""


class Case:
	"""One program: what it needs, what it does, how long it may take."""

	def __init__(self, name, work, needs, timeout, prepare, own_allocator, linked):
		self.name, self.work, self.needs, self.timeout = name, work, needs, timeout
		self.prepare, self.own_allocator, self.linked = prepare, own_allocator, linked

	def missing(self):
		return sorted({pkg for path, pkg in self.needs.items() if not find_program(path)})


def find_program(path):
	if path == os.environ.get('ASHLAR_PROGRAMS_HIDE'):
		return False  # selftest: as if it were not installed
	return os.path.exists(path) if '/' in path else shutil.which(path, path=PATH)


def program(name, needs, timeout=120, prepare=None, own_allocator=False, linked=False):
	"""Registers work(w) as a case. needs: {program or path: Debian package}. prepare(dir) makes inputs once, unmeasured.

	own_allocator: the program links another malloc, so its glibc run needs glibc preloaded before that.
	linked: the program links libjemalloc.so.2, and runs on Debian's and on ours; with own_allocator, its service preloads it."""
	def register(work):
		CASES[name] = Case(name, work, needs, timeout, prepare, own_allocator, linked)
		return work
	return register


def stat_fields(pid):
	"""(comm, ppid) of a process; None when it is gone."""
	try:
		with open(f'/proc/{pid}/stat', 'rb') as f:
			head, tail = f.read().rsplit(b')', 1)
	except (FileNotFoundError, ProcessLookupError):
		return None
	return head.split(b'(', 1)[1].decode(errors='replace'), int(tail.split()[1])


def descendants(root):
	"""{pid: comm} of everything below the process root."""
	children, comm = {}, {}
	for pid in (int(d) for d in os.listdir('/proc') if d.isdigit()):
		fields = stat_fields(pid)
		if fields:
			comm[pid] = fields[0]
			children.setdefault(fields[1], []).append(pid)
	found, todo = {}, [root]
	while todo:
		for pid in children.get(todo.pop(), ()):
			found[pid] = comm[pid]
			todo.append(pid)
	return found


def kill_descendants():
	"""Ends all that the runner started: it is a subreaper, so an orphan is still below it."""
	left = descendants(os.getpid())
	for _ in range(100):
		for pid in left:
			try:
				os.kill(pid, signal.SIGKILL)
			except ProcessLookupError:
				pass
		try:
			while os.waitpid(-1, os.WNOHANG)[0]:
				pass
		except ChildProcessError:
			return
		time.sleep(0.02)
		left = descendants(os.getpid())


def mappings(pid):
	"""What a process has mapped; nothing when it has ended, or is about to."""
	try:
		with open(f'/proc/{pid}/maps', 'rb') as f:
			return f.read()
	except (FileNotFoundError, ProcessLookupError, PermissionError):
		return b''


def maps(pid, lib):
	return lib.encode() in mappings(pid)


class Watch(threading.Thread):
	"""Looks into /proc/PID/maps of a running command until the library was seen in each process that must have it."""

	def __init__(self, launcher, lib, also):
		super().__init__(daemon=True)
		self.launcher, self.lib, self.missing = launcher, lib, set(also)
		self.main_seen, self.ended = False, threading.Event()
		self.start()

	def run(self):
		pause = 0.001
		while not self.ended.wait(pause) and not self.done():
			self.look()
			pause = min(pause * 1.5, 0.02)

	def look(self):
		for pid, comm in descendants(self.launcher).items():
			if self.main_seen and comm not in self.missing:
				continue
			if maps(pid, self.lib):
				self.missing.discard(comm)
				self.main_seen = self.main_seen or stat_fields(pid) and stat_fields(pid)[1] == self.launcher

	def done(self):
		return self.main_seen and not self.missing

	def verdict(self, what):
		self.ended.set()
		self.join()
		if not self.main_seen:
			raise Failure(f'{what}: the library was never seen in /proc/PID/maps of the main process')
		if self.missing:
			raise Failure(f'{what}: the library was never seen in {", ".join(sorted(self.missing))}')


def told(status):
	"""An exit status in words; `time` reports the signal N as 128+N."""
	if 128 < status < 128 + signal.NSIG:
		return f'ended by {signal.Signals(status - 128).name}'
	return f'exit status {status}'


class Command:
	"""A started program and its files."""

	def __init__(self, world, argv, stdin, env, cwd, user, also, main):
		self.world, self.what = world, os.path.basename(argv[0])
		base = os.path.join(world.logs, f'{world.started:03}-{self.what}')
		world.started += 1
		self.out_path, self.err_path, self.rss_path = base + '.out', base + '.err', base + '.rss'
		with open(self.out_path, 'wb') as out, open(self.err_path, 'wb') as err, world.open_input(stdin, base) as inp:
			self.popen = subprocess.Popen(self.wrap(argv, env, user), stdin=inp, stdout=out, stderr=err, cwd=cwd,
				env=world.env, start_new_session=True)
		self.watch = Watch(self.popen.pid, world.lib, also) if world.lib and (main or also) else None

	def wrap(self, argv, env, user):
		become = ['--reuid', user, '--regid', str(pwd.getpwnam(user).pw_gid), '--init-groups'] if user else []
		tie = ['setpriv', '--pdeathsig', 'KILL']
		settings = [f'{k}={v}' for k, v in {**self.world.preload, **(env or {})}.items()]
		return tie + ['/usr/bin/time', '-q', '-o', self.rss_path, '-f', '%M'] + tie + become + ['env'] + settings + list(argv)

	def pid(self):
		"""The program's own process id, once it runs."""
		while self.popen.poll() is None:
			for pid in descendants(self.popen.pid):
				if stat_fields(pid) and stat_fields(pid)[1] == self.popen.pid:
					return pid
			time.sleep(0.005)
		self.complain()
		raise Failure(f'{self.what}: {told(self.popen.returncode)} while it should run\n{self.err_tail()}')

	def explain(self, error):
		"""When a client fails because its server died, the server's death is the news."""
		time.sleep(0.3)
		if self.popen.poll() is not None:
			self.complain()
			raise Failure(f'{self.what}: {told(self.popen.returncode)}, then {error!r}\n{self.err_tail()}') from error

	def wait(self):
		"""The exit status (128+N for signal N); adds what the command cost to the world's figures."""
		_, status, usage = os.wait4(self.popen.pid, 0)
		self.popen.returncode = os.waitstatus_to_exitcode(status)
		self.world.cpu += usage.ru_utime + usage.ru_stime
		with open(self.rss_path) as f:
			self.world.peak_kib = max(self.world.peak_kib, int(f.read() or 0))
		self.complain()
		if self.watch:
			self.watch.verdict(self.what)
		return self.popen.returncode

	def complain(self):
		found = COMPLAINTS.search(self.stderr())
		if found:
			raise Failure(f'{self.what} printed: {found.group().decode(errors="replace")}')

	def expect_status(self, allowed):
		status = self.wait()
		if status not in allowed:
			raise Failure(f'{self.what}: {told(status)}\n{self.err_tail()}')

	def stdout(self):
		with open(self.out_path, 'rb') as f:
			return f.read()

	def stderr(self):
		with open(self.err_path, 'rb') as f:
			return f.read()

	def err_tail(self):
		return (self.stderr() or self.stdout()).decode(errors='replace')[-1500:]


class World:
	"""One run of one program, in an empty directory that has the same path in both runs."""

	def __init__(self, top, inputs, lib, preload):
		self.dir, self.inputs, self.lib, self.preload = os.path.join(top, 'run'), inputs, lib, preload
		self.logs = os.path.join(top, 'logs')
		self.records, self.normalised = [], []
		self.cpu, self.peak_kib, self.started = 0.0, 0, 0
		for folder in (self.dir, self.logs):
			shutil.rmtree(folder, ignore_errors=True)
			os.mkdir(folder)
		os.chmod(self.dir, 0o1777)
		self.env = {'PATH': PATH, 'HOME': self.dir, 'TMPDIR': self.dir, 'LANG': 'C.UTF-8', 'TZ': 'UTC'}

	def path(self, *parts):
		return os.path.join(self.dir, *parts)

	def input(self, *parts):
		return os.path.join(self.inputs, *parts)

	def case(self, name):
		"""A file next to the cases."""
		return os.path.join(HERE, 'cases', name)

	@contextmanager
	def open_input(self, stdin, base):
		if isinstance(stdin, bytes):
			with open(base + '.in', 'wb') as f:
				f.write(stdin)
			stdin = base + '.in'
		with open(stdin or os.devnull, 'rb') as f:
			yield f

	def record(self, label, data):
		"""What must be the same under glibc and under the library."""
		self.records.append((label, data if isinstance(data, bytes) else str(data).encode()))

	def normalise(self, data, pattern, replacement, why):
		if why not in self.normalised:
			self.normalised.append(why)
		return re.sub(pattern, replacement, data)

	def run(self, *argv, stdin=None, env=None, cwd=None, user=None, also=(), main=True, compare=True, status=(0,)):
		"""Runs a command to its end and returns its standard output.

		also: names of further processes below it in which the library must be seen.
		main=False: too short or too secondary to be looked into. compare=False: the case compares something else."""
		command = Command(self, argv, stdin, env, cwd or self.dir, user, also, main)
		command.expect_status(status)
		out = command.stdout()
		if compare:
			self.record(f'{command.what} (command {self.started})', out)
		return out

	@contextmanager
	def server(self, *argv, ready, stop=signal.SIGTERM, env=None, user=None, also=(), status=(0,)):
		"""A server in the foreground, for the time of the with block. ready() says that it answers.

		stop: the signal that ends it, or a function that asks it to end."""
		server = Command(self, argv, None, env, self.dir, user, also, True)
		while not ready():
			server.pid()
			time.sleep(0.02)
		try:
			yield server
		except (Failure, OSError) as e:
			server.explain(e)
			raise
		if callable(stop):
			stop()
		else:
			os.kill(server.pid(), stop)
		server.expect_status(status)

	def silently(self, *argv):
		"""The exit status of a probe outside the measurement, without the library."""
		return subprocess.run(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

	def require_mapped(self, *pids):
		"""Each of these processes runs with the library, or has ended."""
		for pid in pids:
			comm, mapped = stat_fields(pid), mappings(pid)
			if self.lib and comm and mapped and self.lib.encode() not in mapped:
				raise Failure(f'{comm[0]} (process {pid}) runs without the library')

	def free_port(self):
		with socket.socket() as s:
			s.bind(('127.0.0.1', 0))
			return s.getsockname()[1]


def answers(family, address):
	"""A ready() that connects once."""
	def ready():
		with socket.socket(family) as s:
			try:
				s.connect(address)
				return True
			except OSError:
				return False
	return ready
