# SPDX-License-Identifier: MIT
"""What every part of the suite needs: where things are, how a command is run, how to stop with one line."""

import os
import subprocess
import sys

BENCH = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(BENCH)
OURS = "ashlar"


def fail(message):
    sys.exit(f"bench/run: {message}")


def note(message):
    print(f"bench/run: {message}", file=sys.stderr, flush=True)


def build_folder():
    return os.environ.get("ASHLAR_BUILD") or os.path.join(ROOT, "build")


def read(path, otherwise="unknown"):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return otherwise


def first_line(command):
    """What it prints first, "" where it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.split("\n")[0].strip() if done.returncode == 0 else ""


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
