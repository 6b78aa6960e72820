# SPDX-License-Identifier: MIT
"""The report, made of results.csv and series.csv alone: report.md, report.html, plots/, medians.csv. Losses come first, and all of them."""

import csv
import math
import os
import statistics

from suite import document, plots, results
from suite.basics import OURS, write
from suite.figures import (FLAT, LARGE_KIB, MEMORY_LIMIT, TIME_LIMIT, Table, best_of, compare_memory, compare_time, cpu, flat_workloads,
                           is_beyond, least, mean_columns, means, memory_losses, peak, points_of, scaling_subjects, spread, time_losses,
                           value, worst_first)
from suite.machine import busy_note
from suite.workloads import FIGURES

# The same work with malloc, and with an allocator of the program's own.
OWN_ALLOCATORS = (
    ("programs/python_malloc", "programs/python"), ("programs/trafficserver_no_freelist", "programs/trafficserver"),
    ("micro/pool_malloc_64", "micro/pool_list_64"), ("micro/pool_malloc_1k", "micro/pool_list_1k"),
    ("contend/pool_malloc_handed_64", "contend/pool_list_handed_64"),
)


def ratio_cell(ratio, limit=1.0):
    """Marked from a twentieth on: what is nearer to 1 is neither."""
    text = f"{ratio:.2f}" if ratio < 100 else f"{ratio:.0f}"
    return (text, "loss") if ratio > max(limit, TIME_LIMIT) else (text, "win") if ratio < 1 / TIME_LIMIT else text


def per_cent(part):
    return "-" if math.isnan(part) else f"{100 * part:.0f}"


def amount(figure, number):
    if figure.endswith("/ live"):
        return f"{number:.2f} x live"
    return f"{number:.4g} s" if figure == "CPU time" else f"{number / 1024:.2f} MiB"


def number_of(count, one, many=None):
    return f"{count} {one if count == 1 else many or one + 's'}"


# ---- what comes first

def opening(table):
    header = dict(line.split(": ", 1) for line in table.results.header)
    yield "title", "Allocators compared"
    size = f"{number_of(len(table.workloads), 'workload')}, {number_of(int(header.get('rounds', 0)), 'round')}"
    yield "text", (f"{', '.join(table.names)}: {size} in turn, on {header.get('machine', '?')}, {header.get('date', '?')[:10]}. Figures "
                   "are medians; spread is half the distance between the quartiles of the rounds, in per cent of the median. Every run is in "
                   "`results.csv`.")
    if busy := busy_note(table.results.header):
        yield "note", busy
    planned = int(header.get("rounds", 0)) * len(table.names) * len(table.results.workloads)
    if len(table.results.done) < planned:
        yield "note", f"Not finished: {len(table.results.done)} of {planned} runs so far."


def failures(table):
    if not table.results.failed:
        return
    yield "section", "Failed"
    yield "text", "These runs did not do their work. Their workloads are in no mean, and their allocators in no comparison there."
    yield "table", ["workload", "allocator", "why"], [[workload, name, (why.split("\n")[0], "loss")]
                                                      for (workload, name), why in table.results.failed.items()]


def summary_rows(table, columns):
    """Ours relative to each peer, to the best single one, and to the best of each workload."""
    base = {peer: [means(table, workloads, figure, peer).get(OURS) for _, workloads, figure in columns] for peer in table.peers}
    for peer, cells in base.items():
        yield [peer, *map(ratio_cell, cells)]
    best = [max(table.peers, key=lambda peer: base[peer][i]) for i in range(len(columns))]
    yield ["**the best single peer**", *(with_name(ratio_cell(base[peer][i]), peer) for i, peer in enumerate(best))]
    yield ["**the best peer of each workload**", *(ratio_cell(means(table, workloads, figure, least(table, figure, table.peers))[OURS])
                                                   for _, workloads, figure in columns)]


def with_name(cell, peer):
    return (f"{cell[0]} ({peer})", cell[1]) if isinstance(cell, tuple) else f"{cell} ({peer})"


