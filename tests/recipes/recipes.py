#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Every recipe of docs/tuning.md does what the document says. If one fails, an operator sets an option and nothing happens, or something else.

    recipes.py --list TUNING.md                       one recipe a line: TITLE (WHAT TO SET OR CALL)
    recipes.py TUNING.md SUBJECT --only RECIPE        tries that one
    recipes.py TUNING.md SUBJECT                      every check has its recipe in the document

The recipes are read from the document: options, calls and commands in the items of its section "Recipes". What is tried is
what stands there, and a recipe without a check fails. Where an option changes something, the check also looks at a program without it.
"""
import argparse
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys

OPTION = re.compile(r'[a-z_]+:[-\w]+(,[a-z_]+:[-\w]+)*')
CALL = re.compile(r'\w+\(\w*\)|gdb .*')
# Times are late under load and never early: the best of so many attempts counts.
ATTEMPTS = 6
MIB = 1 << 20

CHECKS = {}
subject = None


def fail(message):
	sys.exit(f'recipes.py: {message}')


def ensure(holds, *what):
	if not holds:
		fail(' '.join(map(str, what)))


# ---- the document

def items(text):
	"""(title, the item's text) of the section."""
	section = re.search(r'^## Recipes$(.*?)(?=^## |\Z)', text, re.M | re.S)
	ensure(section, 'the document has no section Recipes')
	for item in re.split(r'^\* ', section.group(1), flags=re.M)[1:]:
		title = re.match(r'\*\*(.*?):\*\*', item)
		ensure(title, 'an item without a title:', item.splitlines()[0])
		yield title.group(1), item


def recipes(path):
	"""[(title, what to set or call)]"""
	found = []
	for title, item in items(pathlib.Path(path).read_text()):
		codes = dict.fromkeys(re.findall(r'`([^`]+)`', item))
		codes = [code for code in codes if OPTION.fullmatch(code) or CALL.fullmatch(code)]
		ensure(codes, f'"{title}" says neither what to set nor what to call')
		found += [(title, code) for code in codes]
	ensure(len(found) > 10, 'only', len(found), 'recipes')
	return found


def name(title, code):
	return f'{title} ({code})'


# ---- running the subject

def start(conf, *words):
	env = {key: value for key, value in os.environ.items() if key not in ('LD_PRELOAD', 'MALLOC_CONF', 'ASHLAR_CONF', 'MALLOC_PERTURB_')}
	if conf:
		env['MALLOC_CONF'] = conf
	return subprocess.Popen([subject, *map(str, words)], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
	"""(status, what it printed, standard error)"""
	try:
		out, err = process.communicate(timeout=110)
	except subprocess.TimeoutExpired:
		process.kill()
		fail('the subject does not end')
	return process.returncode, dict(line.split('=') for line in out.splitlines()), err


def try_it(conf, *words):
	"""What the subject printed; it must end well and say nothing else."""
	status, said, err = finish(start(conf, *words))
	ensure((status, err) == (0, ''), f'MALLOC_CONF={conf} subject {words}: status {status}\n{err}')
	print(f'{conf or "no option"}: {" ".join(map(str, words))}: {said}')
	return {key: int(value, 16) if key in ('freed', 'fresh') else int(value) for key, value in said.items()}


def check(title, code):
	def keep(function):
		CHECKS[title, code] = function
		return function
	return keep


# ---- memory goes back

@check('Memory should go back sooner', 'dirty_decay_ms:100')
def sooner(conf):
	ensure(try_it('', 'fades', 20000)['ms'] >= 900, 'it goes back before its time without the option')
	for _ in range(ATTEMPTS):
		ms = try_it(conf, 'fades', 20000)['ms']
		ensure(ms >= 80, 'it goes back before its time')
		if ms < 800:
			return
	fail('it never went back before 800 ms')


@check('Memory should stay longer', 'dirty_decay_ms:10000')
def later(conf):
	ensure(try_it(conf, 'fades', 4000)['ms'] >= 4000, 'it goes back before its time')
	for _ in range(ATTEMPTS):
		if try_it('', 'fades', 4000)['ms'] < 4000:
			return
	fail('it stays as long without the option')


@check('Memory should go back at once', 'dirty_decay_ms:0')
def at_once(conf):
	said, before = try_it(conf, 'at_once'), try_it('', 'at_once')
	ensure(said['dirty'] == 0 and said['calls'] >= 100, 'free memory is kept')
	ensure(before['dirty'] > MIB, 'nothing is kept without the option either')


@check('Memory should never go back', 'dirty_decay_ms:-1')
def never(conf):
	said, before = try_it(conf, 'keeps', 2500), try_it('', 'keeps', 2500)
	ensure(said['purged'] == 0 and said['dirty'] >= 60 * MIB, 'memory went back')
	ensure(before['purged'] >= 60 * MIB, 'nothing goes back without the option either')
	ensure(said['trimmed'] == 1 and said['left'] < MIB, 'malloc_trim(0) does not give it back')


@check('Everything should go back now', 'malloc_trim(0)')
def now(call):
	said = try_it('', 'trims')
	ensure(said['before'] > 4 * MIB and said['trimmed'] == 1 and said['after'] < MIB // 4, 'something is kept')


@check('Memory that is free should be offered to the system before it is given back', 'muzzy_decay_ms:10000')
def offered(conf):
	ensure(try_it(conf, 'offers', 30000)['offered'] == 1, 'it is not')
	ensure(try_it('', 'offers', 30000)['offered'] == 0, 'it is without the option, too')


@check('Address space that held memory should not stay accessible', 'retain:false')
def not_retained(conf):
	said, before = try_it(conf, 'shrinks'), try_it('', 'shrinks')
	ensure(said['full'] >= 64 * MIB and said['empty'] < 8 * MIB, 'it stays')
	ensure(before['empty'] >= before['full'] >= 64 * MIB, 'it does not stay without the option either')


@check('Huge pages', 'thp:always')
def huge(conf):
	ensure(try_it(conf, 'advises', 64) == {'huge': 1, 'none': 0}, 'the system is not asked for them')
	ensure(try_it('', 'advises', 64)['huge'] == 0, 'it is asked without the option, too')


@check('Huge pages', 'thp:default')
def as_the_system_has_it(conf):
	for mib in 2, 64:
		ensure(try_it(conf, 'advises', mib) == {'huge': 0, 'none': 0}, 'the system is advised')
	ensure(try_it('', 'advises', 2)['none'] == 1, 'a small heap has huge pages without the option')


@check('Huge pages', 'thp:never')
def no_huge_pages(conf):
	ensure(try_it(conf, 'advises', 64) == {'huge': 0, 'none': 1}, 'the system may use them')
	ensure(try_it('', 'advises', 64)['none'] == 0, 'it may not without the option either')


def gdb(command, pid):
	ensure(shutil.which('gdb'), 'gdb is missing: apt-get install gdb')
	words = [str(pid) if word == 'PID' else word for word in shlex.split(command)]
	done = subprocess.run([*words, '-nx'], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
	ensure(done.returncode == 0, command, done.stdout, done.stderr)
	return done.stdout


def with_waiting(command):
	"""What the debugger said at its first and second look at the process, and the process's standard error."""
	process = start('', 'waits')
	try:
		ensure(process.stdout.readline().startswith('dirty='), 'the subject says nothing')
		told = [gdb(command, process.pid) for _ in range(2)]
	finally:
		process.kill()
		err = process.communicate(timeout=30)[1]
	return *told, err


@check('Everything of a running process should go back now', "gdb -p PID -batch -ex 'call (int)malloc_trim(0)'")
def now_from_outside(command):
	told, again, _ = with_waiting(command)
	ensure('$1 = 1' in told, 'nothing went back:', told)
	ensure('$1 = 0' in again, 'a second time something is left:', again)


@check('A silent program of one thread should give memory back', 'background_thread:true')
def alone_and_silent(conf):
	ensure(try_it('', 'silent', 4000)['idle'] >= 16 * MIB, 'a silent thread gives back without the option, too')
	for _ in range(ATTEMPTS):
		if try_it(conf, 'silent', 4000)['idle'] <= MIB:
			break
	else:
		fail('memory is kept')
	ensure(try_it('', 'helper_alone', 1500)['helper'] == 0, 'a process of one thread has a helper without the option, too')
	ensure(try_it(conf, 'helper_alone', 30000)['helper'] == 1, 'there is no thread named ashlar-helper')


@check('ashlar should make no thread', 'helper_thread:false')
def no_thread(conf):
	ensure(try_it(conf, 'helper', 3000)['helper'] == 0, 'there is a thread named ashlar-helper')
	ensure(try_it('', 'helper', 30000)['helper'] == 1, 'there is none without the option either')


@check('The program enters a user namespace after its threads have ended', 'helper_thread:false')
def enters_at_once(conf):
	said = try_it(conf, 'enters', 0)
	ensure((said['helper'], said['threads'], said['refused']) == (0, 1, 0), 'it may not')
	said = try_it('', 'enters', 30000)
	ensure((said['helper'], said['threads'], said['refused']) == (1, 1, 0), 'without the option it never may')


# ---- structure

@check('The smallest footprint with many threads that rarely allocate', 'narenas:1')
def one_arena(conf):
	ensure(try_it(conf, 'arenas', 2000)['arenas'] == 1, 'there are more')
	if len(os.sched_getaffinity(0)) > 1:
		ensure(try_it('narenas:4', 'arenas', 60000)['arenas'] > 1, 'threads that do not collide show nothing')
	else:
		# Threads on one CPU have one arena, whatever the option.
		ensure(try_it('narenas:4', 'arenas', 2000)['arenas'] == 1, 'one CPU has two arenas')


@check('Threads should cache nothing', 'tcache:false')
def no_caches(conf):
	ensure(try_it(conf, 'caches') == {'cached': 0, 'threads': 0}, 'something is cached')
	said = try_it('', 'caches')
	ensure(said['cached'] > 0 and said['threads'] == 1, 'nothing is cached without the option either')


# ---- errors and contents

ERRORS = {1: r'free: double free of 0x\w+ \(.*\)', 2: r'\w+: write after free in 0x\w+ \(.*\)',
	3: r'free: overflow past the end of 0x\w+ \(.*\)', 4: r'free: interior pointer 0x\w+ \(.*\)'}


@check('Hunt a heap error', 'check:full')
def names_errors(conf):
	for kind, message in ERRORS.items():
		status, said, err = finish(start(conf, 'errs', kind))
		print(f'{conf}: {err}', end='')
		ensure(status == -signal.SIGABRT and said == {} and re.fullmatch(f'ashlar: {message}\n', err), f'error {kind}: status {status}, {err}')
		ensure(try_it('', 'errs', kind) == {'lives': 1}, 'the call meets the error without the option, too')


def contents(conf):
	return [try_it(conf, 'contents', size) for size in (100, 5000, 50000)]


@check('Find uses of fresh or freed memory', 'junk:true')
def junk(conf):
	ensure(contents(conf) == 3 * [{'freed': 0x5a, 'fresh': 0xa5}], 'memory is not filled')
	ensure(contents('') == 3 * [{'freed': 0x77, 'fresh': 0x77}], 'memory is filled without the option, too')


@check('Fresh memory should be zeros', 'zero:true')
def zero(conf):
	ensure([said['fresh'] for said in contents(conf)] == 3 * [0], 'fresh memory is not zero')
	ensure([said['fresh'] for said in contents('')] == 3 * [0x77], 'it is zero without the option, too')


@check('Running out of memory should end the program', 'xmalloc:true')
def no_null(conf):
	status, said, err = finish(start(conf, 'asks_too_much'))
	ensure(status == -signal.SIGABRT and re.fullmatch(r'ashlar: malloc: out of memory for \d+ bytes \(xmalloc:true\)\n', err), f'status {status}, {err}')
	ensure(try_it('', 'asks_too_much') == {'null': 1}, 'malloc returned something')


# ---- asking

def has_table(text):
	return re.search(r'^ *\d+ bytes held from the system\n *\d+ bytes in use$', text, re.M) and re.search(r'^ +all +\d+ +(\d+|unknown)$', text, re.M)


@check('See where memory is', 'stats_print:true')
def table_at_the_end(conf):
	status, _, err = finish(start(conf, 'caches'))
	ensure(status == 0 and has_table(err), 'no table:', err)


@check('See where memory is', "gdb -p PID -batch -ex 'call (void)malloc_stats()'")
def table_of_a_process(command):
	ensure(has_table(with_waiting(command)[2]), 'the process printed no table')


@check('See what was read', 'confirm_conf:true')
def what_was_read(conf):
	_, _, err = finish(start(conf + ',narenas:2', 'caches'))
	ensure(err == f'ashlar: MALLOC_CONF: "{conf},narenas:2"\nashlar: MALLOC_CONF: set {conf}\nashlar: MALLOC_CONF: set narenas:2\n', err)


# ---- the whole

def main():
	global subject
	parser = argparse.ArgumentParser()
	parser.add_argument('--list', action='store_true')
	parser.add_argument('--only')
	parser.add_argument('tuning')
	parser.add_argument('subject', nargs='?')
	args = parser.parse_args()
	known = {name(*recipe): recipe for recipe in recipes(args.tuning)}
	if args.list:
		print('\n'.join(known))
		return
	subject = args.subject
	if args.only:
		ensure(args.only in known, 'the document has no recipe', args.only)
		ensure(known[args.only] in CHECKS, 'there is no check for the recipe', args.only)
		CHECKS[known[args.only]](known[args.only][1])
		return
	gone = set(CHECKS) - set(known.values())
	ensure(not gone, 'the document no longer has', *(name(*recipe) for recipe in sorted(gone)))
	print(len(CHECKS), 'checks have their recipes')


if __name__ == '__main__':
	main()
