# SPDX-License-Identifier: MIT
"""memcached under sets and gets from streams that were made before, and connections that come and go.

Items live in memcached's own slabs of 1 MiB, so malloc serves little: connections, their buffers, large values on their way in. It is here as
the control: a program with an allocator of its own, on which another malloc must not cost.
"""

import os
import random
import selectors
import socket

from common.processes import Failure
from common.runs import SCAFFOLD, Program, answers, serve

STREAMS = 8


def value(rng):
    return b"v" * min(int(rng.lognormvariate(5, 1.5)), 30000)


def make_stream(path, number, requests):
    """Requests of one connection with keys of its own, and how many bytes their answers have."""
    rng, stored, answer = random.Random(number), {}, 0
    with open(path, "wb") as file:
        for _ in range(requests):
            key = b"c%dk%d" % (number, rng.randrange(4000))
            if rng.random() < 0.4:
                data = value(rng)
                stored[key] = len(data)
                file.write(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(data), data))
                answer += len(b"STORED\r\n")
            else:
                file.write(b"get %s\r\n" % key)
                length = stored.get(key)
                answer += len(b"END\r\n") + (len(b"VALUE %s 0 %d\r\n" % (key, length)) + length + 2 if length is not None else 0)
    with open(path + ".answer", "w") as file:
        file.write(str(answer))


def prepare(run):
    for size, requests in (("full", 60000), ("quick", 4000)):
        for number in range(STREAMS):
            make_stream(run.input(f"{size}{number}"), number, requests)


class Connection:
    """Sends a stream as fast as the server takes it, counts the bytes of the answers."""

    def __init__(self, path, address):
        with open(path, "rb") as file:
            self.left = memoryview(file.read())
        with open(path + ".answer") as file:
            self.awaited = int(file.read())
        self.socket = socket.create_connection(address)
        self.socket.setblocking(False)

    def send(self):
        if self.left:
            self.left = self.left[self.socket.send(self.left[:65536]):]

    def receive(self, buffer):
        got = self.socket.recv_into(buffer)
        if not got:
            raise Failure("memcached closed a connection")
        self.awaited -= got
        return self.awaited

    def wanted(self):
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self.left else 0)


def converse(connections):
    """All connections at once, in one thread: the client must not need more CPU than the server."""
    buffer, waiting = bytearray(1 << 18), selectors.DefaultSelector()
    for connection in connections:
        waiting.register(connection.socket, connection.wanted(), connection)
    left = len(connections)
    while left:
        for key, events in waiting.select():
            connection = key.data
            if events & selectors.EVENT_WRITE:
                connection.send()
                waiting.modify(connection.socket, connection.wanted(), connection)
            if events & selectors.EVENT_READ and connection.receive(buffer) <= 0:
                left -= 1
                waiting.unregister(connection.socket)
    for connection in connections:
        connection.socket.close()
        if connection.awaited:
            raise Failure("memcached answered more than it was to")


def come_and_go(address, count):
    for _ in range(count):
        with socket.create_connection(address) as s:
            s.sendall(b"get c0k1 c1k1 c2k1 nothing\r\n")
            while not s.recv(65536).endswith(b"END\r\n"):
                pass


def load(run, address):
    size = run.choose("full", "quick")
    converse([Connection(run.input(f"{size}{number}"), address) for number in range(STREAMS)])
    short = run.choose(3000, 200)
    come_and_go(address, short)
    return {"requests": STREAMS * run.choose(60000, 4000) + short}


def work(run):
    port = run.free_port()
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    argv = ["/usr/bin/memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "4", "-m", "512", "-c", "1024", *user]
    return serve(run, argv, answers(("127.0.0.1", port)), lambda: load(run, ("127.0.0.1", port)))


PROGRAMS = [Program("memcached", work, {"/usr/bin/memcached": "memcached", **SCAFFOLD}, prepare)]