def count_line(table):
    timed = [c for c in (compare_time(table, w) for w in table.workloads) if c]
    behind = [c for c in timed if c.ratio > TIME_LIMIT]
    sized = [c for c in (compare_memory(table, w) for w in table.workloads) if c]
    larger = [c for c in sized if c.ratio > MEMORY_LIMIT]
    return (f"Against the best peer of each workload, {OURS} takes more CPU time in **{sum(c.ratio > 1 for c in timed)} of {len(timed)}** "
            f"workloads (more than {per_cent(TIME_LIMIT - 1)} % more in {len(behind)}, beyond the spread in {sum(map(is_beyond, behind))}) "
            f"and more memory in **{sum(c.ratio > 1 for c in sized)} of {len(sized)}** "
            f"(more than {per_cent(MEMORY_LIMIT - 1)} % more in {len(larger)}, beyond the spread in {sum(map(is_beyond, larger))}).")


def summary(table):
    columns = [column for column in mean_columns(table) if column[1]]
    yield "section", "In short"
    yield "plots", [("overview", "geometric means of CPU time and memory of each allocator")]
    if not columns:
        yield "text", "There is no workload that all allocators ran."
    elif table.has_ours and table.peers:
        yield "text", count_line(table)
        yield "text", (f"Geometric means of {OURS} relative to each peer; below 1 is less. Memory is the peak above the idle process (of "
                       f"real programs the whole peak), over workloads in which {OURS} or the smallest peer peaks at {LARGE_KIB // 1024} MiB "
                       "or more. The best peer of each workload is no allocator that anyone can choose, only a bound.")
        yield ("table", ["relative to", *(f"{title} ({len(workloads)})" for title, workloads, _ in columns)],
               list(summary_rows(table, columns)))
    else:
        yield "text", "Geometric means relative to the best allocator of each workload."
        rows = [means(table, workloads, figure, least(table, figure, table.names)) for _, workloads, figure in columns]
        yield ("table", ["allocator", *(f"{title} ({len(workloads)})" for title, workloads, _ in columns)],
               [[name, *(f"{row[name]:.2f}" for row in rows)] for name in table.names])


# ---- where ours is behind

def loss_row(c):
    beyond = "-" if math.isnan(c.spread) else "yes" if is_beyond(c) else "no"
    return [c.workload, (c.figure, "name"), ratio_cell(c.ratio), per_cent(c.spread), beyond, amount(c.figure, c.ours), c.peer,
            amount(c.figure, c.best)]


def loss_table(losses):
    return "table", ["workload", "figure", "ratio", "spread ± %", "beyond it", OURS, "best peer", "its"], [loss_row(c) for c in losses]


def behind(table):
    if not (table.has_ours and table.peers):
        return
    yield "section", f"Where {OURS} is behind"
    yield "text", ("Every workload in which it is behind the best peer of that workload, worst first. What is not beyond the spread may be "
                   "chance, and more rounds would tell. `@N` is a point of a scaling curve, with N threads.")
    for title, losses in ((f"CPU time, by more than {per_cent(TIME_LIMIT - 1)} %", time_losses(table)),
                          (f"Memory, by more than {per_cent(MEMORY_LIMIT - 1)} %", memory_losses(table))):
        yield "part", f"{title}: {number_of(len(losses), 'loss', 'losses')}"
        yield loss_table(losses) if losses else ("text", "None.")


# ---- family by family

def cell_of(table, comparison, name):
    if name not in comparison.each:
        return "failed", "loss"
    return f"{comparison.each[name]:.2f}" if comparison.each[name] < 100 else f"{comparison.each[name]:.0f}"


def ratio_rows(table, comparisons):
    for c in comparisons:
        yield [c.workload, ratio_cell(c.ratio), c.peer, per_cent(c.spread), amount(c.figure, c.ours).split()[0],
               *(cell_of(table, c, name) for name in table.peers)]


def ratio_table(table, comparisons, unit):
    head = ["workload", f"{OURS} / best peer", "best peer", "spread ± %", f"{OURS}, {unit}", *(f"{name} / best" for name in table.peers)]
    return "table", head, list(ratio_rows(table, comparisons))


def absolute_cell(table, workload, name, figure, best, form):
    if not table.ran(workload, name):
        return "failed", "loss"
    middle = table.median(workload, name, figure)
    text = form(middle)
    return (text, "win") if name == best else f"{text} (x {middle / table.median(workload, best, figure):.3g})"


