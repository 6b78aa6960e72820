# SPDX-License-Identifier: MIT
from world import program


@program('ruby', needs={'/usr/bin/ruby': 'ruby'})
def ruby(w):
	"""Objects, strings, hashes, JSON, threads, fork, compaction of the heap."""
	w.run('/usr/bin/ruby', w.case('ruby.rb'))
