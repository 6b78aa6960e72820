# SPDX-License-Identifier: MIT
import os
import re
import signal

from world import Failure, program

SETTINGS = ('--no-defaults', '--skip-networking', '--innodb-buffer-pool-size=32M', '--innodb-flush-log-at-trx-commit=0', '--innodb-fast-shutdown=1',
	'--innodb-flush-method=nosync', '--skip-name-resolve', '--group-concat-max-len=100000')


@program('mariadb', needs={'/usr/sbin/mariadbd': 'mariadb-server', '/usr/bin/mariadb-install-db': 'mariadb-server', '/usr/bin/mariadb': 'mariadb-client',
	'/usr/bin/mariadb-slap': 'mariadb-client'}, timeout=180)
def mariadb(w):
	"""mariadb-install-db, four connections at once, SQL over joins, sorts, JSON, procedures and full text, a restart; it names the allocator."""
	user, data, sock = 'mysql' if os.getuid() == 0 else None, w.path('data'), w.path('socket')
	command = ('/usr/sbin/mariadbd', *SETTINGS, f'--datadir={data}', f'--socket={sock}', f'--pid-file={data}/pid')

	def sql(*args, **options):
		return w.run('mariadb', '--no-defaults', f'--socket={sock}', '-u', 'root', '--skip-column-names', *args, main=False, **options)

	def ready():
		return w.silently('mariadb-admin', '--no-defaults', f'--socket={sock}', '-u', 'root', 'ping') == 0
	w.run('mariadb-install-db', '--no-defaults', f'--datadir={data}', '--auth-root-authentication-method=normal', '--skip-test-db', user=user, compare=False,
		also=('mariadbd',))
	with w.server(*command, ready=ready, user=user):
		named = sql('-e', "SHOW VARIABLES LIKE 'version_malloc_library'", compare=False)
		ours = b'ashlar' if w.lib and os.path.basename(w.lib).startswith('libashlar') else b''
		if w.lib and not re.search(rb'jemalloc 5\.3\.[0-9].*' + ours, named):
			raise Failure(f'mariadbd says that its allocator is {named!r}')
		with open(w.case('mariadb.sql'), 'rb') as f:
			sql(stdin=f.read())
		w.run('mariadb-slap', '--no-defaults', f'--socket={sock}', '-u', 'root', '--concurrency=4', '--iterations=2', '--auto-generate-sql',
			'--auto-generate-sql-load-type=mixed', '--number-of-queries=3000', compare=False, main=False)
	with w.server(*command, ready=ready, user=user):
		sql('-e', 'SELECT COUNT(*), SUM(a), SUM(d) FROM work.t')
