# SPDX-License-Identifier: MIT
from world import program


@program('perl', needs={'/usr/bin/perl': 'perl', '/usr/bin/shasum': 'perl'})
def perl(w):
	"""Hashes, arrays of arrays, string growth, regular expressions, sort, interpreter threads, fork and pipes."""
	w.run('/usr/bin/perl', w.case('perl.pl'), env={'PERL_HASH_SEED': '0'})
