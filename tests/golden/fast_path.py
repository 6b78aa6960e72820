#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The instruction gate: what one allocation call executes inside the library in steady state.

    fast_path.py --lib LIB --tracer TRACER --victim VICTIM --compiler gcc|clang --optimization 2|3
                 [--update | --limits-only [--slack N]]

Each call of tests/golden/victim.c is single-stepped several times; its steady state is the sequence of instructions
that most calls execute (a cache that swaps its magazines now and then takes a longer way; three quarters must agree).
The counts must keep the limits below, and equal tests/golden/fast_path.<arch>.<compiler>-O<level> exactly.
"""

import argparse
import collections
import os
import re

import golden

ANY = {"gcc", "clang"}
# (entry point, compilers, most instructions inside the library)
LIMITS = [
    ("malloc(24)", {"clang"}, 15),
    ("malloc(24)", {"gcc"}, 16),
    ("new(24)", {"clang"}, 15),
    ("new(24)", {"gcc"}, 16),
    ("malloc(2048)", ANY, 20),
    ("free(24)", ANY, 13),
    ("free(2048)", ANY, 13),
]
# Sized frees and deletes may not cost more than free: they are the same function.
SAME_AS_FREE = ["free_sized(24)", "free_aligned_sized(16,24)", "delete(24)", "delete_sized(24)"]
# These may call memset and memcpy of libc; every other call stays inside the library.
MAY_LEAVE = {"calloc(1,24)", "realloc(24,20)"}
COLUMNS = ("instructions", "loads", "stores", "branches")
HEADER = """\
# One call in steady state inside libashlar.so, single-stepped. Compared exactly; a change is accepted by
# `tests/golden/update BUILD_DIR`, which writes this file, and committed with its reason.
"""

Call = collections.namedtuple("Call", "offsets outside")


def traced_calls(tracer, lib, victim, *args):
    """{entry point: [Call]} from the tracer's output."""
    calls, offsets = {}, None
    for line in golden.output(tracer, lib, victim, *args).splitlines():
        word, _, value = line.partition(" ")
        if word == "call":
            name, offsets = value, []
        elif word == "in":
            offsets.append(int(value, 16))
        else:
            calls.setdefault(name, []).append(Call(tuple(offsets), int(value)))
    if not calls:
        golden.fail("the victim made no call")
    return calls


def steady(name, calls):
    call, times = collections.Counter(calls).most_common(1)[0]
    if times * 4 < len(calls) * 3:
        golden.fail(f"{name} has no steady state: only {times} of {len(calls)} calls ran the same instructions")
    if not call.offsets:
        golden.fail(f"{name} ran no instruction inside the library: the call was answered by another one")
    return call


def disassembly(lib):
    """{address: "mnemonic operands"}; the library's first mapping begins at address 0."""
    found = {}
    for line in golden.output("objdump", "-d", "-M", "intel", "--no-show-raw-insn", lib).splitlines():
        match = re.match(r"\s*([0-9a-f]+):\t(.*)", line)
        if match:
            found[int(match.group(1), 16)] = re.sub(r"\s+", " ", match.group(2).split("#")[0]).strip()
    return found


def kinds(instruction):
    """(loads, stores, branches) of one instruction in Intel syntax."""
    words = [w for w in instruction.split(" ") if w not in ("lock", "rep", "repz", "repnz", "bnd", "notrack", "cs", "data16")]
    mnemonic, operands = words[0], " ".join(words[1:])
    branch = bool(re.match(r"j|call|ret", mnemonic))
    if mnemonic in ("push", "call"):
        return "[" in operands, 1, branch
    if mnemonic in ("pop", "ret"):
        return 1, "[" in operands, branch
    if "[" not in operands or mnemonic in ("lea", "nop", "nopw", "nopl", "endbr64") or mnemonic.startswith("prefetch"):
        return 0, 0, branch
    first = operands.split(",")[0]
    if "[" not in first or branch or mnemonic in ("cmp", "test", "bt"):
        return 1, 0, branch
    writes_only = mnemonic.startswith(("mov", "set", "vmov"))
    return not writes_only, 1, 0


def row(name, call, code):
    counted = [kinds(code[o]) for o in call.offsets]
    sums = (len(counted), *(sum(column) for column in zip(*counted)))
    return f"{name:28}" + "".join(f"{n:{len(c) + 2}}" for n, c in zip(sums, COLUMNS)) + "\n"


def table(calls, code):
    head = f"{'# entry point':28}" + "".join(f"  {c}" for c in COLUMNS) + "\n"
    return HEADER + head + "".join(row(name, call, code) for name, call in calls.items())


def listing(name, call, code):
    return f"{name} executes:\n" + "".join(f"    {offset:6x}  {code[offset]}\n" for offset in call.offsets)


def broken_limits(calls, compiler, slack):
    for name, compilers, limit in LIMITS:
        count = len(calls[name].offsets)
        if compiler in compilers and count > limit + slack:
            yield name, f"{name}: {count} instructions, the limit is {limit + slack}"
    for name in SAME_AS_FREE:
        count, free = len(calls[name].offsets), len(calls["free(24)"].offsets)
        if count != free:
            yield name, f"{name}: {count} instructions, free(24) has {free}"
    for name, call in calls.items():
        if call.outside and name not in MAY_LEAVE:
            yield name, f"{name}: {call.outside} instructions outside the library"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for argument in ("--lib", "--tracer", "--victim"):
        parser.add_argument(argument, required=True)
    parser.add_argument("--compiler", required=True, choices=["gcc", "clang"], help="what built the library")
    parser.add_argument("--optimization", choices=["2", "3"], default="2", help="at which level")
    parser.add_argument("--update", action="store_true", help="write the golden file")
    parser.add_argument("--limits-only", action="store_true", help="do not compare with the golden file")
    parser.add_argument("--slack", type=int, default=0, help="instructions allowed beyond each limit")
    parser.add_argument("--listing", action="store_true", help="print the instructions of each call")
    args = parser.parse_args()

    traces = traced_calls(args.tracer, args.lib, args.victim)
    calls = {name: steady(name, all_calls) for name, all_calls in traces.items()}
    threaded = traced_calls(args.tracer, args.lib, args.victim, "threads")
    code = disassembly(args.lib)
    text = table(calls, code)
    print(text.removeprefix(HEADER), end="")
    if args.listing:
        print("".join(listing(name, call, code) for name, call in calls.items()), end="")

    complaints = []
    for name, message in broken_limits(calls, args.compiler, args.slack):
        complaints += [message, listing(name, calls[name], code)]
    for name, call in calls.items():
        count = len(steady(name, threaded[name]).offsets)
        if count != len(call.offsets):
            complaints.append(f"{name}: {count} instructions once a thread has lived, {len(call.offsets)} before")
    if not args.limits_only:
        name = f"fast_path.{os.uname().machine}.{args.compiler}-O{args.optimization}"
        complaints.append(golden.compare_or_update(name, text, "the instructions of the fast path", args.update))
    golden.finish(complaints, "the fast path keeps its limits")


if __name__ == "__main__":
    main()
