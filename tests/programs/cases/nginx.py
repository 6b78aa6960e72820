# SPDX-License-Identifier: MIT
import gzip
import hashlib
import http.client
import os
import re
import signal
import socket
import time

import generate
from world import Failure, answers, descendants, program

CONFIG = '''daemon off;
worker_processes 2;
error_log stderr warn;
pid {dir}/nginx.pid;
{user}
events {{ worker_connections 256; }}
http {{
	access_log off;
	client_body_temp_path {dir}/body;
	proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi;
	scgi_temp_path {dir}/scgi;
	gzip on;
	gzip_types text/plain;
	default_type text/plain;
	upstream self {{ server 127.0.0.1:{port}; keepalive 8; }}
	server {{
		listen 127.0.0.1:{port};
		location / {{ root {inputs}; sendfile off; ssi off; }}
		location /through/ {{ proxy_pass http://self/; proxy_http_version 1.1; proxy_set_header Connection ""; }}
		location /word {{ return 200 "answer for $arg_q\\n"; }}
	}}
}}
'''


def site(folder):
	for i, size in enumerate((200, 5000, 40000, 300000)):
		with open(os.path.join(folder, f'page{i}.txt'), 'wb') as f:
			f.write(generate.text(size, i))


def fetch(port, path, headers):
	connection = http.client.HTTPConnection('127.0.0.1', port)
	connection.request('GET', path, headers=headers)
	answer = connection.getresponse()
	body = answer.read()
	encoding = answer.getheader('Content-Encoding')
	connection.close()
	if encoding == 'gzip':
		body = gzip.decompress(body)
	return f'{path} {headers} {answer.status} {encoding} {len(body)} {hashlib.sha256(body).hexdigest()}'


def fetch_all(w, port):
	for prefix in ('/', '/through/'):
		for i in range(4):
			for headers in ({}, {'Accept-Encoding': 'gzip'}, {'Range': 'bytes=10-150'}):
				w.record('page', fetch(port, f'{prefix}page{i}.txt', headers))
	w.record('page', fetch(port, '/word?q=' + 'x' * 500, {}))
	w.record('page', fetch(port, '/none', {}))


def ab(w, port, path, requests, *options):
	out = w.run('ab', '-q', '-n', str(requests), '-c', '16', *options, f'http://127.0.0.1:{port}{path}', compare=False, main=False).decode()
	w.record('ab ' + path, re.findall(r'^(?:Complete requests|Failed requests|Non-2xx responses|Document Length|HTML transferred): .*$', out, re.M))


def reload(server):
	"""New workers are forked while the old ones leave."""
	old = set(descendants(server.pid()))
	os.kill(server.pid(), signal.SIGHUP)
	while old & set(descendants(server.pid())) or len(descendants(server.pid())) != 2:
		time.sleep(0.02)


@program('nginx', needs={'/usr/sbin/nginx': 'nginx-light', '/usr/bin/ab': 'apache2-utils'}, prepare=site)
def nginx(w):
	"""Two workers serve files, gzip and a proxy to themselves to ab; a reload in between; every page compared."""
	port = w.free_port()
	with open(w.path('nginx.conf'), 'w') as f:
		f.write(CONFIG.format(dir=w.dir, inputs=w.inputs, port=port, user='user www-data;' if os.getuid() == 0 else ''))
	with w.server('/usr/sbin/nginx', '-e', 'stderr', '-c', w.path('nginx.conf'), ready=answers(socket.AF_INET, ('127.0.0.1', port)),
			stop=signal.SIGQUIT) as server:
		fetch_all(w, port)
		ab(w, port, '/page1.txt', 8000, '-k')
		ab(w, port, '/page2.txt', 1500, '-k', '-H', 'Accept-Encoding: gzip')
		reload(server)
		ab(w, port, '/through/page1.txt', 4000)
		fetch_all(w, port)
		if len(descendants(server.pid())) != 2:
			raise Failure('nginx: a worker is gone')
		w.require_mapped(server.pid(), *descendants(server.pid()))
