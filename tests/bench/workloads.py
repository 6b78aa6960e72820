#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The workloads of ashlar-bench. If one did not run under an allocator, did other work than under the next, or hid a failure, figures would be compared that
are not of the same thing.

    workloads.py ASHLAR_BENCH names|runs|threads|repeats|memory|compare|failures
"""

import collections
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

BENCH, WHAT = os.path.abspath(sys.argv[1]), sys.argv[2]
LIBRARY = os.path.realpath(os.environ["ASHLAR_LIB"])
KEYS = ("wall_s", "user_s", "sys_s", "peak_kib", "idle_kib", "end_kib", "minor_faults", "major_faults", "operations")
FAMILIES = ("micro", "contend", "memory", "start")
COMPARE = "/usr/share/benchmark/compare.py"
TINY = "--scale=0.00001"


def expect(condition, what):
    if not condition:
        sys.exit(f"workloads.py: {what}")


def run(words, library="", **more):
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"} | ({"LD_PRELOAD": library} if library else {})
    return subprocess.run([BENCH, *words], capture_output=True, text=True, env=env, timeout=100, **more)


def listed(*options):
    done = run([*options, "--benchmark_list_tests=true"])
    expect(done.returncode == 0, f"{options}: status {done.returncode}: {done.stderr}")
    return ["/".join(line.split("/")[:2]) for line in done.stdout.split()]


def results(words, library=""):
    done = run([*words, "--benchmark_format=json"], library)
    expect(done.returncode == 0, f"{words} over {library or 'glibc'}: status {done.returncode}: {done.stderr}")
    result = json.loads(done.stdout)
    allocator = result["context"]["allocator"]
    expect(allocator == LIBRARY if library else os.path.basename(allocator) == "libc.so.6", f"malloc came from {allocator}")
    return result["benchmarks"]


def checked(name, *options, library=""):
    """One workload in a process of its own; its figures, which must be all there and possible."""
    found = results([f"--benchmark_filter=^{re.escape(name)}(/|$)", *options], library)
    expect(len(found) == 1 and found[0]["name"].startswith(name + "/"), f"{name}: ran {[one['name'] for one in found]}")
    figures = found[0]
    for key in KEYS:
        expect(isinstance(figures.get(key), (int, float)), f"{name}: {key} is {figures.get(key)!r}")
    expect(figures["wall_s"] > 0 and figures["operations"] > 0, f"{name}: took no time or did nothing: {figures}")
    expect(figures["peak_kib"] > 500 and figures["idle_kib"] <= figures["peak_kib"], f"{name}: impossible memory: {figures}")
    expect((figures["end_kib"] == -1) == (figures["idle_kib"] == 0), f"{name}: memory of children and of its own mixed: {figures}")
    # The kernel counts the peak with some pages of delay.
    expect(figures["end_kib"] <= figures["peak_kib"] + 1024, f"{name}: more at the end than at the peak: {figures}")
    return figures


def names():
    """Each has a family and is there once; what is quick is also a full one; the quick ones are of all families."""
    every, quick, threaded = listed(), listed("--quick"), listed("--threaded")
    twice = [name for name, count in collections.Counter(every).items() if count > 1]
    expect(not twice, f"more than one workload is called {twice}")
    strange = [name for name in every if not re.fullmatch(rf"({'|'.join(FAMILIES)})/[a-z0-9_]+", name)]
    expect(not strange, f"names without a family: {strange}")
    expect(set(quick) < set(every) and set(threaded) < set(every), f"quick or threaded, but not in the list: {set(quick) | set(threaded) - set(every)}")
    expect({name.split("/")[0] for name in quick} == set(FAMILIES), f"quick workloads are of some families only: {quick}")
    expect(len(every) >= 60 and 20 <= len(quick) <= 30, f"{len(every)} workloads, {len(quick)} quick ones")


def runs():
    """Every workload runs over glibc and under the library, and does the same work."""
    for name in listed():
        over_glibc, preloaded = checked(name, TINY), checked(name, TINY, library=LIBRARY)
        expect(over_glibc["operations"] == preloaded["operations"], f"{name}: other work under another allocator")


def threads():
    """Every workload that takes threads runs with one and with more of them."""
    for name in listed("--threaded"):
        for count in (1, 3, 4):
            figures = checked(name, TINY, f"--threads={count}", library=LIBRARY)
            expect(figures["workload_threads"] == count, f"{name}: {figures['workload_threads']} threads instead of {count}")


def repeats():
    """google-benchmark's repetitions, and all workloads in one process: nothing is left from the run before."""
    found = results([TINY, "--benchmark_repetitions=2", "--benchmark_filter=-huge|idle_threads"], LIBRARY)
    plain = [one for one in found if one["run_type"] == "iteration"]
    expect(len(plain) == 2 * (len(listed()) - len([n for n in listed() if re.search("huge|idle_threads", n)])), f"{len(plain)} runs")
    for first, second in zip(plain[::2], plain[1::2]):
        expect(first["name"] == second["name"] and first["operations"] == second["operations"], f"{first['name']}: the second run did other work")


