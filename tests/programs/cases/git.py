# SPDX-License-Identifier: MIT
import hashlib
import os

import generate
from world import program


def stream(folder):
	with open(os.path.join(folder, 'stream'), 'wb') as f:
		f.writelines(generate.git_stream(900, 3))


def digest(w, label, *command, **options):
	w.record(label, hashlib.sha256(w.run(*command, compare=False, **options)).hexdigest())


@program('git', needs={'/usr/bin/git': 'git'}, prepare=stream)
def git(w):
	"""fast-import, gc with two packing threads, clone over the pack protocol, fsck, log, blame, grep."""
	with open(w.path('.gitconfig'), 'w') as f:
		f.write('[gc]\n\tautoDetach = false\n[pack]\n\tthreads = 2\n[init]\n\tdefaultBranch = main\n[safe]\n\tdirectory = *\n')
	repo, copy = w.path('repo.git'), w.path('copy')
	w.run('git', 'init', '-q', '--bare', repo, main=False)
	w.run('git', '-C', repo, 'fast-import', '--quiet', '--done', '--depth=10', stdin=w.input('stream'))
	w.run('git', '-C', repo, 'gc', '-q', '--aggressive', '--prune=now', also=('git',))
	w.run('git', '-C', repo, 'fsck', '--full', '--strict')
	w.run('git', 'clone', '-q', 'file://' + repo, copy)
	w.run('git', '-C', copy, 'rev-parse', 'HEAD', 'HEAD~500', 'HEAD^{tree}', main=False)
	w.run('git', '-C', copy, 'status', '--porcelain', main=False)
	digest(w, 'log -p', 'git', '-C', copy, 'log', '-p', '-M', '-300')
	digest(w, 'blame', 'git', '-C', copy, 'blame', '-s', 'dir0/sub0/file0.txt', main=False)
	w.run('git', '-C', copy, 'grep', '-c', '--threads', '2', 'arena.*(slab|depot)', main=False, status=(0, 1))
	w.run('git', '-C', copy, 'fsck', '--full', main=False)
