#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# If this fails, a correct program is accused, or hears from the library at all.
#
#   run_right.py PROGRAM [ARGUMENT...]      exit status 0 and not one byte of output
import subprocess
import sys

WATCHDOG_S = 60

run = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True, timeout=WATCHDOG_S)
if run.returncode != 0 or run.stdout or run.stderr:
    print(f"FAILED: exit status {run.returncode}")
    print("  standard output: " + run.stdout.decode(errors="replace"))
    print("  standard error:  " + run.stderr.decode(errors="replace"))
    sys.exit(1)
