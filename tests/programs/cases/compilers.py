# SPDX-License-Identifier: MIT
import hashlib
import os

import generate
from world import program


def sources(folder):
	with open(os.path.join(folder, 'large.c'), 'w') as f:
		f.write(generate.c_file(60, 7))
	with open(os.path.join(folder, 'large.cc'), 'w') as f:
		f.write(generate.cpp_file(2, 7))


def compile_both(w, c, cpp, stages):
	for compiler, source, standard in ((c, 'large.c', ()), (cpp, 'large.cc', ('-std=c++17',))):
		w.run(compiler, '-O2', '-g', *standard, '-c', w.input(source), '-o', w.path(source + '.o'), also=stages.get(source, ()))
		with open(w.path(source + '.o'), 'rb') as f:
			w.record(source + '.o', hashlib.sha256(f.read()).hexdigest())


@program('gcc', needs={'/usr/bin/gcc': 'gcc', '/usr/bin/g++': 'g++', '/usr/include/stdio.h': 'libc6-dev'}, prepare=sources)
def gcc(w):
	"""A large C file and a C++ file heavy in templates, -O2 -g; the objects must be equal byte for byte."""
	compile_both(w, '/usr/bin/gcc', '/usr/bin/g++', {'large.c': ('cc1',), 'large.cc': ('cc1plus',)})


@program('clang', needs={'/usr/bin/clang': 'clang', '/usr/bin/clang++': 'clang', '/usr/bin/g++': 'g++'}, prepare=sources)
def clang(w):
	"""As gcc; clang compiles in its main process."""
	compile_both(w, '/usr/bin/clang', '/usr/bin/clang++', {})
