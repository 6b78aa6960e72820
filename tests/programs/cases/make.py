# SPDX-License-Identifier: MIT
import hashlib
import os

import generate
from world import program

MAIN = '''#include <stdio.h>
long total(long);
int main(void) { printf("%ld\\n", total(42)); return 0; }
'''
MAKEFILE = '''OBJS := $(patsubst %.c,%.o,$(sort $(wildcard *.c)))
CFLAGS := -O1 -Wall -Werror
all: prog lib.a
%.o: %.c
	$(CC) $(CFLAGS) -c $< -o $@
prog: $(OBJS)
	$(CC) -o $@ $(OBJS)
lib.a: $(OBJS)
	$(AR) crD $@ $(OBJS)
'''


def project(folder):
	names = [f'part{i}' for i in range(24)]
	for i, name in enumerate(names):
		with open(os.path.join(folder, name + '.c'), 'w') as f:
			f.write(generate.c_file(12, i).replace('work_', name + '_work_'))
			f.write(f'long {name}(long x) {{ long v[9] = {{1, 2, 3, 4, 5, 6, 7, 8, x}}; return {name}_work_11(x, v, 9); }}\n')
	with open(os.path.join(folder, 'total.c'), 'w') as f:
		f.write(''.join(f'long {n}(long);\n' for n in names))
		f.write('long total(long x) { return 0' + ''.join(f' + {n}(x) % 1000' for n in names) + '; }\n')
	for name, content in (('main.c', MAIN), ('Makefile', MAKEFILE)):
		with open(os.path.join(folder, name), 'w') as f:
			f.write(content)


@program('make', needs={'/usr/bin/make': 'make', '/usr/bin/gcc': 'gcc', '/usr/include/stdio.h': 'libc6-dev'}, prepare=project)
def make(w):
	"""make -j2 of a small C project; the archive must be equal byte for byte, the program must run."""
	w.run('cp', '-r', w.inputs, w.path('src'), main=False)
	for name in os.listdir(w.path('src')):
		os.utime(w.path('src', name), (1700000000, 1700000000))
	w.run('make', '-C', w.path('src'), '-j2', 'CC=/usr/bin/gcc', compare=False, also=('cc1',))
	with open(w.path('src', 'lib.a'), 'rb') as f:
		w.record('lib.a', hashlib.sha256(f.read()).hexdigest())
	w.run(w.path('src', 'prog'), main=False)
	w.run('make', '-C', w.path('src'), '-j2', 'CC=/usr/bin/gcc', main=False)
