# SPDX-License-Identifier: MIT
"""What the golden tests share: running a tool, comparing with a golden file, and saying how to accept a change."""

import difflib
import os
import shutil
import subprocess
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(FOLDER))
PACKAGE_OF = {"objdump": "binutils", "readelf": "binutils", "nm": "binutils", "objcopy": "binutils", "valgrind": "valgrind", "gcc": "gcc",
              "g++": "g++", "clang": "clang", "clang++": "clang", "meson": "meson", "cmake": "cmake",
              "pkg-config": "pkg-config", "dpkg-buildflags": "dpkg-dev", "unshare": "util-linux"}


def fail(message):
    sys.exit(f"{os.path.basename(sys.argv[0])}: {message}")


def need(tool):
    if not shutil.which(tool):
        fail(f"no {tool}: install the package {PACKAGE_OF[tool]}")


def output(*command, **more):
    """What the command prints; its failure is ours."""
    if os.path.basename(command[0]) in PACKAGE_OF:
        need(command[0])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, **more)
    if done.returncode != 0:
        fail(f"`{' '.join(command)}` ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def golden_path(name):
    return os.path.join(FOLDER, name)


def read_golden(name):
    try:
        with open(golden_path(name)) as file:
            return file.read()
    except FileNotFoundError:
        fail(f"no golden file tests/golden/{name}; `tests/golden/update BUILD_DIR` writes it")


def write_golden(name, text):
    with open(golden_path(name), "w") as file:
        file.write(text)
    print(f"wrote tests/golden/{name}")


def difference(name, text, meaning):
    """The complaint when `text` is not exactly the golden file `name`, else ''."""
    expected = read_golden(name)
    if text == expected:
        return ""
    diff = difflib.unified_diff(expected.splitlines(True), text.splitlines(True), f"tests/golden/{name}", "this build", n=1)
    return (f"{meaning} changed:\n{''.join(diff)}"
            "If that is meant, accept it by `tests/golden/update BUILD_DIR` and commit the file with its reason.\n")


def compare_or_update(name, text, meaning, update):
    """Returns the complaint, '' when there is none."""
    if update:
        write_golden(name, text)
        return ""
    return difference(name, text, meaning)


def finish(complaints, success):
    complaints = [c for c in complaints if c]
    for complaint in complaints:
        print(complaint.rstrip("\n"))
    if complaints:
        sys.exit(1)
    print(success)
