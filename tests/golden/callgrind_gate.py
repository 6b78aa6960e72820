#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Instructions per operation, slow paths included: bench/callgrind against limits and a golden file.

    callgrind_gate.py --lib LIB --compiler gcc|clang --optimization 2|3 [--callgrind COMMAND] [--update]

The single-step gate sees only the calls that the caches answer; this one also sees what refilling and flushing cost.
The limits are those of the gcc build; the file is tests/golden/callgrind.<arch>.<compiler>-O<level>. A figure is the
median of three measurements and may differ by 3 % from the file: periodic work in the slow paths follows the clock, and
so moves the counts by one or two per cent on a busy machine.
"""

import argparse
import os
import statistics
import tempfile

import golden

# Instructions inside the library per operation, gcc.
LIMITS = {
    "lifo-64": 30,
    "lifo-4096": 44,
    "fifo-64": 33,
    "fifo-256": 42,
    "fifo-1024": 59,
    "fifo-4096": 110,
    "random-16-1024": 34,
    "calloc-256": 45,
    "realloc-16-4096": 500,
}
TOLERANCE = 0.03
MEASUREMENTS = 3
HEADER = """\
# Instructions inside libashlar.so per operation, as bench/callgrind prints them (the median of three measurements);
# memset and memcpy are not counted. Compared within 3 %; `tests/golden/update BUILD_DIR` writes this file.
"""


def values_of(text):
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in rows}


def measured(callgrind, lib):
    """Without debug information, which valgrind reads slowly and, where clang wrote it, not at all."""
    with tempfile.TemporaryDirectory() as folder:
        bare = os.path.join(folder, os.path.basename(lib))
        golden.output("objcopy", "--strip-debug", lib, bare)
        patterns = [word for name in LIMITS for word in ("--pattern", name)]
        runs = [values_of(golden.output(callgrind, "--lib", bare, *patterns)) for _ in range(MEASUREMENTS)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def broken_limits(values):
    for name, limit in LIMITS.items():
        if name not in values:
            yield f"{name}: bench/callgrind does not measure it any more"
        elif values[name] > limit:
            yield f"{name}: {values[name]:.2f} instructions an operation, the limit is {limit}"


def drifted(values, expected):
    for name in sorted(values.keys() | expected.keys()):
        old, new = expected.get(name), values.get(name)
        if old is None or new is None:
            yield f"{name}: {'missing in the golden file' if old is None else 'not measured any more'}"
        elif abs(new - old) > TOLERANCE * old:
            yield (f"{name}: {new:.2f} instructions an operation, {old:.2f} in the golden file; if that is meant, accept "
                   "it by `tests/golden/update BUILD_DIR` and commit the file with its reason")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lib", required=True)
    parser.add_argument("--compiler", required=True, choices=["gcc", "clang"], help="what built the library")
    parser.add_argument("--optimization", choices=["2", "3"], required=True, help="at which level")
    parser.add_argument("--callgrind", default=os.path.join(golden.SOURCE, "bench", "callgrind"), help="what measures")
    parser.add_argument("--update", action="store_true", help="write the golden file")
    args = parser.parse_args()

    golden.need("valgrind")
    values = measured(args.callgrind, args.lib)
    text = "".join(f"{name} {value:.2f}\n" for name, value in values.items())
    print(text, end="")
    complaints = list(broken_limits(values)) if args.compiler == "gcc" else []
    name = f"callgrind.{os.uname().machine}.{args.compiler}-O{args.optimization}"
    if args.update:
        golden.write_golden(name, HEADER + text)
    else:
        complaints += drifted(values, values_of(golden.read_golden(name)))
    golden.finish(complaints, "bench/callgrind's figures keep their limits")


if __name__ == "__main__":
    main()
