# SPDX-License-Identifier: MIT
from world import program


@program('java', needs={'/usr/bin/java': 'openjdk-17-jdk-headless', '/usr/bin/javac': 'openjdk-17-jdk-headless'})
def java(w):
	"""javac, then a run with many threads, direct buffers and zlib: the parts of a JVM that call malloc."""
	w.run('/usr/bin/javac', '-d', w.path('classes'), w.case('Work.java'))
	w.run('/usr/bin/java', '-Xmx256m', '-cp', w.path('classes'), 'Work')
