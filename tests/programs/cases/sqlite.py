# SPDX-License-Identifier: MIT
from world import program


@program('sqlite', needs={'/usr/bin/sqlite3': 'sqlite3'})
def sqlite(w):
	"""A file database: bulk inserts, indexes, joins, windows, full-text search, JSON, vacuum, integrity check, dump."""
	with open(w.case('sqlite.sql'), 'rb') as f:
		script = f.read()
	w.run('sqlite3', '-bail', w.path('test.db'), stdin=script)
	w.run('sqlite3', '-readonly', w.path('test.db'), '.dump')
