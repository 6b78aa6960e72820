# SPDX-License-Identifier: MIT
"""Runs test modules of python's own suite; prints one line a test with its outcome, in a fixed order.

Tests whose only work is to sleep until a time limit are left out: they cost 20 s of waiting and no allocation.
"""
import os
import re
import sys
import unittest

SLEEPERS = re.compile(r'''
	\.test_timeout$ | \.test_default_timeout$ | \.test_acquire_timeout$ | test_join_nondaemon_on_shutdown |
	ProcessTestCaseNoPoll | test_check_output_timeout | test_communicate_timeout | test_communicate_repeated_call |
	_dead$ ''', re.X)


class Outcomes(unittest.TextTestResult):
	"""test id -> outcome; a subtest that fails overrides the success of its test."""

	def __init__(self, *args, **kwargs):
		super().__init__(*args, **kwargs)
		self.outcome = {}

	def startTest(self, test):
		super().startTest(test)
		self.outcome[test.id()] = 'did not report'

	def addSuccess(self, test):
		super().addSuccess(test)
		self.outcome[test.id()] = 'ok'

	def addSkip(self, test, reason):
		super().addSkip(test, reason)
		self.outcome[test.id()] = 'skipped by python: ' + reason

	def addFailure(self, test, err):
		super().addFailure(test, err)
		self.outcome[test.id()] = 'FAILED'

	def addError(self, test, err):
		super().addError(test, err)
		self.outcome[test.id()] = 'ERROR'

	def addExpectedFailure(self, test, err):
		super().addExpectedFailure(test, err)
		self.outcome[test.id()] = 'expected failure'

	def addSubTest(self, test, subtest, err):
		super().addSubTest(test, subtest, err)
		if err:
			self.outcome[subtest.id()] = 'FAILED'


def leaves(suite):
	for t in suite:
		if isinstance(t, unittest.TestSuite):
			yield from leaves(t)
		else:
			yield t


def main():
	# The tests print to stdout themselves, in no fixed order: the outcomes go to a copy of it.
	report = os.fdopen(os.dup(1), 'w')
	os.dup2(2, 1)
	loaded = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:])
	wanted = unittest.TestSuite(t for t in leaves(loaded) if not SLEEPERS.search(t.id()))
	result = unittest.TextTestRunner(stream=sys.stderr, verbosity=0, resultclass=Outcomes).run(wanted)
	for name in sorted(result.outcome):
		print(name, result.outcome[name], file=report)
	print(len(result.outcome), 'tests', file=report, flush=True)
	return 0 if result.wasSuccessful() else 1


if __name__ == '__main__':
	sys.exit(main())
