# SPDX-License-Identifier: MIT
"""One measured run of one program: a command that ends by itself, or a server under load."""

import dataclasses
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from typing import Callable, Dict

from common import processes
from common.processes import Failure

PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Options of allocators: they are for the measured program, so they go there.
OPTIONS = re.compile(r"MALLOC_|ASHLAR_CONF|GLIBC_TUNABLES|MIMALLOC_|TCMALLOC_|TBB_MALLOC")


@dataclasses.dataclass(frozen=True)
class Program:
    name: str
    measure: Callable  # measure(run): the figures
    needs: Dict[str, str]  # a command, or alternatives `a|b`, or the path of a file: Debian's package
    prepare: Callable = None  # prepare(run): makes input data in run.inputs, the same bytes every time
    quick: bool = False
    own_allocator: str = ""  # how the file name of a malloc begins that the program links


def find(command):
    """The path of a command (or of the first of alternatives `a|b`), or None. Only the system's own: what it packages is measured."""
    words = command.split("|")
    return next((path for word in words if (path := word if os.path.isfile(word) else shutil.which(word, path=PATH))), None)


def missing(program):
    return sorted({package for command, package in program.needs.items() if not find(command)})


@dataclasses.dataclass
class Run:
    program: Program
    preload: str  # "" for glibc
    folder: str  # empty; for this run alone
    inputs: str  # what prepare() made
    quick: bool
    port: int  # 0: any that is free
    rest_s: float  # how long the program idles before its memory is read
    series: str = ""  # a file for memory over time
    allocator: str = ""  # the file that malloc came from, once seen
    points: list = dataclasses.field(default_factory=list)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def input(self, *parts):
        return os.path.join(self.inputs, *parts)

    def beside(self, name):
        """A file of this folder."""
        return os.path.join(HERE, "work", name)

    def choose(self, full, quick):
        return quick if self.quick else full

    def library(self):
        """What to preload: for glibc nothing, or glibc itself before the malloc that the program links."""
        return self.preload or (libc_path() if self.program.own_allocator else "")

    def check(self, pid):
        """That this process has the allocator."""
        self.allocator = processes.check_allocator(pid, self.library(), self.program.own_allocator)

    def free_port(self):
        """A port of the loopback that nobody listens on; the one asked for, or none."""
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", self.port))
            except OSError as error:
                raise Failure(f"port {self.port} of 127.0.0.1 cannot be had: {error.strerror}") from error
            return s.getsockname()[1]


SCAFFOLD = {"setpriv": "util-linux", "env": "coreutils"}
TIMED = {**SCAFFOLD, "time": "time"}


def libc_path():
    return next(file for file in processes.mapped_files(os.getpid()) if re.match(r"libc[.-]", os.path.basename(file)))


def scaffold_environment(run):
    return {"PATH": PATH, "HOME": run.folder, "TMPDIR": run.folder, "LANG": "C.UTF-8", "TZ": "UTC"}


def as_user(user):
    """The words before a command that make another user run it, who may read all: scratch folders and built libraries are often private."""
    if not user:
        return []
    may = [word for kind in ("--inh-caps", "--ambient-caps") for word in (kind, "+dac_read_search")]
    return ["setpriv", "--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--init-groups", *may]


def complaint(path):
    """The last line that speaks of an error, else the last one."""
    lines = [line.strip() for line in processes.text_of(path).splitlines() if line.strip()]
    lines = [line for line in lines if re.search(r"error|fatal|abort|cannot|failed|crash", line, re.I)] or lines
    return f": {lines[-1][:300]}" if lines else ""


def in_words(status):
    """A status as wait reports it (-N), or as `time` passes it on (128 + N)."""
    number = -status if status < 0 else status - 128
    return f"ended by {signal.Signals(number).name}" if 0 < number < 32 else f"exit status {status}"


class Started:
    """A measured process, not preloaded before it is itself: setpriv (it ends with us), [time (its peak memory)], env, the program."""

    def __init__(self, run, argv, timed=False, env=None, user=None, stdin=subprocess.DEVNULL, stdout=None, cwd=None):
        self.run, self.what = run, os.path.basename(argv[0])
        self.out, self.err, self.time = (run.path(f"measured.{kind}") for kind in ("out", "err", "time"))
        library = run.library()
        settings = {key: value for key, value in os.environ.items() if OPTIONS.match(key)}
        settings.update(env or {}, **({"LD_PRELOAD": library} if library else {}))
        # Another user's id clears the death signal, so it is set after that.
        words = as_user(user) + ["setpriv", "--pdeathsig", "KILL"]
        words += ["time", "-q", "-o", self.time, "-f", "%M", "setpriv", "--pdeathsig", "KILL"] if timed else []
        words += ["env", *(f"{key}={value}" for key, value in settings.items()), *argv]
        self.began = time.monotonic()
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.popen = subprocess.Popen(words, stdin=stdin, stdout=stdout or out, stderr=err, cwd=cwd or run.folder,
                                          env=scaffold_environment(run), start_new_session=True)
        self.timed = timed

    def pids(self, all_threads=True):
        return (processes.below if self.timed else processes.tree)(self.popen.pid, all_threads)

    def sampler(self, names=()):
        return processes.Sampler(self.pids, self.began, names, self.run.check)

    def fail(self, status):
        raise Failure(f"{self.what}: {in_words(status)}{complaint(self.err)}")

    def alive(self):
        status = self.popen.poll()
        if status is not None:
            self.fail(status)

    def wait(self, allowed=(0,)):
        """Waits for the end; what the process and all that it waited for have used."""
        _, status, used = os.wait4(self.popen.pid, 0)
        self.popen.returncode = os.waitstatus_to_exitcode(status)
        if self.popen.returncode not in allowed:
            self.fail(self.popen.returncode)
        self.complaints()
        return used

    def complaints(self):
        bad = re.search(r"^(ERROR: ld\.so: .*|ashlar: .*)$", processes.text_of(self.err), re.M)
        if bad:
            raise Failure(f"{self.what} printed {bad[0]}")


