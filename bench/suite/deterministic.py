# SPDX-License-Identifier: MIT
"""What an operation costs in figures that do not depend on the machine's speed, compared with a committed table.

    bench/run --deterministic [--ours PATH] [--peers NAME,...] [--only REGEX] [--update] [--table FILE]
                              [--compiler gcc|clang --optimization LEVEL] [--patterns PROGRAM]

For each pattern of bench/patterns.c:
  instructions  inside the library, an operation (bench/suite/callgrind.py); nothing is given back (decay off)     2 %
  faults        page faults in a million operations                                                               5 %
  calls         system calls in a million operations, those of the pattern itself left out                        5 %
  rss_kib       resident memory that is no file's, at the end, in KiB                                   5 % or 128 KiB
The last three are of one process under strace with the default options, but without helper thread, and with a clock that
goes by operations: what falls due by time falls due at the same operation in every run. Huge pages are forbidden to it,
addresses are not random, it has one CPU, and process_madvise is refused as by kernels before 6.14.

Prints each figure beside the committed one; the status is 1 when one differs by more than its tolerance, also when it is
better: `--update` writes the table, and the commit says why. With --peers the figures of others stand beside, compared
with nothing.
"""

import argparse
import collections
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile

from suite import callgrind
from suite.allocators import find_allocators
from suite.basics import BENCH, OURS, fail, note, read, write
from suite.callgrind import Trouble

# name: tolerance as a share, and in its own unit, or in events of a run
Figure = collections.namedtuple("Figure", "name share units events")
FIGURES = (
    Figure("instructions", 0.02, 0, 0),
    Figure("faults", 0.05, 0, 2),
    Figure("calls", 0.05, 0, 2),
    Figure("rss_kib", 0.05, 128, 0),
)
NOTHING_GOES_BACK = {"ASHLAR_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1,helper_thread:false",
                     "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1", "TCMALLOC_RELEASE_RATE": "0"}
NO_HELPER = {"ASHLAR_CONF": "helper_thread:false"}
# `1234 name(...` for a call that begins; not `1234 <... name resumed>`, signals or exits.
CALL = re.compile(r"^(?:\d+\s+)?(\w+)\(")
MARK = "getrusage"
TIMEOUT = 300
TOOLS = (("valgrind", "valgrind"), ("strace", "strace"), ("taskset", "util-linux"))
HEADER = """\
# What an operation costs: pattern, instructions an operation, page faults and system calls a million, resident KiB.
# bench/suite/deterministic.py says how they are counted and compared; `bench/run --deterministic --update` writes this file.
"""
AGAIN = "if that is meant, accept it by `bench/run --deterministic --update` and commit the table with its reason"


# ---- measuring

def be_still():
    """Nothing random in the layout, no huge pages: inherited by all that is started from here."""
    PR_SET_THP_DISABLE, ADDR_NO_RANDOMIZE, ASK = 41, 0x0040000, 0xffffffff
    libc = ctypes.CDLL(None)
    if libc.prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0:
        raise Trouble("huge pages cannot be forbidden (PR_SET_THP_DISABLE)")
    if libc.personality((libc.personality(ASK) & 0xffffffff) | ADDR_NO_RANDOMIZE) == -1:
        note("addresses stay random here (personality is refused): a figure at the edge of its tolerance may fail")


