#!/usr/bin/python3 -SE
# SPDX-License-Identifier: MIT
"""Stands for ashlar-bench, bench/programs/run or ashlar-replay, by the name that it is called: prints the figures that a plan tells.

FAKE_PLAN names a JSON file:
{"workloads": {NAME: {FIGURE: value, "by": {ALLOCATOR: {FIGURE: value}}}}, "programs": {NAME: state}, "log": FILE}.
An allocator is called after its file: liba.so.1 is `a`. What it reports as loaded is what the kernel mapped.
"""
import json
import os
import re
import sys
import time

FIGURES = {"wall_s": 0.2, "user_s": 0.1, "sys_s": 0.0, "peak_kib": 20000, "idle_kib": 4000, "end_kib": 5000, "minor_faults": 7,
           "major_faults": 0}


def option(name, otherwise=""):
    """--name=VALUE or --name VALUE"""
    for word, following in zip(sys.argv, sys.argv[1:] + [""]):
        if word == name:
            return following
        if word.startswith(name + "="):
            return word.partition("=")[2]
    return otherwise


def loaded(preload):
    """The file as the kernel names it, if it is mapped; else the C library."""
    with open("/proc/self/maps") as maps:
        files = {line.split()[-1] for line in maps if "/" in line}
    wanted = os.path.realpath(preload) if preload else ""
    return wanted if wanted in files else next(file for file in files if os.path.basename(file).startswith("libc."))


def allocator_name(preload):
    return re.sub(r"^lib|\.so.*$", "", os.path.basename(preload)) or "glibc"


def act(workload, name):
    """The bad behaviour that the plan wants of this run, if any."""
    if name in workload.get("fail", ()):
        sys.exit(f"fake: cannot work with {name}")
    if name in workload.get("die", ()):
        os.abort()
    if name in workload.get("silent", ()):
        sys.exit(0)
    if workload.get("wait") == name:
        # Until the test has gone on without this run.
        time.sleep(60)


def figures(plan, workload, name):
    count = 1
    if plan["log"]:
        with open(plan["log"], "a+") as log:
            log.write(f"{workload} {name} {' '.join(sys.argv[1:])}\n")
            log.seek(0)
            count = sum(line.startswith(f"{workload} {name} ") for line in log)
    told = plan["workloads"][workload]
    act(told, name)
    run = {**FIGURES, **{key: value for key, value in told.items() if key in FIGURES}, **told.get("counters", {})}
    run.update(told.get("by", {}).get(name, {}))
    # Every round takes a little longer, so that a median is not just any run.
    run["user_s"] *= 1 + told.get("slower", 0.01) * (count - 1)
    return run


def bench(plan):
    names = [name for name, told in plan["workloads"].items() if name.split("/")[0] not in ("programs", "replay")]
    names = [name for name in names if "--threaded" not in sys.argv or plan["workloads"][name].get("threaded")]
    if option("--benchmark_list_tests"):
        print("\n".join(f"{name}/iterations:4/process_time" for name in names))
        return
    wanted, preload = option("--benchmark_filter"), os.environ.get("LD_PRELOAD", "")
    ran = [{"name": f"{name}/iterations:4/process_time", "iterations": 4, "cpu_time": 25.0, "time_unit": "ms", "items_per_second": 1e6,
            **figures(plan, name, allocator_name(preload))} for name in names if re.search(wanted, f"{name}/iterations:4")]
    print(json.dumps({"context": {"allocator": loaded(preload)}, "benchmarks": ran}))


def programs(plan):
    if "--list" in sys.argv:
        print("\n".join(f"{name}\t{state}" for name, state in plan["programs"].items()))
        return
    name, preload = sys.argv[1], option("--preload")
    data = os.path.join(option("--scratch"), name)
    if "--prepare" in sys.argv:
        with open(data, "w"):
            return
    if not os.path.exists(data):
        sys.exit("fake: nothing was prepared")
    with open(option("--series"), "w") as series:
        series.write("0.000 1000\n0.100 3000\n0.200 3000\n")
    print(json.dumps({"allocator": os.path.realpath(preload) if preload else "/lib/libc.so.6",
                      **figures(plan, f"programs/{name}", allocator_name(preload))}))


def replay(plan):
    preload = os.environ.get("LD_PRELOAD", "")
    with open(sys.argv[-1]) as trace:
        name = trace.read().strip()
    print(json.dumps({"allocator": loaded(preload), **figures(plan, f"replay/{name}", allocator_name(preload))}))


def main():
    with open(os.environ["FAKE_PLAN"]) as file:
        plan = json.load(file)
    {"ashlar-bench": bench, "run": programs, "ashlar-replay": replay}[os.path.basename(sys.argv[0])](plan)


if __name__ == "__main__":
    main()
