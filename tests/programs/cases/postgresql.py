# SPDX-License-Identifier: MIT
import glob
import os
import pwd
import re
import signal

from world import Failure, descendants, program

FOUND = sorted(glob.glob('/usr/lib/postgresql/*/bin'), key=lambda p: int(p.split('/')[4]))
BIN = FOUND[-1] if FOUND else '/usr/lib/postgresql/15/bin'
SETTINGS = ('fsync=off', 'listen_addresses=', 'shared_buffers=32MB', 'work_mem=1MB', 'max_parallel_workers_per_gather=2',
	'min_parallel_table_scan_size=0', 'parallel_setup_cost=0', 'parallel_tuple_cost=0', 'autovacuum=on', 'log_min_messages=warning', 'jit=off')


def unprivileged():
	"""The user to become: PostgreSQL refuses to run as root."""
	return 'postgres' if os.getuid() == 0 else None


@program('postgresql', needs={f'{BIN}/postgres': 'postgresql', f'{BIN}/pgbench': 'postgresql', f'{BIN}/psql': 'postgresql'}, timeout=180)
def postgresql(w):
	"""initdb, pgbench with four connections, then SQL with parallel workers, sorts on disk, PL/pgSQL, COPY, a restart."""
	user, data = unprivileged(), w.path('data')
	client = {'PGHOST': w.dir, 'PGUSER': 'postgres', 'PGDATABASE': 'postgres'}

	def psql(*args, **options):
		return w.run(f'{BIN}/psql', '-X', '-A', '-q', '-v', 'ON_ERROR_STOP=1', *args, user=user, env=client, **options)

	def ready():
		return w.silently(f'{BIN}/pg_isready', '-q', '-h', w.dir) == 0
	settings = [x for s in SETTINGS for x in ('-c', s)]
	server = (f'{BIN}/postgres', '-D', data, '-k', w.dir, *settings)
	w.run(f'{BIN}/initdb', '-D', data, '-U', 'postgres', '-A', 'trust', '--locale=C', '-E', 'UTF8', '--no-sync',
		user=user, compare=False, also=('postgres',))
	with w.server(*server, ready=ready, stop=signal.SIGINT, user=user) as s:
		w.require_mapped(s.pid(), *descendants(s.pid()))
		w.run(f'{BIN}/pgbench', '-i', '-q', '-s', '2', user=user, env=client, compare=False, main=False)
		out = w.run(f'{BIN}/pgbench', '-n', '-c', '4', '-j', '2', '-t', '500', '--random-seed=7', user=user, env=client, compare=False)
		w.record('pgbench', re.findall(rb'^number of .*$', out, re.M))
		# By standard input: that user may not be able to read the checkout.
		psql(stdin=w.case('postgresql.sql'))
	with w.server(*server, ready=ready, stop=signal.SIGINT, user=user):
		psql('-c', 'SELECT count(*), sum(abalance) FROM pgbench_accounts', main=False)
