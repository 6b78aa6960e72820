# SPDX-License-Identifier: MIT
import re

from world import Failure, program

NEEDS = {'/usr/bin/python3': 'python3', '/usr/lib/python3.11/test/test_list.py': 'libpython3.11-testsuite'}
MODULES = ['test.test_list', 'test.test_dict', 'test.test_ctypes', 'test.test_threading', 'test.test_subprocess']


def tests(w, env):
	"""python's own tests: one line a test with its outcome; every one must pass as under glibc."""
	out = w.run('/usr/bin/python3', w.case('python_tests.py'), *MODULES, env=env)
	ran = int(re.search(rb'^(\d+) tests', out, re.M).group(1))
	if ran < 1000:
		raise Failure(f'only {ran} of python\'s tests ran')


@program('python', needs=NEEDS)
def python(w):
	"""With python's own small-object arenas (its default)."""
	tests(w, None)
	w.run('/usr/bin/python3', w.case('python_work.py'))


@program('python-malloc', needs=NEEDS)
def python_malloc(w):
	"""Every object of python is a malloc of its own."""
	tests(w, {'PYTHONMALLOC': 'malloc'})
	w.run('/usr/bin/python3', w.case('python_work.py'), env={'PYTHONMALLOC': 'malloc'})
