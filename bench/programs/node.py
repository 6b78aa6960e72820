# SPDX-License-Identifier: MIT
"""node: V8 has a heap of its own; malloc serves Buffers, zlib on the thread pool, and the compiler's own memory."""

from common.runs import TIMED, Program, to_the_end


def work(run):
    return to_the_end(run, ["/usr/bin/node", "--expose-gc", run.beside("work.js"), run.choose("20", "1")], rests=True)


PROGRAMS = [Program("node", work, {"/usr/bin/node": "nodejs", **TIMED})]
