# SPDX-License-Identifier: MIT
"""From runs to medians, spreads, ratios and geometric means. Pure functions over results.Results; nothing is printed here."""

import collections
import functools
import math
import statistics

from suite.basics import OURS
from suite.workloads import SYNTHETIC, base_name, family

# Below this a peak is the process itself, and a ratio of what stands above the idle process is noise.
LARGE_KIB = 8 * 1024
# One page of difference must not become a ratio.
LEAST_KIB = 64
LEAST_SECONDS = 1e-4
# What counts as behind.
TIME_LIMIT, MEMORY_LIMIT = 1.05, 1.10
FLAT = 0.05
# Families in which memory over time, and what is left at the end, is what the workload is about.
TIMED_FAMILIES = ("memory", "programs", "replay")
GROUPS = (("synthetic", SYNTHETIC), ("real programs", ("programs",)), ("replayed traces", ("replay",)))

# ours, best: medians; peer: who is best; ratio: ours / best; spread: in parts of one; each: {name: its median / best}
Comparison = collections.namedtuple("Comparison", "workload figure ours best peer ratio spread each")


def cpu(run):
    return max(run["user_s"] + run["sys_s"], LEAST_SECONDS)


def peak(run):
    return max(run["peak_kib"], LEAST_KIB)


def base(run):
    """What is not the workload's. What a real program needs to start is its own."""
    return 0 if run["family"] == "programs" else run["idle_kib"]


def above_idle(run):
    return max(run["peak_kib"] - base(run), LEAST_KIB)


def end_above_idle(run):
    return max(run["end_kib"] - base(run), LEAST_KIB)


def mean_above_idle(run):
    return max(run["mean_kib"] - base(run), LEAST_KIB)


@functools.cache
def value(key):
    return lambda run: run.get(key, -1)


def rate(run):
    """Operations a second of the wall clock: threads run side by side."""
    return run.get("operations", 0) / max(run["wall_s"], LEAST_SECONDS)


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(math.log(v) for v in values) / len(values)) if values else math.nan


def spread(values):
    """Half the distance between the quartiles, relative to the median: one disturbed round does not hide a loss."""
    if len(values) < 2:
        return math.nan
    if statistics.median(values) == 0:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / statistics.median(values)


class Table:
    """Medians and spreads of one results.Results, each computed once."""

    def __init__(self, results):
        self.results = results
        self.names = results.allocators
        self.peers = [name for name in results.allocators if name != OURS]
        self.has_ours = OURS in results.allocators
        self.workloads = [w for w in results.workloads if base_name(w) == w]
        self.points = [w for w in results.workloads if base_name(w) != w]
        self.families = list(dict.fromkeys(family(w) for w in self.workloads))
        self.median = functools.cache(self.median)

    def ran(self, workload, name):
        return (workload, name) in self.results.runs and (workload, name) not in self.results.failed

    def all_ran(self, workload):
        return all(self.ran(workload, name) for name in self.names)

    def values(self, workload, name, figure):
        return [figure(run) for run in self.results.runs[workload, name]]

    def median(self, workload, name, figure):
        return statistics.median(self.values(workload, name, figure))

    def spread(self, workload, name, figure):
        return spread(self.values(workload, name, figure))

    def of_family(self, wanted):
        return [w for w in self.workloads if family(w) == wanted]

    def has(self, workload, key):
        """Whether a figure has a meaning there, under every allocator that ran."""
        return all(self.median(workload, name, value(key)) >= 0 for name in self.names if self.ran(workload, name))


# ---- one workload

def best_of(table, workload, figure, names):
    ran = [name for name in names if table.ran(workload, name)]
    return min(ran, key=lambda name: table.median(workload, name, figure)) if ran else None


def compare(table, workload, figure, label):
    """Ours beside the best peer, or None where either has nothing to show. Without ours, the worst peer stands in its place."""
    peer = best_of(table, workload, figure, table.peers)
    if not peer or (table.has_ours and not table.ran(workload, OURS)):
        return None
    middle = {name: table.median(workload, name, figure) for name in table.names if table.ran(workload, name)}
    subject = OURS if table.has_ours else max(middle, key=middle.get)
    widest = max(table.spread(workload, name, figure) for name in (subject, peer))
    return Comparison(workload, label, middle[subject], middle[peer], peer, middle[subject] / middle[peer], widest,
                      {name: x / middle[peer] for name, x in middle.items()})


