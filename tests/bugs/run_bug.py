#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# If this fails, a heap error is missed, named wrongly, or does not stop the program.
#
#   run_bug.py PROGRAM [ARGUMENT...]
#
# PROGRAM announces on standard output the line it has earned ("free: double free
# of 0x..."), then misbehaves. It must die of SIGABRT with exactly that one line
# on standard error, and print nothing after the announcement.
import os
import re
import signal
import subprocess
import sys

WATCHDOG_S = 30


def fail(why, run):
    print(f"FAILED: {why}")
    print(f"  exit status {run.returncode}")
    print("  standard output: " + run.stdout.decode(errors="replace"))
    print("  standard error:  " + run.stderr.decode(errors="replace"))
    sys.exit(1)


def pattern(announced):
    """The announcement as a regular expression for the whole message."""
    calls, rest = announced.split(": ", 1)
    calls = "|".join(re.escape(c) for c in calls.split("|"))
    detail = "" if rest.endswith(")") else r" \([^()\n]+(\([^()\n]*\)[^()\n]*)*\)"
    return f"ashlar: ({calls}): {re.escape(rest.rstrip())}{detail}\n"


def main():
    command = sys.argv[1:]
    env = dict(os.environ)
    run = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=WATCHDOG_S)
    announced = run.stdout.decode().splitlines()
    if not announced:
        fail("the program announced nothing", run)
    if len(announced) > 1:
        fail("the program went on after its bug", run)
    if run.returncode != -signal.SIGABRT:
        fail("the program did not die of SIGABRT", run)
    want = pattern(announced[0])
    if not re.fullmatch(want, run.stderr.decode()):
        fail(f"standard error is not exactly {want!r}", run)


main()
