# SPDX-License-Identifier: MIT
"""The report's plots, drawn by gnuplot as SVG and, where it can, as PNG."""

import functools
import math
import os
import shutil
import subprocess

from suite.basics import OURS
from suite.figures import (TIMED_FAMILIES, compare_memory, compare_time, is_large, least, mean_columns, means, points_of,
                           scaling_subjects, value, worst_first)
from suite.workloads import family

PACKAGE = "gnuplot-nox"
COLOURS = {OURS: "#c03028", "glibc": "#4060b0", "jemalloc": "#2f8050", "mimalloc": "#a06010", "tcmalloc": "#8050a0",
           "tcmalloc_minimal": "#c060a0", "tbbmalloc": "#208898"}
OTHER_COLOURS = ("#606060", "#909020", "#000000", "#b08080")
POINT_TYPES = (4, 6, 8, 12, 10, 14, 1, 2, 3)
LOSS, WIN = "#e8927c", "#8fc49a"
# A peer that costs more than this stands at the edge of the plot; the tables have its figure.
EDGE = 16
BUCKETS = 150
# For ranges that span less than the first number.
TICKS = ((4, (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 1.6, 2, 2.5, 3)),
         (20, (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.4, 2, 3, 5, 7, 10, 14)),
         (1e9, (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)))
HEAD = """reset
set terminal {terminal} size {width},{height} noenhanced font "sans-serif,{font}" background "white"
set output "{target}"
set grid lc rgb "#dddddd"
set border 3
set tics nomirror
"""


def colour(table, name):
    others = [n for n in table.names if n not in COLOURS]
    return COLOURS[name] if name in COLOURS else OTHER_COLOURS[others.index(name) % len(OTHER_COLOURS)]


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', "'") + '"'


def block(name, rows):
    return f"${name} << EOD\n" + "".join(" ".join(map(str, row)) + "\n" for row in rows) + "EOD\n"


# ---- ratios to the best peer: a bar for ours, a sign for each peer

def ratio_range(table, comparisons):
    ours = [c.ratio for c in comparisons] if table.has_ours else [1]
    peers = [min(x, EDGE) for c in comparisons for x in c.each.values()]
    return min(0.7, min(ours) / 1.15), max(1.5, max(ours) * 1.3, max(peers) * 1.15)


def width(comparison):
    """Of one round there is no spread."""
    return 0 if math.isnan(comparison.spread) else comparison.spread


def bars(rows):
    """From 1 to the ratio, losses apart from wins."""
    yield "losses", [(min(1, c.ratio), max(1, c.ratio), at) for at, c in rows if c.ratio > 1]
    yield "wins", [(min(1, c.ratio), max(1, c.ratio), at) for at, c in rows if c.ratio <= 1]


BARS = (f'$losses using 1:2:3:4:5:6 with boxxyerror fs solid noborder lc rgb "{LOSS}" title "{OURS}, behind", '
        f'$wins using 1:2:3:4:5:6 with boxxyerror fs solid noborder lc rgb "{WIN}" title "{OURS}, ahead"')
WHISKERS = '$spread using 1:2:3:4 with xerrorbars pt 7 ps 0.3 lw 1 lc rgb "#222222" title "spread"'


def bar_blocks(rows):
    text = block("spread", [(c.ratio, at, c.ratio / (1 + width(c)), c.ratio * (1 + width(c))) for at, c in rows])
    for name, spans in bars(rows):
        text += block(name, [(a, at, a, b, at - 0.32, at + 0.32) for a, b, at in spans] or [("NaN",) * 6])
    return text


def ratio_plot(table, comparisons, title):
    """(script, height)"""
    low, high = ratio_range(table, comparisons)
    labels = [f"{c.workload.split('/', 1)[-1]}  {c.ratio:.2f}" for c in reversed(comparisons)]
    rows = list(enumerate(reversed(comparisons)))
    text = ""
    for i, name in enumerate(table.peers):
        text += block(f"peer{i}", [(min(c.each[name], high), at) for at, c in rows if name in c.each] or [("NaN", "NaN")])
    # Few bars are not thick ones: they stand on top, as high as the legend needs it.
    lowest = min(-0.7, len(comparisons) - 0.5 - (len(table.peers) + 3))
    ticks = next(marks for span, marks in TICKS if high / low < span)
    ticks = ", ".join(f'"{t:g}" {t:g}' for t in ticks if low <= t <= high)
    text += (f"set title {quoted(title)}\nset logscale x\nset xrange [{low:.4g}:{high:.4g}]\n"
             f"set yrange [{lowest}:{len(comparisons) - 0.3}]\nset xtics ({ticks})\nset ytics ({', '.join(f'{quoted(label)} {at}' for at, label in enumerate(labels))})\n"
             "set key outside right top vertical Left reverse samplen 1.2 spacing 1.1\n"
             "set arrow from 1, graph 0 to 1, graph 1 nohead lc rgb '#222222' lw 1.5\n")
    signs = ", ".join(f"$peer{i} using 1:2 with points pt {POINT_TYPES[i % len(POINT_TYPES)]} ps 0.75 lw 1.8 "
                    f'lc rgb "{colour(table, name)}" title {quoted(name)}' for i, name in enumerate(table.peers))
    text += f"plot {signs}\n" if not table.has_ours else bar_blocks(rows) + f"plot {BARS}, {signs}, {WHISKERS}\n"
    return text, max(90 + 19 * len(comparisons), 100 + 20 * (len(table.peers) + 3))


