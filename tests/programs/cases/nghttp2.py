# SPDX-License-Identifier: MIT
import hashlib
import os
import re
import socket

import generate
from world import answers, program

PAGES = (200, 5000, 40000, 300000)


def site(folder):
	for i, size in enumerate(PAGES):
		with open(os.path.join(folder, f'page{i}.txt'), 'wb') as f:
			f.write(generate.text(size, i))


def load(w, port, page, requests, clients, streams):
	out = w.run('h2load', '-n', str(requests), '-c', str(clients), '-m', str(streams), f'http://127.0.0.1:{port}/{page}', compare=False).decode()
	w.record('h2load ' + page, re.findall(r'^(?:requests|status codes): .*$', out, re.M) + re.findall(r'\(\d+\) data', out))


@program('nghttp2', needs={'/usr/sbin/nghttpd': 'nghttp2-server', '/usr/bin/nghttp': 'nghttp2-client', '/usr/bin/h2load': 'nghttp2-client'},
	prepare=site, linked=True)
def nghttp2(w):
	"""Two server threads, many streams in many connections, pushed and uploaded files; server and clients link jemalloc."""
	port = w.free_port()
	with w.server('nghttpd', '-n', '2', '-d', w.inputs, '--no-tls', '-a', '127.0.0.1', '--push=/page1.txt=/page0.txt', str(port),
			ready=answers(socket.AF_INET, ('127.0.0.1', port)), status=(128 + 15, 143)):
		for i in range(len(PAGES)):
			body = w.run('nghttp', f'http://127.0.0.1:{port}/page{i}.txt', compare=False, main=False)
			w.record(f'page{i}', hashlib.sha256(body).hexdigest())
		load(w, port, 'page1.txt', 20000, 20, 10)
		load(w, port, 'page3.txt', 800, 8, 4)
		w.run('nghttp', '-d', w.input('page2.txt'), '-n', f'http://127.0.0.1:{port}/page0.txt', main=False)
