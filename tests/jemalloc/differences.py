#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Each difference from Debian's jemalloc that a test allows has a row in docs/jemalloc.md, and each row a test.

If this fails, a test forgives something that no reader is told, or the page tells what nobody holds.
It also asks for the page's other promises: the ways of switching and of going back, and a test for each trap.
"""

import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(HERE, '..', '..', 'docs', 'jemalloc.md')
SWITCHES = ['systemd', 'Docker', 'Rust', 'CMake', 'autoconf']


def read(path):
	with open(path, encoding='utf-8') as file:
		return file.read()


def allowed():
	"""{name: file} of what the tests forgive."""
	found = {}
	for path in glob.glob(os.path.join(HERE, '*.c*')):
		for name in re.findall(r'\bDIFFERENCE\(([a-z0-9_]+)\)', read(path)):
			found.setdefault(name, os.path.basename(path))
	for line in read(os.path.join(HERE, 'names.txt')).splitlines():
		columns = line.split()
		if not line.startswith('#') and len(columns) == 9:
			found.setdefault(columns[8], 'names.txt')
	return found


def rows(page):
	"""{name: cells} of the table of differences."""
	found = {}
	for line in page.splitlines():
		cells = [cell.strip() for cell in re.split(r'(?<!\\)\|', line)[1:-1]]
		if len(cells) == 4 and re.fullmatch(r'`[a-z0-9_]+`', cells[0]):
			if cells[0][1:-1] in found:
				sys.exit(f'docs/jemalloc.md has {cells[0]} twice')
			found[cells[0][1:-1]] = cells
	return found


def main():
	page, faults = read(PAGE), []
	forgiven, told = allowed(), rows(page)
	faults += [f'{forgiven[name]} allows {name}, and docs/jemalloc.md has no row for it' for name in sorted(forgiven.keys() - told.keys())]
	faults += [f'docs/jemalloc.md has a row {name}, and no test allows it' for name in sorted(told.keys() - forgiven.keys())]
	faults += [f'docs/jemalloc.md: row {name} has an empty cell' for name, cells in told.items() if not all(cells)]
	head = page.split('\n## ')[1] if '\n## ' in page else ''
	faults += [f'docs/jemalloc.md does not open with the switch for {word}' for word in SWITCHES if word not in head]
	faults += [f'docs/jemalloc.md: no way back from {word}' for word in SWITCHES if not re.search(rf'^\| {word}.*\|[^|]+\|[^|]+\|$', head, re.M)]
	tests = set(re.findall(r'TEST\(h(\d\d)_', read(os.path.join(HERE, 'hazards.c'))))
	traps = set(re.findall(r'^\| H(\d+) \|', page, re.M))
	numbers = {f'{n:02}' for n in range(1, 22)}
	faults += [f'hazards.c has no test of H{n}' for n in sorted(numbers - tests)]
	faults += [f'docs/jemalloc.md has no row H{n}' for n in sorted(numbers - {f'{int(t):02}' for t in traps})]
	for fault in faults:
		print(fault)
	print(f'{len(told)} differences, {len(traps)} traps')
	return bool(faults)


if __name__ == '__main__':
	sys.exit(main())
