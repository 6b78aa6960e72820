# SPDX-License-Identifier: MIT
"""Runs one command to its end and watches its resident memory meanwhile."""

import collections
import os
import select
import signal
import subprocess
import tempfile
import time

PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
INTERVAL = 0.020
PATIENCE = 10

Done = collections.namedtuple("Done", "status stdout stderr series seconds")


class TooLong(Exception):
    """The command did not end in its time."""


def resident_kib(pid):
    """0 for a process that has ended. The kernel keeps this count: reading it stops nobody."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE_KIB
    except (OSError, IndexError):
        return 0


def watch(process, timeout, began):
    """[(seconds, KiB)]: each change of resident memory that was seen, until the process ends."""
    series, ended = [], select.poll()
    descriptor = os.pidfd_open(process.pid)
    ended.register(descriptor, select.POLLIN)
    try:
        while True:
            now, kib = time.monotonic() - began, resident_kib(process.pid)
            if kib and (not series or series[-1][1] != kib):
                series.append((now, kib))
            if ended.poll(1000 * INTERVAL):
                break
            if now > timeout:
                raise TooLong
    finally:
        os.close(descriptor)
    return series + [(time.monotonic() - began, series[-1][1])] if series else series


def end(process):
    """Ends it and what it started: politely first, since it may have servers of its own to stop."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            pass
        try:
            process.wait(PATIENCE)
            return
        except subprocess.TimeoutExpired:
            pass


def run(command, env, timeout):
    """A session of its own, so that Ctrl-C reaches us alone; files instead of pipes, so that nobody has to read meanwhile."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, start_new_session=True)
        try:
            series = watch(process, timeout, began)
        finally:
            if process.poll() is None:
                end(process)
        seconds = time.monotonic() - began
        out.seek(0)
        err.seek(0)
        return Done(process.returncode, out.read().decode(errors="replace"), err.read().decode(errors="replace"), series, seconds)
