# SPDX-License-Identifier: MIT
"""The measured processes: how they are started, found again, and asked what they used.

A *tree* is a measured program and whatever it forked that still lives. Nothing here knows any program by name.

CPU of a tree: each living process has a CPU clock of its own (nanoseconds, all its threads, also those that ended); what ended and
was waited for is in its parent's "children" times (ticks of 10 ms, summed before they are rounded). A backend that PostgreSQL
forked counts in the first way while it lives and in the second afterwards, so the difference of two sums is what the tree used between.
Memory of a tree: the anonymous memory of its processes in sum, and the largest amount of file and shared memory that one of them maps:
libraries and shared buffers are there once, however many processes map them. For one process that is its resident memory.
"""

import ctypes
import os
import re
import signal
import threading
import time

PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
SAMPLE_S = 0.02
# Files that bring a malloc; a run over glibc must not have one of them, unless the program links it (then glibc goes before it).
ALLOCATORS = re.compile(r"lib(ashlar|jemalloc|mimalloc|tcmalloc|tbbmalloc|snmalloc|rpmalloc|hoard|scudo|hardened_malloc)")
GONE = (FileNotFoundError, ProcessLookupError)


class Failure(Exception):
    """What went wrong, in one line; the run counts for nothing."""


def become_reaper():
    """Orphans of what we start become our children: they can be found, and ended."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise Failure("prctl(PR_SET_CHILD_SUBREAPER) was refused: what a program leaves behind could not be ended")


def text_of(path):
    """A file's text; empty when there is none."""
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except GONE:
        return ""


def read(pid, name):
    """A file of /proc/PID; empty when the process is gone."""
    return text_of(f"/proc/{pid}/{name}")


def stat(pid):
    """(name, fields from the state on) of a process, or None."""
    head, bracket, tail = read(pid, "stat").rpartition(")")
    return (head.partition("(")[2], tail.split()) if bracket else None


def name_of(pid):
    found = stat(pid)
    return found[0] if found else ""


def children(pid, all_threads=True):
    """The processes that it forked; only those of its first thread is cheaper."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task") if all_threads else [str(pid)]
    except GONE:
        return []
    return [int(child) for task in tasks for child in read(pid, f"task/{task}/children").split()]


def tree(root, all_threads=True):
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += children(found[-1], all_threads)
    return found


def below(root, all_threads=True):
    return tree(root, all_threads)[1:]


def end_all():
    """Ends whatever below this process still lives, by pid."""
    for _ in range(200):
        for pid in below(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def cpu_clock(pid):
    """Seconds of CPU of one process, from its CPU clock (the number that clock_getcpuclockid(3) makes)."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def usage(pids):
    """What these processes, and children that they waited for, have used up to now."""
    sums = dict.fromkeys(("cpu", "user_ticks", "sys_ticks", "minor_faults", "major_faults"), 0)
    for pid in pids:
        found = stat(pid)
        if not found:
            continue
        minor, children_minor, major, children_major, user, system, children_user, children_system = map(int, found[1][7:15])
        sums["cpu"] += cpu_clock(pid) + (children_user + children_system) / TICKS
        sums["user_ticks"] += user + children_user
        sums["sys_ticks"] += system + children_system
        sums["minor_faults"] += minor + children_minor
        sums["major_faults"] += major + children_major
    return sums


def used(before, after):
    """The figures of a run from two sums. The clocks tell user and system time apart only in ticks: they give the shares."""
    ticks = {key: after[key] - before[key] for key in ("user_ticks", "sys_ticks")}
    cpu, share = after["cpu"] - before["cpu"], ticks["user_ticks"] / max(1, sum(ticks.values()))
    return {"user_s": cpu * share, "sys_s": cpu * (1 - share),
            "minor_faults": after["minor_faults"] - before["minor_faults"], "major_faults": after["major_faults"] - before["major_faults"]}


def resident_kib(pids):
    anonymous, shared = 0, 0
    for pid in pids:
        fields = read(pid, "statm").split()
        if fields:
            anonymous += int(fields[1]) - int(fields[2])
            shared = max(shared, int(fields[2]))
    return (anonymous + shared) * PAGE_KIB


def high_water_kib(pids):
    """The highest resident memory that one of these processes has ever had."""
    marks = [re.search(r"^VmHWM:\s*(\d+)", read(pid, "status"), re.M) for pid in pids]
    return max((int(mark[1]) for mark in marks if mark), default=0)


def mapped_files(pid):
    words = (line.split(None, 5) for line in read(pid, "maps").splitlines())
    return {fields[5] for fields in words if len(fields) == 6 and fields[5].startswith("/")}


def check_allocator(pid, preload, own=""):
    """The file that malloc of this process comes from; fails when that is not what was meant. `own`: the malloc that the program links."""
    files = mapped_files(pid)
    libc = next((file for file in files if re.match(r"libc[.-]", os.path.basename(file))), None)
    if preload and preload not in files:
        raise Failure(f"{name_of(pid)} (process {pid}) runs without {preload}: it was not preloaded")
    if not libc:
        raise Failure(f"{name_of(pid)} (process {pid}) has no C library in its map: nothing can be preloaded")
    strangers = sorted(file for file in files if ALLOCATORS.match(os.path.basename(file)))
    if not preload and strangers and not (own and all(os.path.basename(file).startswith(own) for file in strangers)):
        raise Failure(f"{name_of(pid)} (process {pid}) has {strangers[0]} in its map: this is not glibc's malloc")
    return preload or libc


class Sampler(threading.Thread):
    """Every 20 ms: the memory of the tree; and, once, a look at the map of each process named in `names`."""

    def __init__(self, find, began, names=(), check=None):
        super().__init__(daemon=True)
        self.find, self.began, self.check = find, began, check
        self.unseen, self.points, self.failure = set(names), [], None
        self.ended = threading.Event()
        self.start()

    def run(self):
        count = 0
        while not self.ended.wait(SAMPLE_S):
            pids = self.find(count % 10 == 0)
            count += 1
            self.points.append((time.monotonic() - self.began, resident_kib(pids)))
            if self.unseen:
                self.look(pids)

    def look(self, pids):
        for pid in pids:
            name = name_of(pid)
            if name not in self.unseen:
                continue
            try:
                self.check(pid)
                self.unseen.discard(name)
            except Failure as failure:
                if read(pid, "maps"):  # between fork and exec, or at its end, a process has another map, or none
                    self.failure = failure

    def finish(self):
        """The highest sum seen. Fails when a process that had to be seen was not, or not with the allocator."""
        self.ended.set()
        self.join()
        if self.unseen:
            raise self.failure or Failure(f"no process {', '.join(sorted(self.unseen))} was seen while it ran")
        return max((kib for _, kib in self.points), default=0)
