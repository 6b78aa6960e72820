#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Each public header compiles alone, and twice, in every dialect that a user may compile with, without a warning.

    headers.py [SOURCE_ROOT]
"""

import glob
import os
import sys
import tempfile

import golden

DIALECTS = {"c": ["c99", "c11", "c17"], "c++": ["c++11", "c++20"]}
COMPILERS = {"c": ["gcc", "clang"], "c++": ["g++", "clang++"]}
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def compile_alone(include, header, scratch):
    program = os.path.join(scratch, "program")
    with open(program, "w") as file:
        file.write(f"#include <{header}>\n#include <{header}>\nint main(void) {{ return 0; }}\n")
    for language, dialects in DIALECTS.items():
        for compiler in COMPILERS[language]:
            for dialect in dialects:
                golden.output(compiler, "-fsyntax-only", f"-std={dialect}", *WARNINGS, "-I", include, "-x", language, program)
                yield f"{header}: {compiler} -std={dialect}"


def main():
    include = os.path.join(os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else golden.SOURCE), "include")
    headers = [os.path.relpath(path, include) for path in sorted(glob.glob(f"{include}/**/*.h", recursive=True))]
    if not headers:
        golden.fail("found no public header")
    with tempfile.TemporaryDirectory() as scratch:
        done = [way for header in headers for way in compile_alone(include, header, scratch)]
    golden.finish([], f"{len(headers)} headers compile in {len(done)} ways")


if __name__ == "__main__":
    main()
