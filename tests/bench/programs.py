#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""bench/programs/run itself. If it fails, a figure in a report may be that of another allocator, of a program that crashed, or of nothing.

    programs.py quick|all|over_glibc|failures|leftovers|missing|accounting [LIBRARY THAT CRASHES]
"""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
SOURCE = os.environ["ASHLAR_SRC"]
LIBRARY = os.path.realpath(os.environ["ASHLAR_LIB"])
RUN = os.path.join(SOURCE, "bench", "programs", "run")
KEYS = ("wall_s", "user_s", "sys_s", "peak_kib", "idle_kib", "end_kib", "minor_faults", "major_faults")


def run(*words, scratch=None, crash_after=20000):
    env = {**os.environ, "MALLOC_CRASH_AFTER": str(crash_after), **({"TMPDIR": scratch} if scratch else {})}
    return subprocess.run(["/usr/bin/python3", RUN, *words], capture_output=True, text=True, env=env, timeout=300)


def expect(condition, what):
    if not condition:
        sys.exit(f"programs.py: {what}")


def listed(*options):
    done = run("--list", *options)
    expect(done.returncode == 0, f"--list: status {done.returncode}: {done.stderr}")
    return dict(line.split("\t") for line in done.stdout.splitlines())


def good_run(name, *options):
    """Runs one program; its figures, each of which must be there and make sense."""
    done = run(name, *options)
    expect(done.returncode == 0, f"{name}: status {done.returncode}: {done.stderr}")
    figures = json.loads(done.stdout)
    print(name, done.stdout.strip())
    for key in KEYS:
        expect(isinstance(figures[key], (int, float)), f"{name}: {key} is {figures[key]!r}")
    expect(figures["user_s"] + figures["sys_s"] > 0, f"{name} used no CPU")
    expect(figures["wall_s"] > 0 and figures["minor_faults"] > 0, f"{name} took no time, or no page")
    expect(figures["peak_kib"] > 500, f"{name}: a peak of {figures['peak_kib']} KiB")
    end, peak = figures["end_kib"], figures["peak_kib"]
    expect(end == -1 or 0 < end <= peak, f"{name}: {end} KiB at rest, {peak} at the peak")
    return figures


def run_all(*options):
    for name, state in listed(*options).items():
        expect(state == "ok", f"{name}: {state}")
        with tempfile.NamedTemporaryFile() as series:
            figures = good_run(name, *options, "--preload", LIBRARY, "--series", series.name)
            points = [line.split() for line in series.read().decode().splitlines()]
        expect(figures["allocator"] == LIBRARY, f"{name}: malloc came from {figures['allocator']}")
        expect(len(points) >= 3, f"{name}: {len(points)} points of memory over time")
        expect(max(int(kib) for _, kib in points) <= figures["peak_kib"], f"{name}: more memory over time than its peak")
        expect(all(float(a[0]) < float(b[0]) for a, b in zip(points, points[1:])), f"{name}: time does not go on")


def quick(_):
    """every quick program runs under the library"""
    run_all("--quick")


def every(_):
    run_all()


def over_glibc(_):
    """Without a library malloc is glibc's, also in redis-server, which links jemalloc."""
    for name in ("lua", "redis"):
        figures = good_run(name, "--quick")
        expect(os.path.basename(figures["allocator"]).startswith("libc"), f"{name}: malloc came from {figures['allocator']}")
    env = {**os.environ, "LD_PRELOAD": LIBRARY}
    done = subprocess.run(["/usr/bin/python3", RUN, "lua", "--quick"], capture_output=True, text=True, env=env)
    expect(done.returncode == 0 and "/libc" in json.loads(done.stdout)["allocator"], f"the runner's own preload: {done.stdout} {done.stderr}")


def told(words, *parts, crash_after=20000):
    """That this fails with status 1, in one line that has these parts, and without a figure."""
    done = run(*words, crash_after=crash_after)
    print(" ".join(words), "->", done.stderr.strip())
    expect(done.returncode == 1 and not done.stdout, f"{words}: status {done.returncode}, printed {done.stdout!r}")
    expect(done.stderr.count("\n") == 1, f"{words}: not one line: {done.stderr!r}")
    expect(all(part in done.stderr for part in ("bench/programs/run: ", *parts)), f"{words}: {done.stderr!r}")


def failures(crashing):
    with tempfile.NamedTemporaryFile(suffix=".so") as no_library, socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        no_library.write(b"no library\n")
        no_library.flush()
        told(["lua", "--quick", "--preload", crashing], "lua", "ended by SIGABRT", "this library crashes")
        for calls in (1000, 60000):  # at its start, and under load; redis-server has a handler for SIGABRT, which crashes too
            told(["redis", "--quick", "--preload", crashing], "redis-server", "ended by SIG", "this library crashes", crash_after=calls)
        told(["gcc", "--quick", "--preload", crashing], "gcc: g++: exit status", "internal compiler error: Aborted")
        told(["lua", "--quick", "--preload", "/nowhere/lib.so"], "no library /nowhere/lib.so")
        told(["lua", "--quick", "--preload", no_library.name], no_library.name, "not preloaded")
        told(["gcc", "--quick", "--preload", no_library.name], no_library.name)
        told(["redis", "--quick", "--port", port], "redis", port, "Address already in use")
        told(["emacs", "--quick"], "no program emacs")


