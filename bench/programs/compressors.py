# SPDX-License-Identifier: MIT
"""xz and zstd with two threads: few allocations, large ones, buffers that go from thread to thread with each block."""

from common.inputs import text
from common.runs import TIMED, Program, to_the_end


def prepare(run):
    with open(run.input("text"), "wb") as file:
        file.write(text(16 << 20, 5))


def xz(run):
    return to_the_end(run, ["/usr/bin/xz", "-1", "-T2", "--block-size=1MiB", "-c"], stdin=run.input("text"), names=["xz"])


def zstd(run):
    return to_the_end(run, ["/usr/bin/zstd", "-q", "-11", "-T2", "-B1MB", "-c"], stdin=run.input("text"), names=["zstd"])


PROGRAMS = [
    Program("xz", xz, {"/usr/bin/xz": "xz-utils", **TIMED}, prepare),
    Program("zstd", zstd, {"/usr/bin/zstd": "zstd", **TIMED}, prepare),
]
