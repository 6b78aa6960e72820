#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The table of options, base/option.def, against tests/golden/options: a user's MALLOC_CONF line must go on working.

    options.py [--update]
"""

import argparse
import os
import re

import golden

TABLE = os.path.join(golden.SOURCE, "base", "option.def")
COMMENT = re.compile(r"/\*.*?\*/", re.S)
STRING = r'"(?:\\.|[^"\\])*"'
KINDS = "BOOL NUMBER CLIPPED SHARE CHOICE LETTERS RANGES INSTEAD ABSENT OBSOLETE LATER".split()
ROW = re.compile(rf"^({'|'.join(KINDS)})\(((?:{STRING}|[^\"()])*)\)$", re.M)
MACRO = re.compile(rf"^#(?:ifndef|define|undef) (?:{'|'.join(KINDS)})(?:\([a-z, ]*\))?$|^#endif$", re.M)
ARGUMENT = re.compile(rf"\s*((?:{STRING}\s*)+|[^,\"]+)\s*(?:,|$)")
HEADER = """\
# The rows of base/option.def: name, type, default, range. Compared exactly; a change is accepted by
# `tests/golden/update BUILD_DIR`, which writes this file, and told in CHANGELOG.md.
"""


def rows(text):
    text = COMMENT.sub("", text)
    rest = ROW.sub("", MACRO.sub("", text)).strip()
    if rest:
        golden.fail(f"base/option.def holds something that is no row: {rest.splitlines()[0]}")
    for kind, arguments in ROW.findall(text):
        yield kind, [a.strip().strip('"') for a in ARGUMENT.findall(arguments)]


def described(kind, arguments):
    """(name, type, default, range)"""
    name = arguments[0]
    if kind == "BOOL":
        return name, "bool", arguments[1], "true|false"
    if kind in ("NUMBER", "CLIPPED"):
        _, default, smallest, largest, unit, _ = arguments
        return name, kind.lower(), default, f"{smallest}..{largest} {unit}".rstrip()
    if kind == "CHOICE":
        _, default, choices, _ = arguments
        return name, "choice", choices.split("|")[int(default)], choices
    if kind == "LETTERS":
        return name, "letters", "-", arguments[1]
    if kind in ("SHARE", "RANGES"):
        return name, kind.lower(), "-", "-"
    return name, {"INSTEAD": "noted"}.get(kind, kind.lower()), "-", "-"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--update", action="store_true", help="write the golden file")
    args = parser.parse_args()
    with open(TABLE) as file:
        table = [described(kind, arguments) for kind, arguments in rows(file.read())]
    if not table:
        golden.fail("base/option.def has no row")
    text = HEADER + "".join(f"{name:27} {kind:8} {default:10} {values}\n" for name, kind, default, values in table)
    complaint = golden.compare_or_update("options", text, "the table of options", args.update)
    golden.finish([complaint], f"{len(table)} options are as recorded")


if __name__ == "__main__":
    main()
