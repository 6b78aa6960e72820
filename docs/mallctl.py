#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes docs/mallctl.md from alloc/ctl_table.def; with --check, fails when the file says something else.

Without it the documentation of mallctl's names would drift from what the library answers.
"""

import itertools
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEAD = """# mallctl

Made from `alloc/ctl_table.def` by `docs/mallctl.py`; do not edit. The names are jemalloc's, and so is the way they are asked:

    int mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp, size_t newlen);
    int mallctlnametomib(const char *name, size_t *mib, size_t *miblen);
    int mallctlbymib(const size_t *mib, size_t miblen, void *oldp, size_t *oldlenp, void *newp, size_t newlen);

Each returns 0 or an errno value. A buffer of another length than the value's gets what fits of it, `*oldlenp` becomes what was copied, and the answer is `EINVAL`. `<i>` and `<j>` are numbers; `{a,b}` is one of
these words. ro: writing is `EPERM`; wo: reading is; rw: the old value out, the new one in; r^w: either; do: a command, any argument is `EPERM`; any: a command whatever the arguments. *unsigned* has 32 bits, *text* is a
`const char *`. A name that says "not available yet" or that there is no such thing can be looked up and answers `ENOENT`. `stats.*` are as of the last writing to `epoch`.

"""
TYPES = {
    "VOID": "", "BOOL": "bool", "UNSIGNED": "unsigned", "U64": "uint64_t", "I64": "int64_t", "SIZE": "size_t", "SSIZE": "ssize_t",
    "TEXT": "text", "POINTER": "pointer", "OTHER": "as told",
}
ACCESS = {"RO": "ro", "WO": "wo", "RW": "rw", "EITHER": "r^w", "DO": "do", "ANY": "any"}
STRING = r'"((?:[^"\\]|\\.)*)"'
ROW = re.compile(rf'^ROW\({STRING}, CTL_(\w+), CTL_(\w+), (.*?), ash_ctl_(\w+),\s*{STRING}\)$', re.M)


def rows(text):
    """(name, type, access, handler, meaning) and, as a text alone, each comment that heads some of them."""
    parts = re.split(r"^/\* (.*?) \*/$", text, flags=re.M)
    for number, part in enumerate(parts):
        if number % 2:
            yield part
            continue
        found = list(ROW.finditer(part))
        if len(found) != len(re.findall(r"^ROW\(", part, flags=re.M)):
            sys.exit("alloc/ctl_table.def: a row is not of the form that docs/mallctl.py reads")
        for match in found:
            name, kind, access, handler = match.group(1, 2, 3, 5)
            yield name, TYPES[kind], ACCESS[access], handler, match.group(6)


def expanded(name):
    """The names that a row with {a,b} stands for."""
    parts = [part.split(",") for part in re.split(r"\{(.*?)\}", name)[1::2]]
    plain = re.split(r"\{.*?\}", name)
    for words in itertools.product(*parts):
        yield "".join(itertools.chain(*itertools.zip_longest(plain, words, fillvalue="")))


def made():
    text, within = HEAD, False
    for row in rows((ROOT / "alloc/ctl_table.def").read_text()):
        if isinstance(row, str):
            text += f"\n## {row[0].upper()}{row[1:]}\n\n"
            within = False
            continue
        if not within:
            text += "| name | type | access | meaning |\n|---|---|---|---|\n"
            within = True
        name, kind, access, _, meaning = row
        text += f"| `{name}` | {kind} | {access} | {meaning} |\n".replace(" |  |", " | |")
    return text


def main():
    target = ROOT / "docs/mallctl.md"
    if "--check" not in sys.argv:
        target.write_text(made())
    elif not target.exists() or target.read_text() != made():
        sys.exit("docs/mallctl.md differs from alloc/ctl_table.def: run docs/mallctl.py")


if __name__ == "__main__":
    main()
