# SPDX-License-Identifier: MIT
from world import program


@program('lua', needs={'/usr/bin/lua5.4': 'lua5.4'})
def lua(w):
	"""Tables, strings, closures, coroutines, both modes of the collector: all of it goes through realloc."""
	w.run('/usr/bin/lua5.4', w.case('lua.lua'))
