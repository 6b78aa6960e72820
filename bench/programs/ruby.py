# SPDX-License-Identifier: MIT
"""ruby: objects in the interpreter's own slots, their strings, arrays and tables from malloc, JSON, threads; the collector frees in bursts.

Ruby on a server is where replacing glibc's malloc is most common, for its memory.
"""

from common.runs import TIMED, Program, to_the_end


def work(run):
    return to_the_end(run, ["/usr/bin/ruby", "--disable=gems", run.beside("work.rb"), run.choose("20", "1")], rests=True)


PROGRAMS = [Program("ruby", work, {"/usr/bin/ruby": "ruby", **TIMED})]
