# SPDX-License-Identifier: MIT
"""nginx, a master and two workers, under ab: small files, pages that it compresses, and a proxy to itself.

nginx takes memory for each request in pools of 4 KiB and frees them when it is answered; compression takes 260 KiB a request from malloc.
"""

import os
import re
import signal

from common.inputs import text
from common.processes import Failure
from common.runs import SCAFFOLD, Program, answers, client, serve

CONFIG = """daemon off;
worker_processes 2;
error_log stderr warn;
pid {folder}/nginx.pid;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    gzip_types text/plain;
    gzip_comp_level 1;
    default_type text/plain;
    upstream self {{ server 127.0.0.1:{port}; keepalive 16; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ root {inputs}; gzip on; }}
        location /through/ {{ proxy_pass http://self/; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""
# (path, requests, further options)
STEPS = [("/1k.txt", 40000, ["-k"]), ("/8k.txt", 10000, ["-k", "-H", "Accept-Encoding: gzip"]), ("/through/8k.txt", 12000, ["-k"]),
         ("/8k.txt", 6000, [])]


def prepare(run):
    for size in (1, 8):
        with open(run.input(f"{size}k.txt"), "wb") as file:
            file.write(text(size << 10, size))


def ab(run, url, requests, options):
    """Sends that many requests over 16 connections; every one must be answered well."""
    out = client(run, ["/usr/bin/ab", "-q", "-n", str(requests), "-c", "16", *options, url])
    found = dict(re.findall(r"^(Complete requests|Failed requests|Non-2xx responses): +(\d+)", out, re.M))
    if int(found.get("Complete requests", 0)) != requests or int(found.get("Failed requests", 0)) or "Non-2xx responses" in found:
        raise Failure(f"ab {url}: {found}")
    return requests


def load(run, port):
    return {"requests": sum(ab(run, f"http://127.0.0.1:{port}{path}", count, options) for path, count, options in STEPS)}


def work(run):
    port = run.free_port()
    with open(run.path("nginx.conf"), "w") as file:
        # Two workers of the same user: they read what a private scratch folder holds.
        file.write(CONFIG.format(folder=run.folder, inputs=run.inputs, port=port, user="user root root;" if os.getuid() == 0 else ""))
    return serve(run, ["/usr/sbin/nginx", "-e", "stderr", "-c", run.path("nginx.conf")], answers(("127.0.0.1", port)),
                 lambda: load(run, port), stop=signal.SIGQUIT)


PROGRAMS = [Program("nginx", work, {"/usr/sbin/nginx": "nginx-light", "/usr/bin/ab": "apache2-utils", **SCAFFOLD}, prepare)]
