#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Builds the configurations and runs the tests of ./check. If this is wrong, a failing test goes unseen.

A test counts once for each configuration that runs it. Whatever could not run has failed: a skip, a suite without tests, a test
that the run left out, a configuration that does not build (which counts as one).
"""
import argparse
import collections
import concurrent.futures
import ctypes
import glob
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time

Config = collections.namedtuple('Config', 'name compiler options check long build wrap slow env')


def config(name, options, check, long, compiler='gcc', build=None, wrap='', slow=1, **env):
	return Config(name, compiler, options.split(), check.split(), long.split(), build or name, wrap, slow, env)


ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Suites that must exist. '*' below is these and whatever else is registered but the long ones; '*-long' is the long ones.
SUITES = 'unit api stress tsan bugs robust programs vm ways golden pages memory recipes faults fuzz jemalloc bench'.split()
LONG_SUITES = ['stress-long', 'memory-long', 'faults-long', 'fuzz-long', 'bench-long']
RELEASE = '--buildtype=release'
DEBUG = '--buildtype=debug -Dassertions=true'
SANITIZE = '--buildtype=debugoptimized -Db_lundef=false -Dc_args=-fno-sanitize-recover=all -Db_sanitize='
ALL = '* *-long'
FULL = 'check:full'
TABLE = [
	#      name                 meson options                      suites: ./check    ./check long
	config('gcc-release',       RELEASE + ' -Dbench=true',         '*',               ALL),
	config('gcc-debug',         DEBUG,                             'unit api stress', ALL),
	config('clang-release',     RELEASE,                           'unit api golden bugs', ALL, compiler='clang'),
	config('clang-debug',       DEBUG,                             '',                ALL, compiler='clang'),
	config('asan-ubsan',        SANITIZE + 'address,undefined',    'unit',            'unit', slow=3),
	config('valgrind',          DEBUG,                             'unit',            'unit', slow=20, build='gcc-debug',
		wrap=f'valgrind -q --error-exitcode=9 --suppressions={ROOT}/tests/check/valgrind.supp'),
	config('aarch64',           RELEASE + ' --cross-file cross/aarch64-linux-gnu.ini', 'unit api stress', 'unit api stress', slow=4),
	config('musl',              RELEASE + ' --cross-file cross/musl.ini', 'unit api stress', 'unit api stress'),
	config('gcc-release-full',  RELEASE + ' -Dbench=true',         '',                'programs', build='gcc-release', ASHLAR_CONF=FULL),
	config('gcc-debug-full',    DEBUG,                             '',                'programs', build='gcc-debug', ASHLAR_CONF=FULL),
	config('clang-release-full', RELEASE,                          '',                'programs', build='clang-release', ASHLAR_CONF=FULL),
	config('clang-debug-full',  DEBUG,                             '',                'programs', build='clang-debug', ASHLAR_CONF=FULL),
	# Not built: clang-format over all C, clang-tidy over the rooms (every finding fails), and the test of this driver.
	config('lint',              '',                                'format tidy driver', 'format analyzer driver', build='clang-release'),
]
LINT = TABLE[-1]
# These need only what ./check has installed before it starts this driver; every other suite waits for the rest.
INSTALLED_FIRST = 'unit api stress bugs golden format tidy analyzer driver'.split()
ROOMS = ['base', 'numa', 'arena', 'tcache', 'alloc']
FORMATTED = ROOMS + ['include', 'jemalloc', 'tests/*', 'bench', 'bench/*', 'bench/workloads/*', 'examples']

BUILDS = os.path.join('build', 'check')
JOBS = max(2, len(os.sched_getaffinity(0)))
TAIL_LINES = 60
# What a test prints that skipped something: cmocka, TAP, or in plain words.
SKIPPED = re.compile(r'^(\[ *SKIPPED *\]|(not )?ok \d+ .*# *SKIP|SKIP\b)', re.M)
LINE = re.compile(r'^\s*\d+/\d+\s+(?P<test>.*?)\s+(?P<verdict>OK|EXPECTEDFAIL|FAIL|SKIP|TIMEOUT|ERROR|INTERRUPT|UNEXPECTEDPASS)'
	r'\s+(?P<seconds>[\d.]+)s\b')

Result = collections.namedtuple('Result', 'config suite name verdict seconds output rerun')
began = time.monotonic()
installation = None


class Stopped(Exception):
	"""The user pressed Ctrl-C."""


class Broken(Exception):
	"""A configuration could not be set up or built: (what, output)."""


def say(text=''):
	elapsed = int(time.monotonic() - began)
	print(f'{elapsed // 60:3}:{elapsed % 60:02} {text}' if text else '', flush=True)


# ---- Processes: everything started below this one ends with it.

def become_reaper():
	"""Orphans of tests become our children, so that they can be found and ended."""
	PR_SET_CHILD_SUBREAPER = 36
	ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants():
	"""The process ids below this process, but for the dead and the installation."""
	children = {}
	for pid in filter(str.isdigit, os.listdir('/proc')):
		try:
			with open(f'/proc/{pid}/stat', 'rb') as f:
				state, parent = f.read().rsplit(b')', 1)[1].split()[:2]
		except OSError:
			continue
		children.setdefault(int(parent), []).append((int(pid), state))
	found, parents = [], [os.getpid()]
	while parents:
		for pid, state in children.get(parents.pop(), []):
			if installation and pid == installation.pid:
				continue
			parents.append(pid)
			if state != b'Z':
				found.append(pid)
	return found


def end_descendants():
	for sign, patience in (signal.SIGTERM, 3), (signal.SIGKILL, 10):
		until = time.monotonic() + patience
		while (left := descendants()) and time.monotonic() < until:
			for pid in left:
				try:
					os.kill(pid, sign)
				except ProcessLookupError:
					pass
			time.sleep(0.05)


def command(argv, log=None, **env):
	"""Runs argv in a session of its own; (status, output)."""
	done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
		errors='replace', env={**os.environ, **env}, start_new_session=True)
	if log:
		with open(log, 'w') as f:
			f.write(done.stdout)
	return done.returncode, done.stdout


# ---- Installing what only some suites need, while the others run

def start_installation(packages):
	global installation
	if packages:
		print(f'installing {len(packages)} more packages meanwhile: {" ".join(packages)}'[:200], flush=True)
		installation = subprocess.Popen(['bash', '-euo', 'pipefail', '-c', '. tests/check/install.sh; install_packages "$@"', 'check',
			os.path.join(BUILDS, 'install-rest.log'), *packages], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
			stderr=subprocess.STDOUT, text=True, start_new_session=True)


def finish_installation():
	"""Waits for it: [] when it went well, else its failure as a result."""
	global installation
	if not installation:
		return []
	output, _ = installation.communicate()
	status, installation = installation.returncode, None
	say(output.rstrip().rpartition('\n')[2])
	return [failure(LINT, '', 'installation', 'FAIL', output, './check')] if status else []


def needs_installation(words):
	return not set(words) <= set(INSTALLED_FIRST)


# ---- Building

def build_dir(conf):
	return os.path.join(BUILDS, conf.build)


def meson_options(conf):
	return ['-Dtests=true'] + conf.options


def cross_file(conf):
	"""The text of the cross file, which meson reads only once."""
	if '--cross-file' not in conf.options:
		return []
	with open(conf.options[conf.options.index('--cross-file') + 1]) as f:
		return [f.read()]


def set_up(conf):
	"""meson setup, again from nothing when the options are not those that the directory was made with."""
	directory, made_with = build_dir(conf), os.path.join(build_dir(conf), 'check-options.json')
	options = [conf.compiler] + meson_options(conf) + cross_file(conf)
	try:
		with open(made_with) as f:
			fresh = json.load(f) == options
	except (OSError, ValueError):
		fresh = False
	if not fresh:
		wipe = ['--wipe'] if os.path.exists(directory) else []
		os.makedirs(BUILDS, exist_ok=True)
		status, output = command(['meson', 'setup', *wipe, directory, *meson_options(conf)], CC=conf.compiler)
		if status:
			raise Broken('meson setup', output)
		with open(made_with, 'w') as f:
			json.dump(options, f)
	# Brings the list of tests up to date where a meson.build has changed.
	status, output = command(['ninja', '-C', directory, 'build.ninja'])
	if status:
		raise Broken('meson setup', output)


def introspect(conf, what):
	with open(os.path.join(build_dir(conf), 'meson-info', f'intro-{what}.json')) as f:
		return json.load(f)


def registered(conf):
	"""{suite: {names of its tests}} of a configured build."""
	suites = {}
	for test in introspect(conf, 'tests'):
		for suite in test['suite']:
			suites.setdefault(suite.rpartition(':')[2], set()).add(test['name'])
	return suites


def wanted_files(conf, suites):
	"""What ninja has to build for these suites: the library, all that their folders in tests/ and those of their names beside it
	define (bench/), all that their tests name."""
	folders = {os.path.join(ROOT, 'meson.build')}
	folders |= {os.path.join(ROOT, 'tests', suite.removesuffix('-long'), 'meson.build') for suite in suites}
	needed = {target for test in introspect(conf, 'tests') for target in test['depends']
		if {suite.rpartition(':')[2] for suite in test['suite']} & set(suites)}
	rooms = tuple(os.path.join(ROOT, suite.removesuffix('-long'), '') for suite in suites)
	files = []
	for target in introspect(conf, 'targets'):
		place = target['defined_in']
		if target['id'] in needed or (target['build_by_default'] and (place in folders or place.startswith(rooms))):
			files += [os.path.relpath(name, os.path.join(ROOT, build_dir(conf))) for name in target['filename']]
	return sorted(set(files))


def build(conf, suites, everything):
	since = time.monotonic()
	files = ['all'] if everything else wanted_files(conf, suites)
	status, output = command(['ninja', '-C', build_dir(conf), f'-j{JOBS}', *files], log=build_dir(conf) + '/check-build.log')
	if status:
		raise Broken('build', output)
	say(f'{conf.name}: built in {time.monotonic() - since:.0f} s')


# ---- Testing

def choose_suites(words, known):
	"""The suites that a row of the table means, given those that the build has."""
	chosen = []
	for word in words:
		if word == '*':
			chosen += SUITES + sorted(s for s in known if not s.endswith('-long'))
		elif word == '*-long':
			chosen += LONG_SUITES + sorted(s for s in known if s.endswith('-long'))
		else:
			chosen.append(word)
	return list(dict.fromkeys(chosen))


def asked_for(only, conf, suite):
	return not only or {conf.name, suite, f'{conf.name}/{suite}'} & set(only)


def test_command(conf, *more):
	argv = ['meson', 'test', '-C', build_dir(conf), '--no-rebuild']
	if conf.slow != 1:
		argv += ['-t', str(conf.slow)]
	if conf.wrap:
		argv += ['--wrap', conf.wrap]
	return argv + list(more)


def rerun(conf, name):
	settings = [f'{key}={value}' for key, value in conf.env.items()]
	return shlex.join(settings + test_command(conf, '-v', name)).replace('--no-rebuild ', '')


def split_name(text):
	"""'ashlar:unit / name' as meson prints it -> ('unit', 'name')."""
	suites, slash, name = text.partition(' / ')
	return (suites.rpartition(':')[2], name) if slash else ('', text)


def follow(argv, conf):
	"""Runs meson test and shows a line for each test that ends."""
	# MALLOC_PERTURB_=0: meson would have glibc's malloc fill memory, and programs are compared with glibc.
	env = {**os.environ, 'MALLOC_PERTURB_': '0', **conf.env}
	process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
		errors='replace', env=env, start_new_session=True)
	other = []
	for line in process.stdout:
		match = LINE.match(line)
		if match:
			verdict = match['verdict'] if match['verdict'] in ('OK', 'EXPECTEDFAIL') else f'** {match["verdict"]} **'
			suite, name = split_name(match['test'])
			say(f'{conf.name:<14} {suite:<9} {name.removeprefix(suite + "_ ")}  {verdict} {match["seconds"]} s')
		else:
			other.append(line)
	process.stdout.close()
	process.wait()
	return ''.join(other)


def log_base(conf):
	return f'check-of-{conf.name}'


def logs(conf):
	"""meson adds the name of a wrapper to that of the log."""
	return glob.glob(os.path.join(build_dir(conf), 'meson-logs', log_base(conf) + '[.-]*'))


def read_log(conf):
	records = []
	for log in logs(conf):
		if log.endswith('.json'):
			with open(log) as f:
				records += [json.loads(line) for line in f]
	return records


def judge(conf, record):
	suite, name = split_name(record['name'])
	output = (record.get('stdout') or '') + (record.get('stderr') or '')
	verdict = record['result']
	if verdict == 'EXPECTEDFAIL':
		verdict = 'OK'
	if verdict == 'OK' and SKIPPED.search(output):
		verdict = 'SKIP'
	return Result(conf, suite, name, verdict, record['duration'], output, rerun(conf, name))


def failure(conf, suite, name, verdict, output, again=None):
	say(f'{conf.name:<14} {suite:<9} {name}  ** {verdict} **')
	return Result(conf, suite, name, verdict, 0.0, output, again or f'./check --only {conf.name}' + (f'/{suite}' if suite else ''))


def run_suites(conf, suites, known):
	"""The results of all tests of these suites; what is missing is a result too."""
	results = [failure(conf, suite, 'has no tests', 'ERROR', 'The table in tests/check/driver.py wants this suite here.\n')
		for suite in suites if suite not in known]
	suites = [suite for suite in suites if suite in known]
	if not suites:
		return results
	for log in logs(conf):
		os.remove(log)
	chosen = [word for suite in suites for word in ('--suite', suite)]
	output = follow(test_command(conf, *chosen, '--num-processes', str(JOBS), '--logbase', log_base(conf)), conf)
	ran = [judge(conf, record) for record in read_log(conf)]
	for name in sorted(set().union(*(known[suite] for suite in suites)) - {result.name for result in ran}):
		results.append(failure(conf, '', name, 'DID NOT RUN', output, rerun(conf, name)))
		output = 'as above'
	return results + ran


def run_config(conf, words, only):
	try:
		set_up(conf)
		known = registered(conf)
		suites = [s for s in choose_suites(words, known) if asked_for(only, conf, s)]
		if not suites:
			return []
		build(conf, suites, '*' in words and not only)
		return run_suites(conf, suites, known)
	except Broken as broken:
		what, output = broken.args
		return [failure(conf, '', what, 'FAIL', output)]


# ---- Lint: a test for each folder of C files

def c_files(folder, suffixes):
	return sorted(os.path.join(path, name) for path, _, names in os.walk(folder) for name in names
		if name.endswith(suffixes))


def format_tests():
	"""Each prints what clang-format -i would change."""
	script = ('status=0; for f; do clang-format --style=file "$f" | diff -u --label "$f" --label "$f, formatted" "$f" - ||'
		' status=1; done; exit $status')
	for folder in (folder for pattern in FORMATTED for folder in sorted(glob.glob(pattern))):
		if files := c_files(folder, ('.c', '.h', '.cpp')):
			yield folder, ['bash', '-o', 'pipefail', '-c', script, 'format', *files]


def tidy_tests(checks):
	"""clang's own build tells the flags; each room on its own."""
	set_up(next(row for row in TABLE if row.name == LINT.build))
	for room in ROOMS:
		if files := c_files(room, '.c'):
			yield room, ['clang-tidy', '--quiet', *checks, '-p', build_dir(LINT), *files]


