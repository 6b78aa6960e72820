# SPDX-License-Identifier: MIT
"""Where the workloads come from, and how one of them is run with one allocator.

Each source knows its names, the command of one run, and how to read what that printed. A new source is one more row of SOURCES.
"""

import collections
import glob
import json
import lzma
import os
import re
import subprocess

from suite.allocators import ELSEWHERE, environment
from suite.basics import BENCH, build_folder, fail, note

# name: family/name, or family/name@THREADS for a point of a scaling curve.
Workload = collections.namedtuple("Workload", "name source subject threads")
Source = collections.namedtuple("Source", "find prepare command parse")

FIGURES = ("wall_s", "user_s", "sys_s", "peak_kib", "idle_kib", "end_kib", "minor_faults", "major_faults")
SYNTHETIC = ("micro", "contend", "memory", "start")
FAMILIES = (*SYNTHETIC, "programs", "replay")
SCALED_FAMILY = "contend"
QUICK_SCALED = ("contend/larson", "contend/xmalloc")
# What google-benchmark says about its own repetitions.
OWN_KEYS = {"family_index", "per_family_instance_index", "repetitions", "repetition_index", "threads", "iterations", "real_time",
            "cpu_time"}


class Odd(Exception):
    """A run printed something else than it should."""


def series_file(scratch):
    """Where a source that watches its memory itself writes lines `seconds KiB ...`."""
    return os.path.join(scratch, "series")


def family(workload):
    return workload.split("/")[0]


def base_name(workload):
    return workload.split("@")[0]


# ---- ashlar-bench

def listed(command, what):
    done = subprocess.run(command, capture_output=True, text=True, env=environment(""))
    if done.returncode != 0:
        fail(f"{what} does not list its workloads: {' '.join(command)}\n{done.stderr}".rstrip())
    return done.stdout.splitlines()


def bench_names(args, *more):
    lines = listed([args.program, "--benchmark_list_tests=true", *(["--quick"] if args.quick else []), *more], "ashlar-bench")
    return list(dict.fromkeys("/".join(line.split("/")[:2]) for line in lines if "/" in line))


def find_bench(args):
    return [Workload(name, "bench", name, args.threads) for name in bench_names(args)]


def bench_command(args, workload, path, scratch):
    command = [args.program, f"--benchmark_filter=^{re.escape(workload.subject)}(/|$)", "--benchmark_format=json"]
    command += ["--quick"] if args.quick else []
    command += [f"--threads={workload.threads}"] if workload.threads else []
    return command, environment(path)


def operations(run):
    """google-benchmark divides by CPU time; per second of what is the reader's choice."""
    unit = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}[run["time_unit"]]
    return run["items_per_second"] * run["cpu_time"] * unit * run["iterations"]


def parse_bench(text):
    result = json.loads(text)
    if len(result["benchmarks"]) != 1:
        raise Odd(f"{len(result['benchmarks'])} benchmarks ran instead of one")
    run = {key: value for key, value in result["benchmarks"][0].items()}
    if run.get("error_occurred"):
        raise Odd(run.get("error_message", "an error without a message"))
    if "operations" not in run and "items_per_second" in run:
        run["operations"] = operations(run)
    return {**{key: value for key, value in run.items() if key not in OWN_KEYS}, "allocator": result["context"]["allocator"]}


# ---- real programs

PROGRAMS = os.path.join(BENCH, "programs", "run")


def find_programs(args):
    if not os.path.isfile(PROGRAMS):
        args.missing.append(("programs", "there is no bench/programs/run"))
        return []
    found = []
    for line in listed([PROGRAMS, "--list", *(["--quick"] if args.quick else [])], "bench/programs/run"):
        name, _, state = line.partition("\t")
        if state == "ok":
            found.append(Workload(f"programs/{name}", "programs", name, None))
        else:
            args.missing.append((f"programs/{name}", state))
    return found


def prepare_programs(args, workloads, scratch):
    for workload in workloads:
        command = [PROGRAMS, workload.subject, "--prepare", "--scratch", scratch, *(["--quick"] if args.quick else [])]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(""))
        if done.returncode != 0:
            fail(f"{workload.name}: its data could not be made: {' '.join(command)}\n{done.stderr}".rstrip())


def programs_command(args, workload, path, scratch):
    command = [PROGRAMS, workload.subject, "--scratch", scratch, "--series", series_file(scratch)]
    command += ["--quick"] if args.quick else []
    return command + (["--preload", path] if path else []), environment("")


# ---- replayed traces

TRACES = os.path.join(BENCH, "trace", "traces")


def replayer():
    places = (os.path.join(build_folder(), "bench", *where, "ashlar-replay") for where in ((), ("trace",)))
    return next((path for path in places if os.path.isfile(path)), None)


def find_replay(args):
    if not replayer():
        args.missing.append(("replay", "there is no ashlar-replay; meson setup -Dbench=true builds it"))
        return []
    traces = sorted(glob.glob(os.path.join(TRACES, "*.trace.xz")))
    if not traces:
        args.missing.append(("replay", "there are no traces in bench/trace/traces"))
    if args.quick:
        traces = sorted(traces, key=os.path.getsize)[:1]
    return [Workload("replay/" + os.path.basename(path).removesuffix(".trace.xz"), "replay", path, None) for path in traces]


def unpacked(workload, scratch):
    return os.path.join(scratch, os.path.basename(workload.subject).removesuffix(".xz"))


def prepare_replay(args, workloads, scratch):
    for workload in workloads:
        with lzma.open(workload.subject) as packed, open(unpacked(workload, scratch), "wb") as file:
            file.write(packed.read())


def replay_command(args, workload, path, scratch):
    return [replayer(), "--json", "--series", series_file(scratch), unpacked(workload, scratch)], environment(path)


# ---- all of them

def nothing(args, workloads, scratch):
    pass


SOURCES = {
    "bench": Source(find_bench, nothing, bench_command, parse_bench),
    "programs": Source(find_programs, prepare_programs, programs_command, json.loads),
    "replay": Source(find_replay, prepare_replay, replay_command, json.loads),
}


def thread_counts(args):
    """1, 2, 4 ... and the last: what was asked for, or the CPUs."""
    if args.quick:
        return [1, 2]
    last = args.threads or len(os.sched_getaffinity(0))
    return sorted({1 << k for k in range(last.bit_length()) if 1 << k <= last} | {last})


def find_points(args):
    """The points of the scaling curves."""
    subjects = [name for name in bench_names(args, "--threaded") if family(name) == SCALED_FAMILY]
    if args.quick and not args.scaling:
        subjects = ([name for name in QUICK_SCALED if name in subjects] or subjects)[:len(QUICK_SCALED)]
    return [Workload(f"{name}@{n}", "bench", name, n) for name in subjects for n in thread_counts(args)]


def find_workloads(args):
    """All that --only lets through; what cannot run here is said and kept in args.missing."""
    args.missing = []
    found = [workload for source in SOURCES.values() for workload in source.find(args)] + find_points(args)
    chosen = [w for w in found if re.search(args.only, w.name)]
    args.missing = [f"{name}: {why}" for name, why in args.missing if not chosen or re.search(args.only, name)]
    for line in args.missing:
        note(f"without {line} {ELSEWHERE if 'install' in line else ''}".rstrip())
    return chosen


def prepare(args, workloads, scratch):
    for name, source in SOURCES.items():
        source.prepare(args, [w for w in workloads if w.source == name], scratch)
