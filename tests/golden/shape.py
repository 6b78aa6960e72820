#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Holds the shape of the sources: licence line, one module = x.h + x.c, and no function that does not fit a screen or two.

    shape.py [SOURCE_ROOT]
"""

import os
import re
import sys

import golden
from layering import BELOW, Tree

LONGEST_FUNCTION = 100
FIRST_LINE = "/* SPDX-License-Identifier: MIT"
# A .c without its own header, and why.
NO_HEADER = {
    "alloc/version.c": "its one function is declared in include/ashlar/ashlar.h",
    "alloc/malloc.c": "its functions are declared by <stdlib.h> and <malloc.h>",
    "alloc/early.c": "nobody calls it: ld.so resolves its one symbol",
    "alloc/standard.c": "its functions are declared by <stdlib.h> and <malloc.h>",
    "alloc/cxx.c": "its functions are C++'s operators, declared by <new>",
}


def check_licence(path, text):
    if not text.startswith(FIRST_LINE):
        yield f"{path}:1: does not begin with `{FIRST_LINE} */`"


def check_header(path, files):
    if path.endswith(".c") and path not in NO_HEADER and path[:-1] + "h" not in files:
        yield f"{path} has no {path[:-1]}h (or an entry in NO_HEADER of tests/golden/shape.py)"


def check_functions(path, text):
    """A function is what stands between a `{` and a `}` in the first column, with the lines of its head."""
    start = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.rstrip() == "{":
            start = number
        elif start and re.match(r"\}\s*$", line):
            if number - start + 1 > LONGEST_FUNCTION:
                yield f"{path}:{start}: a function of {number - start + 1} lines; the limit is {LONGEST_FUNCTION}"
            start = None
    if start:
        yield f"{path}:{start}: a `{{` in the first column without its `}}`"


def main():
    tree = Tree(sys.argv[1] if len(sys.argv) > 1 else golden.SOURCE)
    files = {path: text for path, text in tree.ranked().items() if path.endswith((".c", ".h", ".def"))}
    public = {path: text for path, text in tree.text.items() if path.startswith("include" + os.sep)}
    if not files or not public:
        golden.fail("found no source file")
    complaints = []
    for path, text in sorted({**files, **public}.items()):
        complaints += [*check_licence(path, text), *check_functions(path, text)]
        complaints += check_header(path, files)
    complaints += [f"{path} has a header now: take it out of NO_HEADER" for path in NO_HEADER if path[:-1] + "h" in files]
    golden.finish(complaints, f"{len(files)} files in {len(BELOW)} rooms have the right shape")


if __name__ == "__main__":
    main()