def plain_environment(settings):
    """Few variables, always the same: they lie on the stack, and an allocator reads some."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", **settings}


def calls_between_marks(lines):
    """{system call: how often} between the first two calls of getrusage."""
    counts, marks = collections.Counter(), 0
    for line in lines:
        match = CALL.match(line)
        if match and match[1] == MARK:
            marks += 1
        elif match and marks == 1:
            counts[match[1]] += 1
    if marks < 2:
        raise Trouble("strace saw no second getrusage")
    return counts


def check_loaded(name, path, text):
    if path and f'"{path}", O_RDONLY' not in text:
        raise Trouble(f"{name}: {path} was not preloaded")


def report(name, path, program, pattern, scratch, cpu):
    """{figure: value} of one process that tells what it cost itself; strace tells its system calls."""
    log = os.path.join(scratch, f"{name}.{pattern.name}.strace")
    preload = ["-E", f"LD_PRELOAD={path}"] if path else []
    command = ["taskset", "-c", str(cpu), "strace", "-f", "-qq", "-o", log, *preload, program, pattern.name, str(pattern.reported), "report"]
    try:
        done = subprocess.run(command, env=plain_environment(NO_HELPER), capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise Trouble(f"{pattern.name} with {name} took longer than {TIMEOUT} s")
    if done.returncode != 0:
        raise Trouble(f"{pattern.name} with {name}: exit status {done.returncode}\n{done.stderr}")
    text = read(log)
    check_loaded(name, path, text)
    told = {key: int(value) for key, value in (word.split("=") for word in done.stdout.split())}
    calls = sum(calls_between_marks(text.splitlines()).values()) - told["own_calls"]
    million = 1e6 / pattern.reported
    return {"faults": told["faults"] * million, "calls": max(calls, 0) * million, "rss_kib": float(told["rss_kib"])}


def measure(name, path, program, patterns, scratch, progress):
    """{pattern: {figure: value}}"""
    lib = callgrind.without_debug_information(path, scratch) if name == OURS else path or "glibc"
    cpus, env, rows = sorted(os.sched_getaffinity(0)), plain_environment(NOTHING_GOES_BACK), {}
    with callgrind.pool() as workers:
        jobs = {}
        for i, p in enumerate(patterns):
            jobs[p.name] = [workers.submit(callgrind.instructions, lib, program, p, k, scratch, env) for k in (1, 2)]
            jobs[p.name].append(workers.submit(report, name, path, program, p, scratch, cpus[i % len(cpus)]))
        for p in patterns:
            once, twice, told = (job.result() for job in jobs[p.name])
            rows[p.name] = {"instructions": callgrind.difference(p, lib, once, twice), **told}
            progress(f"{name}: {p.name}")
    return rows


# ---- the table

def table_text(rows):
    head = "# pattern " + " ".join(figure.name for figure in FIGURES)
    lines = [" ".join([name] + [f"{row[figure.name]:.2f}" for figure in FIGURES]) for name, row in rows.items()]
    return HEADER + "\n".join([head, *lines]) + "\n"


def read_table(path):
    rows = {}
    for line in read(path, "").splitlines():
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) != 1 + len(FIGURES):
            raise Trouble(f"{path}: not a row of {1 + len(FIGURES)} words: {line}")
        rows[words[0]] = {figure.name: float(word) for figure, word in zip(FIGURES, words[1:])}
    return rows


def tolerance(figure, committed, pattern):
    """What the figure may differ by, in its own unit."""
    return max(figure.share * committed, figure.units, figure.events * 1e6 / pattern.reported if figure.events else 0)


def differs(figure, value, committed, pattern):
    # The table has two digits.
    return abs(value - committed) > tolerance(figure, committed, pattern) + 0.005


def percent(value, committed):
    if abs(value - committed) < 0.0005 * committed or value == committed:
        return ""
    return f"{100 * (value / committed - 1):+.1f} %" if committed else "new"


def compared(rows, committed, patterns):
    """(line, differs) for each figure; `patterns` has those that were to be measured."""
    for name, pattern in patterns.items():
        old = committed.get(name)
        for figure in FIGURES:
            value = rows[name][figure.name]
            if old is None:
                yield f"{name:<16} {figure.name:<12} {value:>12.2f} {'-':>12}  not in the table", True
                continue
            bad = differs(figure, value, old[figure.name], pattern)
            line = f"{name:<16} {figure.name:<12} {value:>12.2f} {old[figure.name]:>12.2f}  {percent(value, old[figure.name])}"
            yield line.rstrip() + ("  <-- beyond its tolerance" if bad else ""), bad


def print_comparison(rows, table, patterns, complete):
    """Returns how many figures differ."""
    committed = read_table(table)
    if not committed:
        raise Trouble(f"no table {table}; `bench/run --deterministic --update` writes it")
    print(f"{'pattern':<16} {'figure':<12} {'now':>12} {'committed':>12}")
    lines = list(compared(rows, committed, patterns))
    gone = [name for name in committed if complete and name not in patterns]
    lines += [(f"{name:<16} is in the table and measured no more", True) for name in gone]
    print("\n".join(line for line, _ in lines))
    return sum(bad for _, bad in lines)


def print_peers(measured, patterns):
    names = list(measured)
    print(f"{'pattern':<16} {'figure':<12} " + " ".join(f"{name:>16}" for name in names))
    for pattern in patterns:
        for figure in FIGURES:
            print(f"{pattern:<16} {figure.name:<12} " + " ".join(f"{measured[name][pattern][figure.name]:>16.2f}" for name in names))


# ---- which table

def compiler_of(lib):
    """As the compilers sign their objects; the start-up code that every library gets is gcc's."""
    with open(lib, "rb") as file:
        return "clang" if b"clang version" in file.read() else "gcc"


