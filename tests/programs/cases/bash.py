# SPDX-License-Identifier: MIT
from world import program


@program('bash', needs={'bash': 'bash', 'sort': 'coreutils', 'sed': 'sed', 'grep': 'grep'})
def bash(w):
	"""Arrays, string growth, thousands of subshells, pipes, here-documents, coprocess, traps."""
	w.run('bash', w.case('bash.sh'))