def processes_in(folder):
    """By their working directory: redis-server rewrites its command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd").startswith(folder):
                found.append(int(pid))
        except OSError:
            pass
    return found


def leftovers(crashing):
    """A run leaves no file and no process behind, also when a program crashed, and no process when the runner itself is killed."""
    with tempfile.TemporaryDirectory() as folder:
        for words in (["redis", "--quick"], ["redis", "--quick", "--preload", crashing]):
            run(*words, scratch=folder)
            expect(not os.listdir(folder), f"{words} left {os.listdir(folder)}")
            expect(not processes_in(folder), f"{words} left processes")
        runner = subprocess.Popen(["/usr/bin/python3", RUN, "redis"], env={**os.environ, "TMPDIR": folder}, stdout=subprocess.DEVNULL)
        until(lambda: processes_in(folder), "redis-server did not start")
        server = processes_in(folder)[0]
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        until(lambda: server not in processes_in(folder), "redis-server outlived a runner that was killed")


def until(condition, what):
    end = time.monotonic() + 20
    while not condition():
        expect(time.monotonic() < end, what)
        time.sleep(0.02)


def missing(_):
    """What is not installed is named with its package, in --list as in a run."""
    sys.path.insert(0, os.path.join(SOURCE, "bench", "programs"))
    runs = importlib.import_module("common.runs")
    needs = {"no-such-command": "package-b", "/no/such/file": "package-a", "sh": "dash", "no-such|sh": "package-c", "no-such|neither": "package-d"}
    found = runs.missing(runs.Program("x", None, needs))
    expect(found == ["package-a", "package-b", "package-d"], f"missing: {found}")
    full, quick_ones = listed(), listed("--quick")
    expect(4 <= len(quick_ones) <= 6 and set(quick_ones) < set(full), f"quick programs: {quick_ones}")
    expect(all(state == "ok" or state.startswith("install ") for state in full.values()), f"--list: {full}")


# A server whose work is done by a thread that ends, a child that ends, and a child that stays; all of them map the same 64 MiB.
FORKING_SERVER = """
import mmap, os, sys, threading, time
def burn(clock):
    end = clock() + 0.3
    while clock() < end:
        pass
shared = mmap.mmap(-1, 64 << 20)
shared.write(bytes(64 << 20))
print("ready", flush=True)
sys.stdin.readline()
thread = threading.Thread(target=burn, args=(time.thread_time,))
thread.start()
thread.join()
ends = os.fork()
if not ends:
    burn(time.process_time)
    os._exit(0)
os.waitpid(ends, 0)
done, say = os.pipe()
if not os.fork():
    burn(time.process_time)
    shared[:] = bytes(64 << 20)
    own = bytes(range(256)) * (16 << 12)
    os.write(say, b".")
    time.sleep(60)
os.read(done, 1)
print("done", flush=True)
time.sleep(60)
"""


def accounting(_):
    """CPU and memory of a tree: what ended counts as what lives, and what is shared counts once."""
    sys.path.insert(0, os.path.join(SOURCE, "bench", "programs"))
    processes = importlib.import_module("common.processes")
    processes.become_reaper()
    argv = ["/usr/bin/python3", "-c", FORKING_SERVER]
    server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        expect(server.stdout.readline() == "ready\n", "the server did not start")
        before, idle = processes.usage(processes.tree(server.pid)), processes.resident_kib(processes.tree(server.pid))
        server.stdin.write("go\n")
        server.stdin.flush()
        expect(server.stdout.readline() == "done\n", "the server did not work")
        pids = processes.tree(server.pid)
        used, grown = processes.used(before, processes.usage(pids)), processes.resident_kib(pids) - idle
    finally:
        processes.end_all()
    cpu = used["user_s"] + used["sys_s"]
    print(f"{cpu:.3f} s of CPU, {grown} KiB grown, {len(pids)} processes")
    expect(len(pids) == 2, f"{len(pids)} processes")
    # Three times 0.3 s, two forks, 128 MiB filled with zeros.
    expect(0.9 <= cpu < 1.2, f"{cpu:.3f} s of CPU are not three times 0.3")
    expect(used["minor_faults"] > 4096, f"{used['minor_faults']} page faults: those of the child that fills 16 MiB are missing")
    # 16 MiB that the child made, and what each of the two pythons has for itself.
    expect(16 << 10 <= grown < 40 << 10, f"{grown} KiB: shared memory was counted twice, or private memory was not")


TESTS = {"quick": quick, "all": every, "over_glibc": over_glibc, "failures": failures, "leftovers": leftovers, "missing": missing,
         "accounting": accounting}
TESTS[sys.argv[1]](sys.argv[2] if len(sys.argv) > 2 else None)
