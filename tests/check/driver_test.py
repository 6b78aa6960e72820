#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs driver.py on a small project of good and bad tests. If this fails, ./check may call a failing test passed."""
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import driver  # noqa: E402

PROJECT = """
project('ashlar')
option = get_option('broken')
if option
  error('this configuration does not build')
endif
sh = find_program('sh')
test('passes', sh, args: ['-c', 'true'], suite: 'good')
test('is meant to fail', sh, args: ['-c', 'false'], suite: 'good', should_fail: true)
test('leaves a process behind', sh, args: ['-c', 'sleep 1000 >/dev/null 2>&1 &'], suite: 'good')
test('fails', sh, args: ['-c', 'echo the reason; false'], suite: 'bad')
test('exits with 77', sh, args: ['-c', 'exit 77'], suite: 'bad')
test('says that cmocka skipped', sh, args: ['-c', 'echo "[  SKIPPED ] one"'], suite: 'bad')
test('says that it skips', sh, args: ['-c', 'echo SKIP: no such program'], suite: 'bad')
test('skips in TAP', sh, args: ['-c', 'echo "ok 1 - one # SKIP why"; echo 1..1'], suite: 'bad')
test('hangs', sh, args: ['-c', 'sleep 1000'], suite: 'bad', timeout: 1)
test('passes where it should fail', sh, args: ['-c', 'true'], suite: 'bad', should_fail: true)
test('dies', sh, args: ['-c', 'kill -SEGV $$'], suite: 'bad')
test('takes long', sh, args: ['-c', 'true'], suite: 'good-long')
test('needs an option', sh, args: ['-c', 'test "$ASHLAR_CONF" = check:full'], suite: 'wants-full')
"""
OPTIONS = "option('broken', type: 'boolean', value: false)\noption('tests', type: 'boolean')\n"


class Driver(unittest.TestCase):
	@classmethod
	def setUpClass(cls):
		cls.folder = tempfile.TemporaryDirectory()
		driver.ROOT = cls.folder.name
		os.chdir(driver.ROOT)
		for name, text in ('meson.build', PROJECT), ('meson_options.txt', OPTIONS):
			with open(name, 'w') as f:
				f.write(text)
		driver.SUITES, driver.LONG_SUITES = ['good', 'bad', 'absent'], ['good-long']
		driver.become_reaper()

	@classmethod
	def tearDownClass(cls):
		os.chdir('/')
		cls.folder.cleanup()

	def run_table(self, *rows, only=(), long=False):
		"""{(suite, test): verdict} of a run with this table."""
		driver.TABLE = list(rows)
		with contextlib.redirect_stdout(io.StringIO()) as self.shown:
			self.results, _ = driver.run_all(driver.rows(long, list(only)), list(only))
		return {(result.suite, result.name): result.verdict for result in self.results}

	def test_only_what_passed_is_ok(self):
		verdicts = self.run_table(driver.config('here', '', '*', ''))
		passed = {name for (_, name), verdict in verdicts.items() if verdict == 'OK'}
		self.assertEqual(passed, {'passes', 'is meant to fail', 'leaves a process behind'})
		self.assertEqual(len(verdicts), 13)
		self.assertEqual(verdicts[('absent', 'has no tests')], 'ERROR')
		self.assertNotIn(('good-long', 'takes long'), verdicts)
		self.assertEqual(verdicts[('bad', 'hangs')], 'TIMEOUT')
		for name in 'exits with 77', 'says that cmocka skipped', 'says that it skips', 'skips in TAP':
			self.assertEqual(verdicts[('bad', name)], 'SKIP')

	def test_every_test_is_shown_and_a_failure_brings_its_output(self):
		self.run_table(driver.config('here', '', '*', ''))
		for result in self.results:
			self.assertIn(result.name, self.shown.getvalue())
		failed = next(result for result in self.results if result.name == 'fails')
		self.assertIn('the reason', failed.output)
		again = subprocess.run(['bash', '-c', failed.rerun], stdout=subprocess.PIPE, text=True)
		self.assertNotEqual(again.returncode, 0)
		self.assertIn('the reason', again.stdout)

	def test_a_configuration_that_does_not_build_is_one_failure_and_the_next_one_runs(self):
		verdicts = self.run_table(driver.config('broken', '-Dbroken=true', 'good', ''), driver.config('here', '', 'good', ''))
		self.assertEqual(verdicts.pop(('', 'meson setup')), 'FAIL')
		self.assertEqual(set(verdicts.values()), {'OK'})
		self.assertEqual(len(verdicts), 3)

	def test_long_runs_the_long_suites_and_a_row_can_set_options(self):
		verdicts = self.run_table(driver.config('here', '', '', '*-long'),
			driver.config('full', '', '', 'wants-full', build='here', ASHLAR_CONF='check:full'), long=True)
		self.assertEqual(verdicts, {('good-long', 'takes long'): 'OK', ('wants-full', 'needs an option'): 'OK'})

	def test_a_wrapper_runs_every_test(self):
		verdicts = self.run_table(driver.config('wrapped', '', 'good', '', wrap='env SEEN=yes'))
		self.assertEqual(set(verdicts.values()), {'OK'})
		self.assertEqual(len(verdicts), 3)
		self.assertTrue(all('SEEN=yes' in result.rerun for result in self.results))

	def test_only_picks_configurations_and_suites(self):
		table = driver.config('one', '', 'good bad', '', build='here'), driver.config('two', '', 'good', '', build='here')
		self.run_table(*table, only=['good'])
		self.assertEqual({result.config.name for result in self.results}, {'one', 'two'})
		self.assertEqual({result.suite for result in self.results}, {'good'})
		self.run_table(*table, only=['one/good'])
		self.assertEqual({result.config.name for result in self.results}, {'one'})
		self.assertEqual({result.suite for result in self.results}, {'good'})
		self.assertEqual(self.run_table(*table, only=['nothing']), {})

	def test_a_test_that_meson_forgot_has_failed(self):
		row = driver.config('here', '', 'good', '')
		driver.TABLE = [row]
		with contextlib.redirect_stdout(io.StringIO()):
			driver.set_up(row)
			known = driver.registered(row)
			known['good'].add('forgotten')
			results = driver.run_suites(row, ['good'], known)
		self.assertEqual([r.name for r in results if r.verdict == 'DID NOT RUN'], ['forgotten'])

	def test_no_process_of_a_test_outlives_its_configuration(self):
		self.run_table(driver.config('here', '', 'good', ''))
		self.assertEqual(driver.descendants(), [])


if __name__ == '__main__':
	unittest.main()