def is_large(table, workload):
    """Whether ours or the smallest peer peaks at 8 MiB or more: what the memory figures are computed over."""
    smallest = best_of(table, workload, peak, table.peers)
    names = [name for name in (OURS, smallest) if name and table.ran(workload, name)]
    return any(table.median(workload, name, peak) >= LARGE_KIB for name in names)


def memory_figure(table, workload):
    if family(workload) == "programs":
        return above_idle, "peak"
    return (above_idle, "peak above idle") if is_large(table, workload) else (peak, "peak of the process")


def compare_memory(table, workload):
    return compare(table, workload, *memory_figure(table, workload))


def compare_time(table, workload):
    return compare(table, workload, cpu, "CPU time")


def worst_first(comparisons):
    return sorted((c for c in comparisons if c), key=lambda c: -c.ratio)


# ---- what is behind

def time_losses(table):
    found = (compare_time(table, w) for w in table.workloads + table.points)
    return [c for c in worst_first(found) if c.ratio > TIME_LIMIT]


def memory_comparisons(table, workload):
    """Every memory figure in which an allocator can be behind there."""
    yield compare_memory(table, workload)
    if not is_large(table, workload) or family(workload) not in TIMED_FAMILIES:
        return
    what = "" if family(workload) == "programs" else " above idle"
    if table.has(workload, "end_kib"):
        yield compare(table, workload, end_above_idle, "end" + what)
    if table.has(workload, "rss_live_mean"):
        yield compare(table, workload, value("rss_live_mean"), "mean over time / live")
    elif table.has(workload, "mean_kib"):
        yield compare(table, workload, mean_above_idle, "mean over time" + what)


def memory_losses(table):
    found = (c for w in table.workloads + table.points for c in memory_comparisons(table, w))
    return [c for c in worst_first(found) if c.ratio > MEMORY_LIMIT]


def is_beyond(comparison):
    """Of one round, nothing is known to be."""
    return comparison.ratio - 1 > comparison.spread


def flat_workloads(table):
    """Where all allocators are within 5 % in time and in memory: such a workload tells nothing."""
    def within(workload, figure):
        middle = [table.median(workload, name, figure) for name in table.names]
        return max(middle) <= (1 + FLAT) * min(middle)
    ran = [w for w in table.workloads if len(table.names) > 1 and table.all_ran(w)]
    return [w for w in ran if within(w, cpu) and within(w, memory_figure(table, w)[0])]


# ---- means over workloads

def group_workloads(table, families, large_only=False):
    """Those that every allocator ran: a mean over different sets compares nothing."""
    return [w for w in table.workloads if family(w) in families and table.all_ran(w) and (not large_only or is_large(table, w))]


def means(table, workloads, figure, base):
    """{name: geometric mean of its median / that of `base` (a name, or a function of the workload)}"""
    of = base if callable(base) else lambda workload: table.median(workload, base, figure)
    return {name: geometric_mean(table.median(w, name, figure) / of(w) for w in workloads) for name in table.names}


def least(table, figure, names):
    return lambda workload: min(table.median(workload, name, figure) for name in names)


def mean_columns(table):
    """(title, workloads, figure) of each group that has any."""
    for title, families in GROUPS:
        yield f"CPU time, {title}", group_workloads(table, families), cpu
    for title, families in GROUPS:
        yield f"memory, {title}", group_workloads(table, families, large_only=True), above_idle
    yield "memory, all", group_workloads(table, [f for _, families in GROUPS for f in families], large_only=True), above_idle


# ---- scaling

def scaling_subjects(table):
    return list(dict.fromkeys(base_name(w) for w in table.points))


def points_of(table, subject, name):
    """[(threads, operations a second, peak KiB)]"""
    return sorted((int(w.split("@")[1]), table.median(w, name, rate), table.median(w, name, peak))
                  for w in table.points if base_name(w) == subject and table.ran(w, name))
