# SPDX-License-Identifier: MIT
import hashlib
import http.client
import http.server
import os
import re
import socket
import threading
from contextlib import contextmanager

import generate
from world import Failure, answers, program

VCL = '''vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "%d"; }
sub vcl_recv {
	if (req.method == "BAN") { ban("req.url ~ " + req.http.pattern); return (synth(200, "banned")); }
	if (req.url ~ "^/pass/") { return (pass); }
}
sub vcl_backend_response {
	set beresp.ttl = 1h;
	set beresp.do_esi = bereq.url ~ "esi";
	set beresp.do_gzip = bereq.url ~ "gzip";
}
sub vcl_deliver { unset resp.http.date; unset resp.http.age; unset resp.http.x-varnish; }
'''
PAGES = {f'/{kind}/{i}': generate.text(size, i) for kind in ('page', 'gzip', 'pass') for i, size in enumerate((100, 3000, 50000, 400000))}
PAGES['/esi/1'] = b'<p><esi:include src="/page/1"/></p>' * 20


class Origin(http.server.BaseHTTPRequestHandler):
	protocol_version = 'HTTP/1.1'

	def do_GET(self):
		body = PAGES.get(self.path.split('?')[0], b'')
		self.send_response_only(200 if body else 404)
		self.send_header('Content-Length', str(len(body)))
		self.send_header('Content-Type', 'text/plain')
		self.end_headers()
		self.wfile.write(body)


@contextmanager
def origin():
	"""The web server behind the cache, in the runner."""
	server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Origin)
	server.daemon_threads = True
	threading.Thread(target=server.serve_forever, daemon=True).start()
	try:
		yield server.server_address[1]
	finally:
		server.shutdown()
		server.server_close()


def fetch(port, path, method='GET', **headers):
	connection = http.client.HTTPConnection('127.0.0.1', port)
	connection.request(method, path, headers=headers)
	answer = connection.getresponse()
	body = answer.read()
	connection.close()
	return f'{method} {path} {headers} {answer.status} {answer.getheader("Content-Encoding")} {len(body)} {hashlib.sha256(body).hexdigest()}'


def ab(w, port, path, requests, *options):
	out = w.run('ab', '-q', '-n', str(requests), '-c', '16', *options, f'http://127.0.0.1:{port}{path}', compare=False, main=False).decode()
	w.record('ab ' + path, re.findall(r'^(?:Complete requests|Failed requests|Non-2xx responses|Document Length): .*$', out, re.M))


@program('varnish', needs={'/usr/sbin/varnishd': 'varnish', '/usr/bin/varnishadm': 'varnish', '/usr/bin/gcc': 'gcc', '/usr/bin/ab': 'apache2-utils'},
	timeout=180, linked=True)
def varnish(w):
	"""A cache of 24 MB in front of a web server: hits, misses, pages that pass, gzip, ESI, bans, eviction of what does not fit."""
	port, name = w.free_port(), w.path('varnish')
	with origin() as behind:
		with open(w.path('test.vcl'), 'w') as f:
			f.write(VCL % behind)
		with w.server('/usr/sbin/varnishd', '-F', '-j', 'none', '-n', name, '-a', f'127.0.0.1:{port}', '-f', w.path('test.vcl'), '-s', 'malloc,24m',
				'-p', 'thread_pool_min=20', ready=answers(socket.AF_INET, ('127.0.0.1', port)), also=('cache-main',)):
			for again in range(3):
				for path in sorted(PAGES):
					w.record('page', fetch(port, path))
					w.record('page', fetch(port, path, **{'Accept-Encoding': 'gzip'}))
				w.record('ban', ' 200 ' in fetch(port, '/', method='BAN', pattern='^/gzip'))
			ab(w, port, '/page/1', 10000, '-k')
			ab(w, port, '/esi/1', 3000)
			ab(w, port, '/pass/2', 300, '-k')
			# Four hundred pages of 400 KB: the cache must let most of them go again.
			for i in range(400):
				fetch(port, f'/page/3?{i}')
			stats = w.run('varnishstat', '-n', name, '-1', '-f', 'MAIN.n_lru_nuked', compare=False, main=False).split()
			if int(stats[1]) < 200:
				raise Failure(f'varnish: {stats[1]} objects left the cache, not most of 400')
			w.record('a page at the end', fetch(port, '/page/2'))