def rest(run, started):
    """Lets the program idle; its memory then."""
    time.sleep(run.rest_s)
    pids = started.pids()
    for pid in filter(processes.mapped_files, pids):  # a process that just ends maps nothing
        run.check(pid)
    return processes.resident_kib(pids)


def to_the_end(run, argv, stdin=None, env=None, user=None, names=(), rests=False, cwd=None):
    """A command from its start to its end; CPU, start-up and exit included, is its and its children's.

    rests: when the work is done it prints "done", and ends when its standard input does. names: the processes that do the work.
    """
    with open(stdin or os.devnull, "rb") as source:
        started = Started(run, argv, True, env, user, subprocess.PIPE if rests else source, subprocess.PIPE if rests else None, cwd)
    sampler, rested, end_kib = started.sampler(names), 0.0, -1
    if rests:
        rested, end_kib = until_done(run, started, rests)
    used = started.wait()
    wall = time.monotonic() - started.began - rested
    highest = sampler.finish()
    keep_points(run, sampler)
    largest = int(processes.text_of(started.time).split()[-1])
    # The sum over the tree is only sampled, the largest process's own mark is exact: the higher of two lower bounds.
    return {"wall_s": wall, "user_s": used.ru_utime, "sys_s": used.ru_stime, "peak_kib": max(highest, largest), "idle_kib": 0,
            "end_kib": end_kib, "minor_faults": used.ru_minflt, "major_faults": used.ru_majflt}


def keep_points(run, sampler):
    """A run of two commands has one line of time."""
    offset = run.points[-1][0] if run.points else 0
    run.points += [(offset + seconds, kib) for seconds, kib in sampler.points]


def until_done(run, started, commands):
    """Sends commands (where the program reads any), waits for "done", rests; (seconds that were no work, memory at rest)."""
    stdin, stdout = started.popen.stdin, started.popen.stdout
    try:
        if isinstance(commands, str):
            stdin.write(commands.encode())
            stdin.flush()
        line = stdout.readline()
        if line != b"done\n":
            stdin.close()
            started.wait()
            raise Failure(f"{started.what} printed {line!r} instead of done{complaint(started.err)}")
        began = time.monotonic()
        end_kib = rest(run, started)
        rested = time.monotonic() - began
        stdin.close()
    except BrokenPipeError:
        started.wait()
        raise
    return rested, end_kib


def until(condition, started, what, seconds=30):
    """Waits for a condition, but not for a dead process."""
    end = time.monotonic() + seconds
    while not condition():
        started.alive()
        if time.monotonic() > end:
            raise Failure(f"{started.what}: {what} not within {seconds} s{complaint(started.err)}")
        time.sleep(0.01)


def answers(address, family=socket.AF_INET):
    """A condition: somebody listens there."""
    def condition():
        with socket.socket(family) as s:
            try:
                s.connect(address)
                return True
            except OSError:
                return False
    return condition


def serve(run, argv, ready, load, warm=None, env=None, user=None, stop=signal.SIGTERM, status=(0,)):
    """A server under load: what its whole tree uses while load() runs. load() returns counters; requests/s are per second of CPU."""
    started = Started(run, argv, False, env, user)
    until(ready, started, "an answer")
    sampler = started.sampler()
    try:
        if warm:
            warm()
        started.alive()
        before_pids = started.pids()
        idle_kib, before, began = processes.resident_kib(before_pids), processes.usage(before_pids), time.monotonic()
        counters = load()
        wall = time.monotonic() - began
        settle(started, len(before_pids))
        after_pids = started.pids()
        figures = processes.used(before, processes.usage(after_pids))
        largest = processes.high_water_kib(after_pids)
        end_kib = rest(run, started)
    except (Failure, OSError):
        time.sleep(0.2)  # when a client fails because its server died, the server's death is the news
        started.alive()
        raise
    highest = sampler.finish()
    keep_points(run, sampler)
    started.alive()
    os.kill(started.popen.pid, stop)
    started.wait(status)
    cpu = figures["user_s"] + figures["sys_s"]
    return {"wall_s": wall, **figures, "peak_kib": max(highest, largest), "idle_kib": idle_kib, "end_kib": end_kib,
            **counters, "requests_per_cpu_s": counters["requests"] / max(cpu, 1e-9)}


def settle(started, count):
    """Processes that served a connection end a moment after it; their CPU counts when they have."""
    end = time.monotonic() + 1
    while len(started.pids()) > count and time.monotonic() < end:
        time.sleep(0.01)


def client(run, argv, user=None, stdin=None):
    """Runs a load generator, without the allocator; its output."""
    done = subprocess.run(as_user(user) + ["setpriv", "--pdeathsig", "KILL", *argv], capture_output=True, text=True, errors="replace",
                          env=scaffold_environment(run), cwd=run.folder, input=stdin or "")
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [""]
        raise Failure(f"{os.path.basename(argv[0])}: {in_words(done.returncode)}: {lines[-1][:300]}")
    return done.stdout
