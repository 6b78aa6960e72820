# SPDX-License-Identifier: MIT
"""redis-server under redis-benchmark: values of four sizes that replace each other, lists, hashes, sorted sets; every value is a malloc.

A store whose values change their sizes is where fragmentation was first measured in production (redis has a defragmenter for it, off here).
Debian's redis-server links jemalloc. A library that is preloaded comes before it; for the figures over glibc, glibc's own libc.so.6 is
preloaded, for the same reason. jemalloc stays mapped, and says in INFO how much it serves: that is checked.
"""

import re
import socket

from common.processes import Failure
from common.runs import SCAFFOLD, Program, answers, client, serve

# (commands, bytes of a value, share of the requests)
STEPS = [("set", 24, 3), ("set", 400, 2), ("set", 2000, 1), ("set,get", 120, 3), ("lpush,rpop,sadd", 60, 2), ("hset,zadd", 100, 2),
         ("lrange_100", 60, 0.1)]


def ask(port, command):
    """The answer to a command that answers with a text."""
    with socket.create_connection(("127.0.0.1", port)) as s, s.makefile("rb") as reader:
        s.sendall(command + b"\r\n")
        head = reader.readline()
        if not head.startswith(b"$"):
            raise Failure(f"redis-server answered {head!r} to {command!r}")
        return reader.read(int(head[1:])).decode()


def info(port):
    return dict(re.findall(r"^(\w+):([^\r\n]*)", ask(port, b"INFO memory"), re.M))


def check_who_serves(run, port, memory):
    """jemalloc's own count tells whether it is the one that serves; ashlar, preloaded, answers in its place."""
    used, jemallocs = int(memory["used_memory"]), int(memory.get("allocator_allocated", 0))
    ours = re.search(r'^Version: "?\S*ashlar', ask(port, b"MEMORY MALLOC-STATS"), re.M)
    meant = bool(ours) or "libjemalloc" in run.library()
    if memory.get("mem_allocator", "").startswith("jemalloc") and (jemallocs > used / 2) != meant:
        who = "ashlar" if ours else "jemalloc"
        raise Failure(f"of {used} bytes in use {who} serves {jemallocs}, though {run.library()} was preloaded")


def load(run, port):
    requests = run.choose(60000, 6000)
    total = 0
    for commands, size, share in STEPS:
        count = int(requests * share)
        options = {"-h": "127.0.0.1", "-p": port, "-n": count, "-c": 20, "-P": 16, "-r": 40000, "-d": size, "-t": commands}
        client(run, ["/usr/bin/redis-benchmark", "-q", *(str(word) for option in options.items() for word in option)])
        total += count * len(commands.split(","))
    memory = info(port)
    check_who_serves(run, port, memory)
    return {"requests": total, "used_memory_kib": int(memory["used_memory"]) // 1024}


def work(run):
    port = run.free_port()
    argv = ["/usr/bin/redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no",
            "--dir", run.folder, "--loglevel", "warning"]
    return serve(run, argv, answers(("127.0.0.1", port)), lambda: load(run, port))


NEEDS = {"/usr/bin/redis-server": "redis-server", "/usr/bin/redis-benchmark": "redis-tools", **SCAFFOLD}
PROGRAMS = [Program("redis", work, NEEDS, quick=True, own_allocator="libjemalloc")]