def absolute_rows(table, workloads, figure, form):
    """Without ours there is nobody to compare with: everybody's own figures, and how often they hold the best one."""
    for w in workloads:
        best = best_of(table, w, figure, table.names)
        yield [w, *(absolute_cell(table, w, name, figure, best, form) for name in table.names)]


def family_parts(table, wanted, compare, figure, unit, form):
    workloads = table.of_family(wanted)
    if table.has_ours and table.peers:
        rows = worst_first(compare(table, w) for w in workloads)
        yield ratio_table(table, rows, unit)
        lost = [w for w in workloads if w not in {c.workload for c in rows}]
        if lost:
            yield "text", "Nothing to compare (it failed): " + ", ".join(lost) + "."
    else:
        yield "table", ["workload", *(f"{name} {unit}" for name in table.names)], list(absolute_rows(table, workloads, figure, form))


def how_to_read(table):
    if not (table.has_ours and table.peers):
        return "The best is marked; behind the others stands how many times the best they need."
    return ("A bar to the right of 1 is a loss against the best peer of that workload, a bar to the left a win, on a logarithmic scale; a peer "
            f"that needs more than {plots.EDGE} times the best stands at the edge of the plot.")


def cpu_section(table):
    yield "section", "CPU time"
    yield "text", "User and system time of all threads and processes of the workload. " + how_to_read(table)
    for wanted in table.families:
        yield "part", f"CPU time: {wanted}"
        yield "plots", [(f"cpu-{wanted}", f"CPU time of the {wanted} workloads relative to the best peer")]
        yield from family_parts(table, wanted, compare_time, cpu, "s", lambda x: f"{x:.3f}")


def memory_section(table):
    yield "section", "Memory"
    yield "text", ("The peak of resident memory above that of the idle process. Of real programs, and where a process stays below "
                   f"{LARGE_KIB // 1024} MiB, it is the whole peak; such small processes are not in the plots, and in no mean.")
    for wanted in table.families:
        yield "part", f"Memory: {wanted}"
        yield "plots", [(f"memory-{wanted}", f"memory of the {wanted} workloads relative to the smallest peer")]
        yield from family_parts(table, wanted, compare_memory, peak, "MiB", lambda x: f"{x / 1024:.2f}")
    yield from live_part(table)


def live_rows(table, workloads, figure):
    for w in workloads:
        best = best_of(table, w, figure, table.names)
        cells = ((f"{table.median(w, name, figure):.2f}", "win" if name == best else "plain") for name in table.names)
        yield [w, *cells]


def live_part(table):
    """Only workloads that know how many bytes live can say what the rest costs."""
    for key, what in (("rss_live_mean", "mean over time"), ("rss_live_end", "at the end")):
        known = [w for w in table.workloads if table.all_ran(w) and any(key in run for run in table.results.runs[w, table.names[0]])]
        if known:
            yield "part", f"Resident memory relative to what lives, {what}"
            yield "table", ["workload", *table.names], list(live_rows(table, known, value(key)))


def pairs_section(table):
    """Whether a program's own allocator still pays: malloc in its place, relative to it as it is over the C library's malloc."""
    base = "glibc" if "glibc" in table.names else table.names[0]
    rows = []
    for instead, own in OWN_ALLOCATORS:
        if instead in table.workloads and table.ran(own, base):
            for figure, what in ((cpu, "CPU time"), (peak, "peak memory")):
                bottom = table.median(own, base, figure)
                rows.append([f"{instead} / {own.split('/')[1]}", (what, "name"),
                             *(ratio_cell(table.median(instead, name, figure) / bottom) if table.ran(instead, name) else ("failed", "loss")
                               for name in table.names)])
    if rows:
        yield "section", "A program's own allocator, and malloc in its place"
        yield "text", f"The first under each allocator, relative to the second under {base}. Above 1, the program's own allocator pays."
        yield "table", ["workloads", "figure", *table.names], rows


