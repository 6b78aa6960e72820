# SPDX-License-Identifier: MIT
"""What the results depend on besides the allocators: the lines at the head of every file that the suite writes."""

import datetime
import os
import platform
import re
import shlex
import sys

from suite.allocators import version_of
from suite.basics import ROOT, first_line, read

# Lines that say nothing about whether two runs can be put together.
CHANGING = ("command", "date", "load at start", "load at end", "ended", "source", "missing")
# Half a CPU at work for others is seen in every figure; what is below is the desktop, or the build that just ended.
BUSY_LOAD = 0.5


def cpu_line():
    info = read("/proc/cpuinfo", "")
    model = re.search(r"^model name\s*: (.*)$", info, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", read("/proc/meminfo", ""), re.MULTILINE)
    virtual = ", a virtual machine" if re.search(r"^flags\s*:.*\bhypervisor\b", info, re.MULTILINE) else ""
    return (f"{model.group(1) if model else platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, "
            f"{int(memory.group(1)) // 1024 if memory else '?'} MiB{virtual}")


def options_line():
    options = {k: v for k, v in os.environ.items()
               if re.match(r"MALLOC_|ASHLAR_CONF|GLIBC_TUNABLES|MIMALLOC_|TCMALLOC_|TBB_MALLOC", k)}
    return " ".join(f"{k}={v}" for k, v in sorted(options.items())) or "none"


def load_line():
    return " ".join(f"{x:.2f}" for x in os.getloadavg())


def source_line():
    return first_line(["git", "--no-optional-locks", "-C", ROOT, "describe", "--always", "--dirty", "--tags"]) or "no git"


def now():
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def last_lines():
    """The load at the end is the run's own, and what came between."""
    yield "load at end: " + load_line()
    yield "ended: " + now()


def machine_lines(args, allocators):
    yield "command: " + shlex.join(["bench/run"] + sys.argv[1:])
    yield "date: " + now()
    yield "source: " + source_line()
    yield "machine: " + cpu_line()
    yield f"kernel: {platform.release()}, C library: {' '.join(platform.libc_ver())}, Python {platform.python_version()}"
    yield "transparent huge pages: " + read("/sys/kernel/mm/transparent_hugepage/enabled")
    yield "load at start: " + load_line()
    yield "options in the environment: " + options_line()
    yield f"rounds: {args.rounds}"
    for name, path in allocators.items():
        yield f"{name}: " + (version_of(path) if path else "the C library's own")


def busy_note(header):
    """One sentence if others used the machine when the run began, else ""."""
    for line in header:
        key, _, values = line.partition(": ")
        if key == "load at start" and float(values.split()[0]) > BUSY_LOAD:
            return (f"The machine was busy when this began (load {values.split()[0]}): times are disturbed, and small differences mean "
                    "nothing. Run it again on an idle machine.")
    return ""
