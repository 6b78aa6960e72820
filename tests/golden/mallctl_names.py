#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The table of mallctl's names against those of jemalloc, and its document against the table.

    mallctl_names.py

A name that jemalloc answers and we do not know would stop a program that reads it; one of another type would be read
into a variable that is too small. The names, with type and access, are those of tests/jemalloc/names.txt.
"""

import argparse
import importlib.util
import os

import golden


def document():
    """docs/mallctl.py as a module: its folder has other names of ours."""
    spec = importlib.util.spec_from_file_location("mallctl", os.path.join(golden.SOURCE, "docs", "mallctl.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mallctl = document()
NAMES = os.path.join(golden.SOURCE, "tests", "jemalloc", "names.txt")
# Of ashlar itself.
OWN = {"opt.check", "opt.helper_thread"}
TYPES = {"string": {"text"}, "u64": {"uint64_t"}, "s64": {"int64_t"}, "size": {"size_t"}, "ssize": {"ssize_t"}, "bool": {"bool"},
         "unsigned": {"unsigned"}, "u32": {"unsigned"}, "none": {""},
         "address": {"pointer"}, "bytes16": {"as told"}}
ACCESS = {"cmd": "do", "rxw": "r^w"}


def wanted():
    """{name: (type, access)} of names.txt."""
    names = {}
    with open(NAMES) as file:
        for line in file:
            if line.startswith("#") or not line.strip():
                continue
            _, access, kind, _, _, name = line.split()[:6]
            for each in mallctl.expanded(name):
                names[each] = kind, ACCESS.get(access, access)
    return names


def known():
    names = {}
    with open(os.path.join(golden.SOURCE, "alloc", "ctl_table.def")) as file:
        for row in mallctl.rows(file.read()):
            if isinstance(row, str):
                continue
            for each in mallctl.expanded(row[0]):
                if each in names:
                    golden.fail(f"alloc/ctl_table.def has {each} twice")
                names[each] = row[1:3]
    return names


def complaints(ours, theirs):
    for name, (kind, access) in theirs.items():
        if name not in ours:
            yield f"alloc/ctl_table.def lacks {name}"
        elif ours[name][0] not in TYPES.get(kind, {ours[name][0]}):
            yield f"{name} is of type {ours[name][0]}, jemalloc's is {kind}"
        elif access != "special" and ours[name][1] != access:
            yield f"{name} is {ours[name][1]}, jemalloc's is {access}"
    for name in ours.keys() - theirs.keys() - OWN:
        yield f"alloc/ctl_table.def has {name}, which is in tests/jemalloc/names.txt nowhere"


def outdated():
    target = os.path.join(golden.SOURCE, "docs", "mallctl.md")
    with open(target) as file:
        if file.read() != mallctl.made():
            yield "docs/mallctl.md differs from alloc/ctl_table.def: run docs/mallctl.py"


def main():
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    if len(wanted()) < 400:
        golden.fail("tests/jemalloc/names.txt has lost names")
    ours = known()
    golden.finish([*complaints(ours, wanted()), *outdated()], f"{len(ours)} names are those of jemalloc and documented")


if __name__ == "__main__":
    main()
