# SPDX-License-Identifier: MIT
"""The raw data: results.csv has a row for each run, series.csv its resident memory over time. Nothing is ever left out of them.

Both begin with `# key: value` lines. A run that failed (--keep-going) has empty figures and says why in its counters.
"""

import collections
import csv
import json
import lzma
import os

from suite.basics import fail
from suite.machine import CHANGING
from suite.workloads import FIGURES, family

COLUMNS = ("round", "workload", "allocator", *FIGURES, "mean_kib", "counters")
SERIES_COLUMNS = ("round", "workload", "allocator", "seconds", "kib")
NAMED = ("round", "workload", "allocator", "allocator_path", "name", "run_name", "run_type", "time_unit")

# runs: {(workload, allocator): [{figure: value}]}; failed: {(workload, allocator): why}; done: {(round, workload, allocator)}
Results = collections.namedtuple("Results", "header workloads allocators runs failed done")


def paths(folder):
    return os.path.join(folder, "results.csv"), os.path.join(folder, "series.csv")


def shown(figure, value):
    return f"{value:.6g}" if figure.endswith("_s") else f"{value:.0f}"


def counters_of(run):
    """What the workload counted besides, as one JSON object."""
    rest = {key: value for key, value in run.items() if key not in COLUMNS and key not in NAMED and isinstance(value, (int, float))}
    return json.dumps(rest, separators=(",", ":"))


class Writer:
    """Each run is on disk when it is over: what stops later loses nothing."""

    def __init__(self, folder, header, fresh):
        self.files = [open(path, "w" if fresh else "a", newline="") for path in paths(folder)]
        self.out, self.series = (csv.writer(file, lineterminator="\n") for file in self.files)
        if fresh:
            for file, writer, columns in zip(self.files, (self.out, self.series), (COLUMNS, SERIES_COLUMNS)):
                file.writelines(f"# {line}\n" for line in header)
                writer.writerow(columns)

    def add(self, turn, run, series):
        """The series first: a run that stands in results.csv is complete."""
        self.series.writerows((*turn, f"{seconds:.3f}", kib) for seconds, kib in series)
        self.files[1].flush()
        self.out.writerow((*turn, *(shown(key, run[key]) for key in (*FIGURES, "mean_kib")), counters_of(run)))
        self.files[0].flush()

    def add_failed(self, turn, why):
        self.out.writerow((*turn, *("" for _ in FIGURES), "", json.dumps({"failed": why})))
        self.files[0].flush()

    def end(self, lines):
        """What is known only at the end; every line that begins with # is of the head, wherever it stands."""
        self.files[0].writelines(f"# {line}\n" for line in lines)

    def close(self):
        for file in self.files:
            file.close()


def lines_of(path):
    """Header lines and data lines; an unfinished last line is none. Results that are kept may be packed by xz."""
    packed = not os.path.exists(path) and os.path.exists(path + ".xz")
    with lzma.open(path + ".xz", "rt", newline="") if packed else open(path, newline="") as file:
        lines = [line for line in file if line.endswith("\n")]
    return [line[2:-1] for line in lines if line.startswith("# ")], [line for line in lines if not line.startswith("#")]


def load(folder):
    header, lines = lines_of(paths(folder)[0])
    runs, failed, done = {}, {}, set()
    workloads, allocators = {}, {}
    for row in csv.DictReader(lines):
        key, counters = (row["workload"], row["allocator"]), json.loads(row["counters"])
        workloads[key[0]] = allocators[key[1]] = True
        done.add((int(row["round"]), *key))
        if "failed" in counters:
            failed[key] = counters["failed"]
        else:
            read = {figure: float(row[figure]) for figure in (*FIGURES, "mean_kib")}
            runs.setdefault(key, []).append({**counters, **read, "family": family(key[0])})
    order = [line.split(": ")[0] for line in header]
    return Results(header, list(workloads), sorted(allocators, key=order.index), runs, failed, done)


def load_series(folder):
    """{(workload, allocator): {round: [(seconds, KiB)]}}"""
    series = {}
    for row in csv.DictReader(lines_of(paths(folder)[1])[1]):
        points = series.setdefault((row["workload"], row["allocator"]), {}).setdefault(int(row["round"]), [])
        points.append((float(row["seconds"]), float(row["kib"])))
    return series


# ---- going on with what was stopped

def set_aside(folder):
    """What was stopped and is not gone on with is not overwritten at once: it may be hours of work. True if there was such."""
    if not os.path.exists(paths(folder)[0]) or any(line.startswith("ended: ") for line in lines_of(paths(folder)[0])[0]):
        return False
    for path in filter(os.path.exists, paths(folder)):
        os.replace(path, path.removesuffix(".csv") + ".unfinished.csv")
    return True


def lasting(header):
    return dict(line.split(": ", 1) for line in header if line.split(": ")[0] not in CHANGING)


def check_same(header, old, path):
    """Runs of two machines, kernels, libraries or amounts of work do not belong in one file."""
    new, old = lasting(header), lasting(old)
    for key in {**old, **new}:
        if new.get(key) != old.get(key):
            fail(f"--resume: {path} has \"{key}: {old.get(key, 'nothing')}\", now it would be \"{key}: {new.get(key, 'nothing')}\"; "
                 "give the same options, or another --out")


def keep_complete(folder, done):
    """Cuts off a last line that was not finished, and the series of a run that was not."""
    for path, finished in zip(paths(folder), (lambda row: True, lambda row: (int(row[0]), row[1], row[2]) in done)):
        with open(path, newline="") as file:
            lines = [line for line in file if line.endswith("\n")]
        body = next(i for i, line in enumerate(lines) if not line.startswith("#")) + 1
        kept = [line for line in lines[body:] if finished(next(csv.reader([line])))]
        with open(path + ".new", "w", newline="") as file:
            file.writelines(lines[:body] + kept)
        os.replace(path + ".new", path)


def resume(folder, header):
    """The results so far, or None where there are none; stops if they are not of the same kind."""
    path = paths(folder)[0]
    if not os.path.exists(path):
        return None
    results = load(folder)
    check_same(header, results.header, path)
    keep_complete(folder, results.done)
    return results