def built_by(lib, args):
    """(compiler, optimization) of the library: as told, else as it and its build folder say."""
    if args.compiler and args.optimization:
        return args.compiler, args.optimization
    options_file = os.path.join(os.path.dirname(os.path.realpath(lib)), "meson-info", "intro-buildoptions.json")
    try:
        with open(options_file) as file:
            options = {option["name"]: option["value"] for option in json.load(file)}
    except (OSError, KeyError, ValueError):
        raise Trouble(f"{lib} is in no build folder of meson: say --compiler and --optimization, or --table")
    if options.get("assertions") or options.get("b_sanitize", "none") != "none":
        raise Trouble(f"{lib} was built with assertions or sanitizers: no table is of such a build")
    return args.compiler or compiler_of(lib), args.optimization or str(options["optimization"])


def table_path(lib, args):
    if args.table:
        return args.table
    compiler, optimization = built_by(lib, args)
    return os.path.join(BENCH, "results", f"deterministic.{os.uname().machine}.{compiler}-O{optimization}")


def update(rows, table, complete):
    kept = {} if complete else read_table(table)
    write(table, table_text({**kept, **rows}))
    print(f"wrote {os.path.relpath(table)}")


# ---- the command

def parse(argv):
    parser = argparse.ArgumentParser(prog="bench/run --deterministic", description=__doc__.split("\n")[0])
    parser.add_argument("--ours", metavar="PATH", help="the ashlar library (default: the built one), or `none`")
    parser.add_argument("--peers", default="", help="NAME or NAME=PATH,...: their figures beside ours (default: none)")
    parser.add_argument("--only", default="", metavar="REGEX", help="only patterns whose name has a match")
    parser.add_argument("--update", action="store_true", help="write the table instead of comparing with it")
    parser.add_argument("--table", metavar="FILE", help="the table (default: by compiler and level in bench/results/)")
    parser.add_argument("--compiler", help="what built the library (default: its build folder tells)")
    parser.add_argument("--optimization", metavar="LEVEL", help="at which level")
    parser.add_argument("--patterns", metavar="PROGRAM", help="the ashlar-patterns to run (default: the built one, else compiled now)")
    return parser.parse_args(argv)


def progress_line(text):
    if sys.stderr.isatty():
        print("\r\033[K" + text, end="", file=sys.stderr, flush=True)


def measure_all(args, allocators, scratch):
    """({allocator: {pattern: {figure: value}}}, {name: pattern})"""
    program = os.path.abspath(callgrind.find_program(args.patterns, scratch))
    known = callgrind.list_patterns(program)
    patterns = {name: p for name, p in known.items() if re.search(args.only, name)}
    if not patterns:
        raise Trouble(f"no pattern matches {args.only}; there are: {' '.join(known)}")
    be_still()
    measured = {name: measure(name, path, program, list(patterns.values()), scratch, progress_line) for name, path in allocators.items()}
    progress_line("")
    return measured, patterns


def run(args):
    callgrind.need(*TOOLS)
    allocators = find_allocators(args)
    if not allocators:
        raise Trouble("nothing to measure")
    table = table_path(allocators[OURS], args) if OURS in allocators else None
    with tempfile.TemporaryDirectory(prefix="ashlar-deterministic.") as scratch:
        measured, patterns = measure_all(args, allocators, scratch)
    complete, differing = not args.only, 0
    if table and args.update:
        update(measured[OURS], table, complete)
    elif table:
        differing = print_comparison(measured[OURS], table, patterns, complete)
    if len(measured) > 1 or not table:
        print_peers(measured, patterns)
    if differing:
        print(f"{differing} figures differ from {os.path.relpath(table)}: {AGAIN}")
    return 1 if differing else 0


def main(argv):
    """Returns the exit status."""
    try:
        return run(parse(argv))
    except Trouble as trouble:
        fail(trouble)
