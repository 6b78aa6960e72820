# SPDX-License-Identifier: MIT
import os

import generate
from world import Failure, program


def data(folder):
	lines = generate.text(4 << 20, 5).splitlines(keepends=True)
	with open(os.path.join(folder, 'data'), 'wb') as f:
		for turn in range(4):
			f.writelines(lines[turn * 3001:] + lines[:turn * 3001])


def roundtrip(w, tool, compress, expand):
	"""The packed bytes are those of the glibc run, and unpacking gives the input back."""
	packed = w.run(tool, *compress, '-c', w.input('data'))
	with open(w.input('data'), 'rb') as f:
		if w.run(tool, *expand, '-c', stdin=packed, compare=False, main=False) != f.read():
			raise Failure(f'{tool}: the round trip changed the data')


@program('xz', needs={'/usr/bin/xz': 'xz-utils'}, prepare=data)
def xz(w):
	"""xz -T2 in blocks of 4 MiB, and back."""
	roundtrip(w, 'xz', ('-T2', '-2', '--block-size=4MiB'), ('-T2', '-d'))


@program('zstd', needs={'/usr/bin/zstd': 'zstd'}, prepare=data)
def zstd(w):
	"""zstd -T2 with long windows, and back."""
	roundtrip(w, 'zstd', ('-T2', '-12', '--long', '-q'), ('-d', '--long', '-q'))