def memory():
    """What lives is written in full, so that at least that much is resident; pauses are no part of the wall time."""
    for name in ("memory/growing", "memory/burst_idle", "memory/sawtooth", "memory/soak"):
        figures = checked(name, "--quick", library=LIBRARY)
        for key in ("rss_live_mean", "rss_live_end"):
            expect(0.95 < figures[key] < 50, f"{name}: {key} is {figures[key]}")
    began = time.monotonic()
    resting = checked("memory/growing", "--quick")
    pauses = resting["iterations"] * 0.003
    expect(time.monotonic() - began >= resting["wall_s"] + pauses, f"pauses are in the wall time: {resting}")
    small = checked("start/small_program", "--quick")
    expect(small["user_s"] + small["sys_s"] > 0 and small["minor_faults"] > small["operations"] * 20, f"the work of children is not counted: {small}")


def compare():
    """google-benchmark's compare.py reads two runs of one workload."""
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, name) for name in ("a.json", "b.json")]
        for file, library in zip(files, ("", LIBRARY)):
            done = run(["--quick", "--benchmark_filter=^micro/lifo_64/", f"--benchmark_out={file}", "--benchmark_out_format=json"], library)
            expect(done.returncode == 0, f"status {done.returncode}: {done.stderr}")
        expect(os.path.exists(COMPARE), f"no {COMPARE}: install libbenchmark-tools")
        done = subprocess.run(["/usr/bin/python3", COMPARE, "--no-color", "benchmarks", *files], capture_output=True, text=True, cwd=folder)
    expect(done.returncode == 0, f"compare.py, which needs python3-scipy: status {done.returncode}: {done.stderr}")
    expect(re.search(r"^micro/lifo_64/\S+ +[-+][\d.]+ +[-+][\d.]+", done.stdout, re.M), f"compare.py printed {done.stdout}")


def told(words, *parts, **more):
    done = run(words, **more)
    expect(done.returncode == 1, f"{words}: status {done.returncode}: {done.stderr}")
    expect(done.stderr.count("\n") == 1 and all(part in done.stderr for part in parts), f"{words}: {done.stderr!r}")


def little_address_space():
    resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))


def failures():
    """A thread that cannot start, a program that is not there and an option that makes no sense end the program with one line."""
    told(["--benchmark_filter=^contend/false_sharing_active/", "--benchmark_format=json", TINY, "--threads=1000"], "cannot start a thread", preexec_fn=little_address_space)
    told(["--scale=0"], "--scale")
    told(["--threads=2000"], "--threads")
    alone = os.path.join(os.environ["ASHLAR_BUILD"], "tests", "bench", "ashlar-bench-alone")
    os.makedirs(os.path.dirname(alone), exist_ok=True)
    with open(BENCH, "rb") as source, open(alone, "wb") as copy:
        copy.write(source.read())
    os.chmod(alone, 0o755)
    done = subprocess.run([alone, "--benchmark_filter=^start/small", "--benchmark_format=json", TINY], capture_output=True, text=True)
    os.remove(alone)
    expect(done.returncode == 1 and "ashlar-bench-child" in done.stderr and done.stderr.count("\n") == 1, f"without its child: {done.stderr!r}")


{"names": names, "runs": runs, "threads": threads, "repeats": repeats, "memory": memory, "compare": compare, "failures": failures}[WHAT]()
