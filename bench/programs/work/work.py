# SPDX-License-Identifier: MIT
# The work of bench/programs/python.py; the argument is how much. Prints "done", idles until its standard input ends.
import ast
import gc
import glob
import json
import os
import random
import re
import sys

TIMES = int(sys.argv[1])
rng = random.Random(42)


def parse_sources(count):
    """Syntax trees of the standard library: some 100 bytes an object, a module's tree dies as a whole."""
    folder = os.path.dirname(os.__file__)
    names = sorted(glob.glob(os.path.join(folder, "*.py")))
    nodes = 0
    for name in (names * 2)[:count]:
        with open(name, encoding="utf-8") as file:
            module = ast.parse(file.read(), name)
        nodes += sum(1 for _ in ast.walk(module))
        compile(module, name, "exec")
    return nodes


def documents(count):
    """Records out to JSON text and back, words counted."""
    rows = [{"id": i, "name": f"user-{i}", "tags": [f"t{rng.randrange(99)}" for _ in range(5)], "x": rng.random()} for i in range(count)]
    text = json.dumps(rows)
    if json.loads(text) != rows:
        sys.exit("JSON changed the data")
    words = {}
    for word in re.findall(r"[a-z]+-?\d*", text):
        words[word] = words.get(word, 0) + 1
    return len(words)


class Entry:
    __slots__ = ("key", "value", "older")

    def __init__(self, key, value, older):
        self.key, self.value, self.older = key, value, older


def cache(size, changes):
    """A cache whose entries are replaced at random: objects of all ages side by side."""
    entries = [None] * size
    for i in range(changes):
        at = rng.randrange(size)
        old = entries[at]
        entries[at] = Entry(i, "v" * rng.randrange(200), old.key if old else None)
    return sum(len(entry.value) for entry in entries if entry)


def growing_buffers(count):
    buffers = [bytearray() for _ in range(50)]
    for _ in range(count):
        buffers[rng.randrange(50)] += bytes(rng.randrange(1, 400))
    return sum(map(len, buffers))


parse_sources(12 * TIMES)
documents(4000 * TIMES)
cache(6000 * TIMES, 40000 * TIMES)
growing_buffers(6000 * TIMES)
gc.collect()
print("done", flush=True)
sys.stdin.read()
