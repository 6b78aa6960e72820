#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs a memory workload under the library and fails when one of its figures exceeds a limit: the library then holds memory that it should not.

    limit.py [--rounds N] [--conf OPTIONS] --limit 'FIGURE <= NUMBER' --limit 'FIGURE <= FACTOR * glibc + NUMBER' ... -- PROGRAM ARGUMENT...

A limit beside glibc's figure runs the program without the library too, at the same time. Figures are bytes, faults and counts, never seconds;
each is the median of the rounds. ASHLAR_LIB names the library.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import threading

LIMIT = re.compile(r'(?P<figure>\w+) <= (?:(?:(?P<factor>[\d.]+) \* )?(?P<glibc>glibc)(?: \+ (?P<plus>[\d.]+))?|(?P<number>[\d.]+))')
TIMEOUT = 100
# What would change an allocator; meson sets MALLOC_PERTURB_, with which glibc writes to what it frees.
DROPPED = ('LD_PRELOAD', 'MALLOC_CONF', 'ASHLAR_CONF', 'MALLOC_PERTURB_', 'GLIBC_TUNABLES')


def fail(message):
	sys.exit(f'limit.py: {message}')


def environment(library, conf):
	env = {key: value for key, value in os.environ.items() if key not in DROPPED}
	if library:
		env['LD_PRELOAD'] = library
	if library and conf:
		env['ASHLAR_CONF'] = conf
	return env


def run(command, library, conf):
	"""The figures that the program printed; anything on stderr (a library that was not preloaded, a message of ours) is a failure."""
	done = subprocess.run(command, env=environment(library, conf), capture_output=True, text=True, timeout=TIMEOUT)
	if done.returncode != 0 or done.stderr != '' or done.stdout.count('\n') != 1:
		fail(f'{" ".join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}')
	return {key: float(value) for key, value in (word.split('=') for word in done.stdout.split())}


def run_all(args, library, into):
	try:
		into.extend(run(args.command, library, args.conf) for _ in range(args.rounds))
	except (Exception, SystemExit) as error:
		into[:] = [error]


def medians(runs):
	if any(isinstance(run, BaseException) for run in runs):
		fail(runs[0])
	return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def measure(args, with_glibc):
	"""The medians of ours and, at the same time and so under the same load, of glibc."""
	ours, glibc = [], []
	other = threading.Thread(target=run_all, args=(args, '', glibc))
	if with_glibc:
		other.start()
	run_all(args, args.library, ours)
	if with_glibc:
		other.join()
	return medians(ours), medians(glibc) if with_glibc else {}


def bound(limit, glibc):
	if limit['number']:
		return float(limit['number'])
	return float(limit['factor'] or 1) * glibc[limit['figure']] + float(limit['plus'] or 0)


def within(limit, ours, glibc):
	if limit['figure'] not in ours:
		fail(f"the program prints no figure {limit['figure']}")
	most, value = bound(limit, glibc), ours[limit['figure']]
	beside = f" (glibc {glibc[limit['figure']]:g})" if limit['glibc'] else ''
	print(f"{limit['figure']}: {value:g}, at most {most:g}{beside}: {'ok' if value <= most else 'TOO MUCH'}")
	return value <= most


def parse_arguments():
	parser = argparse.ArgumentParser()
	parser.add_argument('--rounds', type=int, default=1)
	parser.add_argument('--conf', default='')
	parser.add_argument('--limit', action='append', required=True)
	parser.add_argument('command', nargs='+')
	args = parser.parse_args()
	args.limits = [LIMIT.fullmatch(text) for text in args.limit]
	if None in args.limits:
		fail(f'not understood: {args.limit[args.limits.index(None)]}')
	args.library = os.environ.get('ASHLAR_LIB', '')
	if not os.path.isfile(args.library):
		fail(f'ASHLAR_LIB names no library: {args.library}')
	return args


def write_back(path):
	"""Pages of a file that was just linked count as private and dirty in whoever maps them alone, until they are on disk."""
	with open(path, 'rb') as file:
		os.fsync(file.fileno())


def main():
	args = parse_arguments()
	write_back(args.library)
	write_back(args.command[0])
	ours, glibc = measure(args, any(limit['glibc'] for limit in args.limits))
	print(*(f'{key}={value:g}' for key, value in ours.items()))
	if not all([within(limit, ours, glibc) for limit in args.limits]):
		sys.exit(1)


if __name__ == '__main__':
	main()