# ---- lines over time and over threads

def thinned(points):
    """The lowest and the highest of each of 150 equal times: the files have every sample."""
    if len(points) <= 2 * BUCKETS:
        return points
    width = points[-1][0] / BUCKETS
    buckets = {}
    for point in points:
        buckets.setdefault(int(point[0] / width), []).append(point)
    kept = []
    for inside in buckets.values():
        kept += sorted({min(inside, key=lambda p: p[1]), max(inside, key=lambda p: p[1])})
    return kept + [points[-1]]


def typical(runs, rounds):
    """The round whose mean over time is the median one."""
    order = sorted(rounds, key=lambda r: runs[r]["mean_kib"] if r < len(runs) else 0)
    return rounds[order[len(order) // 2]]


def lines_plot(table, curves, style):
    """curves: {name: [(x, y)]}; ours last, so that it lies on top."""
    names = [name for name in table.names if name != OURS and name in curves] + [name for name in (OURS,) if name in curves]
    text = "".join(block(f"curve{i}", curves[name]) for i, name in enumerate(names))
    return text + "plot " + ", ".join(
        f'$curve{i} using 1:2 {style} lw {2.6 if name == OURS else 1.5} lc rgb "{colour(table, name)}" title {quoted(name)}'
        for i, name in enumerate(names)) + "\n"


def series_plot(table, series, workload):
    curves = {}
    for name in table.names:
        rounds = series.get((workload, name), {})
        if rounds and table.ran(workload, name):
            points = thinned(typical(table.results.runs[workload, name], rounds))
            # A trace is mapped while it is replayed.
            idle = table.median(workload, name, value("idle_kib")) if family(workload) == "replay" else 0
            curves[name] = [(f"{t:.3f}", f"{max(kib - idle, 0) / 1024:.2f}") for t, kib in points]
    if not curves:
        return None
    what = "MiB resident" + (" above idle" if family(workload) == "replay" else "")
    return (f"set title {quoted(workload)}\nset xlabel \"seconds\"\nset ylabel {quoted(what)}\nset xrange [0:*]\nset yrange [0:*]\n"
            "set key outside right top samplen 1.5\n" + lines_plot(table, curves, "with steps"))


def scaling_plot(table, subject):
    curves = {name: [(threads, f"{rate / 1e6:.5g}") for threads, rate, _ in points_of(table, subject, name)] for name in table.names}
    curves = {name: points for name, points in curves.items() if points}
    counts = sorted({threads for points in curves.values() for threads, _ in points})
    ticks = ", ".join(f'"{n}" {n}' for n in counts)
    return (f"set title {quoted(subject)}\nset xlabel \"threads\"\nset ylabel \"million operations a second\"\nset logscale x 2\n"
            f"set xrange [{counts[0] / 1.1}:{counts[-1] * 1.1}]\nset yrange [0:*]\nset xtics ({ticks})\n"
            "set key outside right top samplen 1.5\n"
            + lines_plot(table, curves, "with linespoints pt 7 ps 0.5"))


# ---- all workloads in one picture

def overview_points(table):
    """[(name, CPU, memory)]: geometric means relative to the best of each workload, ours included."""
    columns = list(mean_columns(table))
    timed = [w for title, workloads, _ in columns if title.startswith("CPU") for w in workloads]
    title, large, figure = columns[-1]
    if not timed or not large:
        return []
    time_means = means(table, timed, columns[0][2], least(table, columns[0][2], table.names))
    memory_means = means(table, large, figure, least(table, figure, table.names))
    return [(name, time_means[name], memory_means[name]) for name in table.names]


OVERVIEW_SIZE = (760, 480)
# Where a label may stand beside its point, in characters, and how gnuplot is told to align it.
PLACES = ((1, 0, "left"), (-1, 0, "right"), (1, 0.9, "left"), (1, -0.9, "left"), (-1, 0.9, "right"), (-1, -0.9, "right"))
CHARACTER = (7.5, 15)


def label_box(x, y, place, text):
    """(left, low, right, high) in pixels"""
    dx, dy, side = place
    start = x + dx * CHARACTER[0] - (len(text) * CHARACTER[0] if side == "right" else 0)
    return start, y + (dy - 0.5) * CHARACTER[1], start + len(text) * CHARACTER[0], y + (dy + 0.5) * CHARACTER[1]


def apart(a, b):
    return a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def placed_labels(points, x_range, y_range):
    """[(name, x, y, place)]: each label where it covers no other label and no point, if there is such a place."""
    def pixel(value, bounds, size):
        return (math.log(value) - math.log(bounds[0])) / (math.log(bounds[1]) - math.log(bounds[0])) * (size - 100)
    spots = {name: (pixel(x, x_range, OVERVIEW_SIZE[0]), pixel(y, y_range, OVERVIEW_SIZE[1])) for name, x, y in points}
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in spots.values()]
    for name, x, y in points:
        boxes = [label_box(*spots[name], place, name) for place in PLACES]
        free = [i for i, box in enumerate(boxes) if box[0] > 0 and all(apart(box, other) for other in taken)]
        best = free[0] if free else 0
        taken.append(boxes[best])
        yield name, x, y, PLACES[best]


def overview_plot(table):
    points = overview_points(table)
    if not points:
        return None
    x_range, y_range = ((0.95, 1.15 * max(p[axis] for p in points)) for axis in (1, 2))
    x_range = (x_range[0], x_range[1] * 1.3)
    text = ('set title "Geometric means over all workloads, relative to the best allocator of each: left and down is better"\n'
            'set xlabel "CPU time"\nset ylabel "memory (peak above idle, where the peak is 8 MiB or more)"\nset logscale xy\n'
            f"set xrange [{x_range[0]}:{x_range[1]:.3g}]\nset yrange [{y_range[0]}:{y_range[1]:.3g}]\n"
            'set xtics (1, 1.2, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64)\n'
            'set ytics (1, 1.1, 1.2, 1.3, 1.5, 1.75, 2, 2.5, 3, 4, 6, 8, 16)\nunset key\n')
    parts = []
    for i, (name, x, y, (dx, dy, side)) in enumerate(placed_labels(points, x_range, y_range)):
        text += block(f"point{i}", [(f"{x:.4f}", f"{y:.4f}", quoted(name))])
        parts += [f'$point{i} using 1:2 with points pt 7 ps {1.4 if name == OURS else 1} lc rgb "{colour(table, name)}"',
                  f'$point{i} using 1:2:3 with labels {side} offset {dx},{dy} tc rgb "{colour(table, name)}"']
    return text + "plot " + ", ".join(parts) + "\n"


# ---- drawing

def scripts(table, series):
    """(name, script, width, height) of every plot."""
    if overview := overview_plot(table):
        yield "overview", overview, *OVERVIEW_SIZE
    for kind, compare, title in (("cpu", compare_time, "CPU time"), ("memory", compare_memory, "Peak memory")):
        for wanted in table.families if len(table.names) > 1 else ():
            workloads = [w for w in table.of_family(wanted) if kind == "cpu" or is_large(table, w)]
            if rows := worst_first(compare(table, w) for w in workloads):
                how = "peer: left of 1 is better" if table.has_ours else "allocator; behind the name the worst"
                text, height = ratio_plot(table, rows, f"{title} of the {wanted} workloads, relative to the best {how}")
                yield f"{kind}-{wanted}", text, 900, height
    for workload in table.workloads:
        if family(workload) in TIMED_FAMILIES and (text := series_plot(table, series, workload)):
            yield "rss-" + workload.replace("/", "-"), text, 640, 300
    for subject in scaling_subjects(table):
        if any(points_of(table, subject, name) for name in table.names):
            yield "scaling-" + subject.replace("/", "-"), scaling_plot(table, subject), 640, 300


def gnuplot(text):
    return subprocess.run(["gnuplot"], input=text, text=True, capture_output=True)


@functools.cache
def makes_png():
    """Whether this gnuplot was built with cairo."""
    done = gnuplot('set terminal pngcairo\nset output "/dev/null"\nplot [0:1] x\n')
    return done.returncode == 0


def draw(table, series, folder):
    """Returns what stands in the way, "" when all plots are there."""
    if not shutil.which("gnuplot"):
        return f"there are no plots without gnuplot: install the package {PACKAGE} (or your distribution's gnuplot)"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    terminals = [("svg", "svg", 12)] + ([("pngcairo", "png", 10)] if makes_png() else [])
    for name, text, width, height in scripts(table, series):
        for terminal, suffix, font in terminals:
            target = os.path.join(folder, f"{name}.{suffix}")
            done = gnuplot(HEAD.format(terminal=terminal, width=width, height=height, font=font, target=target) + text + "unset output\n")
            if done.returncode != 0:
                return f"gnuplot could not draw {name}: {done.stderr.strip()}"
    return ""
