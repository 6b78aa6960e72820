# SPDX-License-Identifier: MIT
"""Runs every workload with every allocator, in turn, and writes each run down at once."""

import os
import shlex
import signal
import sys
import time

from suite import machine, process, results
from suite.allocators import check_allocator
from suite.basics import fail
from suite.workloads import FIGURES, SOURCES, Odd, series_file

RUN_TIMEOUT = 600
# A mean over less than ten samples is that of a process that begins and ends.
LEAST_MEAN_S = 10 * process.INTERVAL
LAST_WORDS = 2000


class Failed(Exception):
    """A run did not do its work; the message ends with the command that repeats it."""


# ---- order and progress

def turns(rounds, workloads, allocators):
    """Within a workload the allocators follow each other; each round begins with another of them."""
    names = list(allocators)
    for r in range(rounds):
        first = r % len(names)
        for workload in workloads:
            for name in names[first:] + names[:first]:
                yield r, workload, name


class Progress:
    """A line that is written over on a terminal, a line each elsewhere."""

    def __init__(self, total, done=0):
        self.total, self.done, self.before, self.start = total, done, done, time.monotonic()

    def evenly(self):
        ran = self.done - self.before
        return (time.monotonic() - self.start) / ran * (self.total - self.done) if ran else 0

    def step(self, what, left=None):
        left = self.evenly() if left is None else left
        minutes = f", {int(left) // 60}:{int(left) % 60:02d} left" if left else ""
        line = f"[{self.done + 1}/{self.total}{minutes}] {what}"
        print("\r\033[K" + line if sys.stderr.isatty() else line, end="" if sys.stderr.isatty() else "\n",
              file=sys.stderr, flush=True)
        self.done += 1

    def end(self):
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr)


class Pace:
    """How long the turns to come will take, from how long each workload took so far."""

    def __init__(self):
        self.took = {}

    def note(self, workload, name, seconds):
        self.took[workload, name] = seconds

    def left(self, to_come):
        if not self.took:
            return 0
        by_workload = {}
        for (workload, _), seconds in self.took.items():
            by_workload.setdefault(workload, []).append(seconds)
        means = {workload: sum(list_) / len(list_) for workload, list_ in by_workload.items()}
        usual = sum(means.values()) / len(means)
        return sum(self.took.get((workload, name), means.get(workload, usual)) for _, workload, name in to_come)


# ---- one run

def repeat_command(command, env):
    preload = f"LD_PRELOAD={env['LD_PRELOAD']} " if env.get("LD_PRELOAD") else ""
    return preload + shlex.join(command)


def how_it_ended(status):
    return f"by {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def read_series(path):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        points = [tuple(map(float, line.split()[:2])) for line in file]
    os.remove(path)
    return [(seconds, int(kib)) for seconds, kib in points]


def mean_kib(series):
    """Resident memory, mean over the time of the run; -1 where it was too short to say."""
    if not series or series[-1][0] - series[0][0] < LEAST_MEAN_S:
        return -1
    spans = [(later[0] - point[0], point[1]) for point, later in zip(series, series[1:])]
    return sum(seconds * kib for seconds, kib in spans) / sum(seconds for seconds, _ in spans)


def judge(workload, done):
    """The figures that the run printed."""
    if done.status != 0:
        raise Odd(f"failed, {how_it_ended(done.status)}")
    try:
        run = SOURCES[workload.source].parse(done.stdout)
    except (ValueError, KeyError) as error:
        raise Odd(f"printed something else than its figures ({error!r})") from error
    for key in (*FIGURES, "allocator"):
        if key not in run:
            raise Odd(f"printed no {key}")
    return run


def run_once(args, name, path, workload):
    """(figures, series) of one process with one allocator and one workload."""
    command, env = SOURCES[workload.source].command(args, workload, path, args.scratch)
    try:
        done = process.run(command, env, RUN_TIMEOUT)
        run = judge(workload, done)
    except process.TooLong:
        raise Failed(f"{workload.name} with {name} took longer than {RUN_TIMEOUT} s: {repeat_command(command, env)}") from None
    except Odd as odd:
        raise Failed(f"{workload.name} with {name} {odd}: {repeat_command(command, env)}\n{done.stderr[-LAST_WORDS:]}".rstrip()) from None
    check_allocator(f"{workload.name} with {name}", path, run["allocator"])
    series = read_series(series_file(args.scratch)) or done.series
    return {**run, "mean_kib": mean_kib(series)}, series


# ---- all runs

def measure(args, allocators, workloads, header, before):
    """before: the results that --resume goes on with, or None."""
    by_name, pace = {w.name: w for w in workloads}, Pace()
    plan = list(turns(args.rounds, by_name, allocators))
    to_come = [turn for turn in plan if not before or turn not in before.done]
    progress = Progress(len(plan), len(plan) - len(to_come))
    for (workload, name), runs in (before.runs if before else {}).items():
        pace.note(workload, name, runs[-1]["wall_s"])
    writer = results.Writer(args.out, header, fresh=not before)
    try:
        for i, turn in enumerate(to_come):
            progress.step(f"{turn[1]} {turn[2]}", pace.left(to_come[i:]))
            began = time.monotonic()
            one_turn(args, allocators, by_name, turn, writer)
            pace.note(*turn[1:], time.monotonic() - began)
        if to_come:
            writer.end(machine.last_lines())
    finally:
        progress.end()
        writer.close()


def one_turn(args, allocators, by_name, turn, writer):
    _, workload, name = turn
    try:
        writer.add(turn, *run_once(args, name, allocators[name], by_name[workload]))
    except Failed as failed:
        if not args.keep_going:
            fail(f"{failed}\nbench/run: stopped; the runs so far are in {args.out}; --resume goes on, --keep-going passes over failures")
        writer.add_failed(turn, str(failed))