# The analyser follows every path through a file: it takes a minute of CPU, so only `./check long` pays for it.
LINTS = {
	'format': format_tests,
	'tidy': lambda: tidy_tests(['--checks=-clang-analyzer-*']),
	'analyzer': lambda: tidy_tests([]),
	'driver': lambda: [('only_what_passed_is_ok', [sys.executable, 'tests/check/driver_test.py'])],
}


def lint(suite, name, argv):
	since = time.monotonic()
	status, output = command(argv)
	seconds = time.monotonic() - since
	say(f'{LINT.name:<14} {suite:<9} {name}  {"** FAIL **" if status else "OK"} {seconds:.2f} s')
	return Result(LINT, suite, name, 'FAIL' if status else 'OK', seconds, output, f'./check --only {LINT.name}/{suite}')


def lint_tests(suite):
	"""([(suite, name, argv)], results of what is already known to have failed)"""
	try:
		tests = [(suite, *test) for test in LINTS[suite]()]
	except Broken as broken:
		return [], [failure(LINT, suite, broken.args[0], 'FAIL', broken.args[1])]
	return tests, [] if tests else [failure(LINT, suite, 'has no tests', 'ERROR', '')]


def run_lint(words, only):
	tests, results = [], []
	for suite in words:
		if asked_for(only, LINT, suite):
			more, failed = lint_tests(suite)
			tests += more
			results += failed
	with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
		try:
			return results + list(pool.map(lambda test: lint(*test), tests))
		except Stopped:
			pool.shutdown(wait=False, cancel_futures=True)
			end_descendants()
			raise