def series_section(table, drawn):
    shown = [(f"rss-{w.replace('/', '-')}", f"resident memory over time: {w}") for w in table.workloads]
    shown = [(name, what) for name, what in shown if name in drawn]
    if shown:
        yield "section", "Resident memory over time"
        yield "text", ("For each allocator the round with the median mean. The plots show the least and the most of each "
                       f"1/{plots.BUCKETS} of the time; `series.csv` has every change that was seen, in all rounds.")
        yield "plots", shown


def scaling_rows(table, subject):
    cells = {name: {threads: f"{rate / 1e6:.3g} ({kib / 1024:.1f})" for threads, rate, kib in points_of(table, subject, name)}
             for name in table.names}
    for threads in sorted({n for curve in cells.values() for n in curve}):
        yield [f"{subject}@{threads}", *(cells[name].get(threads, ("failed", "loss")) for name in table.names)]


def scaling_section(table):
    subjects = scaling_subjects(table)
    if not subjects:
        return
    yield "section", "Scaling with threads"
    yield "text", "Operations a second of the wall clock, in millions, and peak memory in MiB."
    yield "plots", [(f"scaling-{subject.replace('/', '-')}", f"operations a second against threads: {subject}") for subject in subjects]
    yield "table", ["workload", *table.names], [row for subject in subjects for row in scaling_rows(table, subject)]


# ---- the end

def flat_section(table):
    flat = flat_workloads(table)
    if flat:
        yield "section", "Workloads that tell nothing"
        control = {own for _, own in OWN_ALLOCATORS}
        yield "text", f"All allocators are within {per_cent(FLAT)} % in time and in memory."
        yield "list", [w + (": meant so, it is what malloc in its place is compared with" if w in control else "") for w in flat]


def median_rows(table):
    for w in table.results.workloads:
        for name in table.names:
            if table.ran(w, name):
                runs = table.results.runs[w, name]
                figures = [[run[key] for run in runs] for key in (*FIGURES, "mean_kib")]
                yield w, name, len(runs), [(statistics.median(values), spread(values)) for values in figures]


def all_figures(table):
    keys = (*FIGURES, "mean_kib")
    yield "section", "All figures"
    rows = []
    for w, name, count, pairs in median_rows(table):
        cells = (f"{results.shown(key, middle)} ± {per_cent(part)}" for key, (middle, part) in zip(keys, pairs))
        rows.append([w, (name, "name"), str(count), *cells])
    head = ["workload", "allocator", "runs", *(key.replace("_", " ") for key in keys)]
    yield "folded", "Medians and spreads (± %) of every figure", head, rows, "`medians.csv`"


def ending(table, hindrance):
    yield "section", "How this was run"
    if hindrance:
        yield "text", f"Plots: {hindrance}."
    yield "list", table.results.header


def blocks(table, drawn, hindrance):
    yield from opening(table)
    yield from failures(table)
    yield from summary(table)
    yield from behind(table)
    yield from cpu_section(table)
    yield from memory_section(table)
    yield from pairs_section(table)
    yield from series_section(table, drawn)
    yield from scaling_section(table)
    yield from flat_section(table)
    yield from all_figures(table)
    yield from ending(table, hindrance)


def write_medians(table, path):
    with open(path, "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["workload", "allocator", "runs", *(word for key in (*FIGURES, "mean_kib") for word in (key, f"{key}_spread"))])
        for w, name, count, figures in median_rows(table):
            out.writerow([w, name, count, *(f"{x:.6g}" for pair in figures for x in pair)])


def make(folder):
    """Writes the report of a folder of results; returns what hindered the plots."""
    table, plot_folder = Table(results.load(folder)), os.path.join(folder, "plots")
    hindrance = plots.draw(table, results.load_series(folder), plot_folder)
    drawn = {} if hindrance else document.plots_of(plot_folder)
    written = list(blocks(table, drawn, hindrance))
    write(os.path.join(folder, "report.md"), document.to_markdown(written, drawn))
    write(os.path.join(folder, "report.html"), document.to_html(written, drawn))
    write_medians(table, os.path.join(folder, "medians.csv"))
    return table, hindrance


def in_short(table):
    """What the terminal shows when all is done."""
    return document.to_markdown([block for section in (opening, failures, summary, behind) for block in section(table)], {})
