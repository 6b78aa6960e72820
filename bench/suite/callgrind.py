# SPDX-License-Identifier: MIT
"""Instructions per operation inside an allocator's library, counted by callgrind over the patterns of bench/patterns.c.

Each pattern is run with N and with 2N operations and the counts are subtracted, so start-up cancels and the figures are
those of the steady state. Counted are the instructions of functions whose object file is the library itself: what it
calls in libc (memset, memcpy, the kernel's entries) is not. The clock stands still and the process keeps to one CPU, so
that neither work by the millisecond nor the choice of a CPU's arena blurs the figures. glibc's own allocator shares its
object with memset and memcpy; these are left out by name, where libc's symbols allow it.

An operation is a pair (malloc or calloc, then free), a replacement (free, then malloc), or a whole chain of realloc.
"""

import collections
import concurrent.futures
import contextlib
import os
import re
import shutil
import subprocess

from suite.basics import BENCH, build_folder

MEMORY_FUNCTION = re.compile(r"_*(mem(set|cpy|move|pcpy)|bzero|wmemset)")
RUNTIME = re.compile(r"ld-linux|ld-musl|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)\.|vgpreload")
TIMEOUT = 300

Pattern = collections.namedtuple("Pattern", "name counted reported")


class Trouble(Exception):
    """What the user is told, in one line."""


def need(*tools):
    for tool, package in tools:
        if not shutil.which(tool):
            raise Trouble(f"no {tool}: install the package {package}")


def find_program(given, scratch):
    """The victim: as given, else the one meson built, else compiled now (it is one plain C file)."""
    built = os.path.join(build_folder(), "bench", "ashlar-patterns")
    source = os.path.join(BENCH, "patterns.c")
    if given or (os.path.isfile(built) and os.path.getmtime(built) >= os.path.getmtime(source)):
        return given or built
    need(("cc", "gcc"))
    program = os.path.join(scratch, "ashlar-patterns")
    if subprocess.run(["cc", "-O2", "-fno-builtin", "-pthread", "-rdynamic", "-o", program, source]).returncode != 0:
        raise Trouble("patterns.c did not compile")
    return program


def list_patterns(program):
    """{name: how often it runs here and in a report}"""
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    lines = subprocess.run([program, "--list"], check=True, capture_output=True, text=True, env=env).stdout.splitlines()
    rows = (line.split() for line in lines)
    return {name: Pattern(name, int(counted), int(reported)) for name, counted, reported in rows}


def without_debug_information(lib, scratch):
    """A copy that valgrind reads quickly; it cannot read at all what clang writes."""
    need(("objcopy", "binutils"))
    bare = os.path.join(scratch, os.path.basename(lib))
    if subprocess.run(["objcopy", "--strip-debug", lib, bare]).returncode != 0:
        raise Trouble(f"objcopy cannot copy {lib}")
    return bare


class Names:
    """callgrind's name compression: `(3) name` the first time, `(3)` from then on."""

    def __init__(self):
        self.known = {}

    def full(self, text):
        number, _, name = text.partition(" ")
        if name:
            self.known[number] = name
        return self.known.get(number, text)


def counts_by_object(path):
    """Self instructions per object file and function: {object: {function: count}}."""
    objects, functions, totals = Names(), Names(), {}
    current, function, skip = "", "", False
    with open(path) as lines:
        for line in lines:
            key, equals, value = line.rstrip("\n").partition("=")
            if line[0] in "+-*0123456789":
                if not skip:
                    here = totals.setdefault(current, {})
                    here[function] = here.get(function, 0) + int(line.split()[1])
                skip = False
            elif not equals:
                continue
            elif key == "ob":
                current = objects.full(value)
            elif key == "cob":
                objects.full(value)
            elif key == "fn":
                function = functions.full(value)
            elif key == "cfn":
                functions.full(value)
            elif key == "calls":
                skip = True  # the next line is the callee's inclusive cost
    return totals


def allocators_share(totals, lib, program):
    """The functions of the allocator: its own object, those it was split into (tbbmalloc), and `???`.

    callgrind names the object of code in .text only; tcmalloc keeps malloc and free in another section.
    """
    if lib == "glibc":
        return [functions for name, functions in totals.items() if os.path.basename(name) == "libc.so.6"]
    if os.path.realpath(lib) not in {os.path.realpath(name) for name in totals}:
        raise Trouble(f"{lib} was not loaded, or nothing in it was called")
    return [functions for name, functions in totals.items()
            if not RUNTIME.match(os.path.basename(name)) and os.path.realpath(name) != os.path.realpath(program)]


def instructions(lib, program, pattern, times, scratch, env):
    """Of one run over `times` as many operations as are counted."""
    out = os.path.join(scratch, f"{os.path.basename(lib)}.{pattern.name}.{times}")
    env = dict(env)
    if lib != "glibc":
        env["LD_PRELOAD"] = os.path.abspath(lib)
    cpus = sorted(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(cpus[times % len(cpus)]), "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
               "--", program, pattern.name, str(times * pattern.counted)]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise Trouble(f"{pattern.name} with {lib} took longer than {TIMEOUT} s")
    if done.returncode != 0:
        raise Trouble(f"{pattern.name} with {lib}: exit status {done.returncode}\n{done.stderr}")
    share = allocators_share(counts_by_object(out), lib, program)
    return sum(count for functions in share for name, count in functions.items() if not MEMORY_FUNCTION.match(name))


def difference(pattern, lib, once, twice):
    value = (twice - once) / pattern.counted
    if value < 1:
        raise Trouble(f"{pattern.name}: {value:.2f} instructions; {lib} does not serve malloc")
    return value


@contextlib.contextmanager
def pool():
    """The runs are independent processes: as many at once as there are CPUs. After a failure no more are started."""
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as workers:
        try:
            yield workers
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise


def measure(lib, program, patterns, scratch, env):
    """(name, instructions an operation) of each pattern, in order."""
    with pool() as workers:
        runs = {(p.name, k): workers.submit(instructions, lib, program, p, k, scratch, env) for p in patterns for k in (1, 2)}
        for p in patterns:
            yield p.name, difference(p, lib, runs[p.name, 1].result(), runs[p.name, 2].result())