# ---- The whole

def rows(long, only):
	"""The (configuration, suites) of this run. What --only names must exist somewhere."""
	chosen = [(conf, conf.long if long else conf.check) for conf in TABLE]
	chosen = [(conf, words) for conf, words in chosen if words]
	if not only:
		return chosen
	configs = {item.partition('/')[0] for item in only}
	names = {conf.name for conf, _ in chosen}
	return [(conf, words) for conf, words in chosen if conf.name in configs or configs - names and
		(set(words) & configs or {'*', '*-long'} & set(words))]


def report_failure(result):
	where = ' '.join(filter(None, (result.config.name, result.suite, result.name)))
	print(f'\n---- {result.verdict}: {where}')
	lines = result.output.rstrip('\n').split('\n')
	if len(lines) > TAIL_LINES:
		print(f'(the last {TAIL_LINES} of {len(lines)} lines)')
	print('\n'.join(lines[-TAIL_LINES:]))
	print(f'again: {result.rerun}')


def report_times(results, spent):
	print('\nconfiguration        wall s   CPU s  suites: passed/all (seconds of all tests)')
	for name, (wall, cpu) in spent.items():
		suites = {}
		for result in results:
			if result.config.name == name:
				suites.setdefault(result.suite or '-', []).append(result)
		parts = [f'{suite} {sum(r.verdict == "OK" for r in found)}/{len(found)} ({sum(r.seconds for r in found):.0f})'
			for suite, found in suites.items()]
		print(f'{name:<20} {wall:>6.0f}  {cpu:>6.0f}  {", ".join(parts)}')


