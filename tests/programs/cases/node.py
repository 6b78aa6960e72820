# SPDX-License-Identifier: MIT
from world import program


@program('node', needs={'/usr/bin/node': 'nodejs'})
def node(w):
	"""V8 with JIT, buffers outside its heap, zlib in a thread pool, worker threads, a child process."""
	w.run('/usr/bin/node', '--expose-gc', w.case('node.js'))
