# SPDX-License-Identifier: MIT
"""python3: reads the standard library's sources as linters do, JSON documents as web services do, keeps a cache of small objects.

`python` is as Debian has it: its own allocator (pymalloc) serves objects up to 512 bytes from 1 MiB arenas, malloc only what is larger.
`python_malloc` is with PYTHONMALLOC=malloc, where malloc serves all; people set it so that one allocator, or a heap
checker, sees everything.
"""

from common.runs import TIMED, Program, to_the_end


def work(run, **env):
    # The order of sets must not depend on the run.
    return to_the_end(run, ["/usr/bin/python3", "-S", run.beside("work.py"), run.choose("10", "1")],
                      env={"PYTHONHASHSEED": "0", **env}, rests=True)


NEEDS = {"/usr/bin/python3": "python3", **TIMED}
PROGRAMS = [
    Program("python", work, NEEDS),
    Program("python_malloc", lambda run: work(run, PYTHONMALLOC="malloc"), NEEDS, quick=True),
]