def list_tests(chosen):
	for conf, words in chosen:
		print(f'{conf.name}: {" ".join(words)}\n    {" ".join([conf.compiler] + conf.options)} {conf.wrap}'.rstrip())
		if conf is LINT or not os.path.exists(os.path.join(build_dir(conf), 'meson-info', 'intro-tests.json')):
			continue
		known = registered(conf)
		for suite in choose_suites(words, known):
			for name in sorted(known.get(suite, ['(has no tests)'])):
				print(f'    {suite}: {name}')


def children_cpu():
	used = resource.getrusage(resource.RUSAGE_CHILDREN)
	return used.ru_utime + used.ru_stime


def run_all(chosen, only):
	results, spent = [], {}
	if installation:
		chosen.sort(key=lambda row: needs_installation(row[1]))
	for conf, words in chosen:
		if needs_installation(words):
			results += finish_installation()
		since = time.monotonic(), children_cpu()
		found = run_lint(words, only) if conf is LINT else run_config(conf, words, only)
		end_descendants()
		if found:
			spent[conf.name] = time.monotonic() - since[0], children_cpu() - since[1]
		results += found
	return results + finish_installation(), spent


def parse_arguments():
	parser = argparse.ArgumentParser(prog='./check', allow_abbrev=False)
	parser.add_argument('long', nargs='?', choices=['long'], help='all combinations and the long stresses too')
	parser.add_argument('--only', action='append', default=[], metavar='CONFIGURATION|SUITE|CONFIGURATION/SUITE')
	parser.add_argument('--list', action='store_true', help='print the table and the tests, run nothing')
	parser.add_argument('--install', default='', help=argparse.SUPPRESS)
	parser.add_argument('--installed-in', type=int, default=0, help=argparse.SUPPRESS)
	return parser.parse_args()


def interrupt(signum, frame):
	raise Stopped


def main():
	global began
	args = parse_arguments()
	began -= args.installed_in
	os.chdir(ROOT)
	chosen = rows(args.long, args.only)
	if args.list:
		return list_tests(chosen)
	become_reaper()
	start_installation(args.install.split())
	for sign in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
		signal.signal(sign, interrupt)
	try:
		results, spent = run_all(chosen, args.only)
	except Stopped:
		for sign in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
			signal.signal(sign, signal.SIG_IGN)
		end_descendants()
		if installation:
			say('stopped; waiting for the installation, which must not be cut off')
			installation.communicate()
		sys.exit('./check: stopped')
	failed = [result for result in results if result.verdict != 'OK']
	for result in failed:
		report_failure(result)
	report_times(results, spent)
	elapsed = int(time.monotonic() - began)
	print(f'installation {args.installed_in} s, everything {elapsed // 60} min {elapsed % 60} s')
	if not results:
		sys.exit(f'./check: nothing to run for --only {" ".join(args.only)}')
	print(f'{len(results) - len(failed)} passed, {len(failed)} failed')
	sys.exit(1 if failed else 0)


if __name__ == '__main__':
	main()
