# SPDX-License-Identifier: MIT
"""Apache Traffic Server, a caching proxy, answering ab from its cache in memory; with its own free lists, and without.

It keeps free lists of its objects and buffers, per thread and for all, and never gives them back. `-f` turns off the lists for all, `-F` the
threads' too (traffic_server(8)); `trafficserver_no_freelist` has both, so that malloc serves every request: does it need its lists over a given
malloc? In both, buffers are not left out of core dumps (dontdump_iobuffers 0): without the lists that would be a system call for every
buffer, which splits mappings, and says nothing about malloc.
"""

import http.server
import os
import re
import shutil
import threading

from common.inputs import text
from common.processes import Failure
from common.runs import SCAFFOLD, Program, answers, client, serve

CONFIGURATION = "/etc/trafficserver"
RECORDS = {
    "proxy.config.http.server_ports": "{port}:ip-in=127.0.0.1",
    "proxy.config.admin.user_id": "#-1",
    "proxy.config.crash_log_helper": "NULL",
    "proxy.config.exec_thread.autoconfig": 0,
    "proxy.config.exec_thread.limit": 2,
    "proxy.config.accept_threads": 1,
    "proxy.config.task_threads": 1,
    "proxy.config.cache.threads_per_disk": 2,
    "proxy.config.cache.ram_cache.size": 67108864,
    "proxy.config.log.logging_enabled": 0,
    "proxy.config.url_remap.remap_required": 1,
    "proxy.config.http.keep_alive_no_activity_timeout_in": 120,
    "proxy.config.allocator.dontdump_iobuffers": 0,
    "proxy.config.diags.debug.enabled": 0,
}
# Bytes of a page and requests for it.
STEPS = {300: 20000, 1000: 20000, 4000: 12000, 12000: 8000, 30000: 4000, 64000: 2000, 200000: 600, 1000000: 100}
CONNECTIONS = 5000  # requests that come over a connection of their own


def record(name, value):
    return f"CONFIG {name} {'STRING' if isinstance(value, str) else 'INT'} {value}\n"


def write(path, content):
    with open(path, "w") as file:
        file.write(content)


def layout(run, port, origin):
    """A place of its own for all that it reads and writes; /etc gives the rest of its configuration."""
    top = run.path("ts")
    shutil.copytree(CONFIGURATION, os.path.join(top, "etc"))
    for name in ("run", "log", "cache", "var", "share"):
        os.makedirs(os.path.join(top, name))
    places = {"prefix": top, "exec_prefix": top, "bindir": "/usr/bin", "sbindir": "/usr/sbin", "sysconfdir": f"{top}/etc",
              "datadir": f"{top}/share", "includedir": "/usr/include", "libdir": "/usr/lib", "libexecdir": f"{top}/share",
              "localstatedir": f"{top}/var", "runtimedir": f"{top}/run", "logdir": f"{top}/log", "mandir": "/usr/share/man",
              "infodir": "/usr/share/info", "cachedir": f"{top}/cache"}
    write(os.path.join(top, "runroot.yaml"), "".join(f"{name}: {path}\n" for name, path in places.items()))
    records = {name: value.format(port=port) if isinstance(value, str) else value for name, value in RECORDS.items()}
    write(os.path.join(top, "etc", "records.config"), "".join(record(name, value) for name, value in records.items()))
    write(os.path.join(top, "etc", "remap.config"), f"map / http://127.0.0.1:{origin}/\n")
    write(os.path.join(top, "etc", "storage.config"), f"{top}/cache 128M\n")
    write(os.path.join(top, "etc", "plugin.config"), "")
    return top


class Origin(http.server.BaseHTTPRequestHandler):
    """Answers /N with N bytes that may be cached, and counts how often it was asked."""

    asked = 0
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        Origin.asked += 1
        body = text(int(self.path.rpartition("/")[2]), 9)
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": "text/plain", "Cache-Control": "public, max-age=86400"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


def ab(run, port, size, requests, *options):
    out = client(run, ["/usr/bin/ab", "-q", "-n", str(requests), "-c", "16", *options, f"http://127.0.0.1:{port}/{size}"])
    found = dict(re.findall(r"^(Complete requests|Failed requests|Non-2xx responses|Document Length): +(\d+)", out, re.M))
    if int(found.get("Complete requests", 0)) != requests or int(found.get("Failed requests", 0)) or int(found.get("Document Length", 0)) != size:
        raise Failure(f"ab /{size}: {found}")
    return requests


def load(run, port):
    asked = Origin.asked
    requests = sum(ab(run, port, size, count, "-k") for size, count in STEPS.items()) + ab(run, port, 1000, CONNECTIONS)
    if Origin.asked != asked:
        raise Failure(f"{Origin.asked - asked} of {requests} requests went to the origin: not all was cached")
    return {"requests": requests}


def warm(run, port):
    """Each page three times: it comes into the cache on disk, then, when asked for again, into memory."""
    for size in STEPS:
        ab(run, port, size, 48, "-k")


def work(run, *options):
    port = run.free_port()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin) as origin:
        threading.Thread(target=origin.serve_forever, daemon=True).start()
        top = layout(run, port, origin.server_address[1])
        try:
            return serve(run, ["/usr/bin/traffic_server", f"--run-root={top}/runroot.yaml", *options], answers(("127.0.0.1", port)),
                         lambda: load(run, port), warm=lambda: warm(run, port))
        finally:
            origin.shutdown()


NEEDS = {"/usr/bin/traffic_server": "trafficserver", "/usr/bin/ab": "apache2-utils", **SCAFFOLD}
PROGRAMS = [
    Program("trafficserver", work, NEEDS),
    Program("trafficserver_no_freelist", lambda run: work(run, "-f", "-F"), NEEDS),
]
