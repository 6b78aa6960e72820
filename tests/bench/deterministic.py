#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""`bench/run --deterministic` itself. If it accepted what it is there to refuse, a change that costs would go unseen.

    deterministic.py LIB PATTERNS
"""

import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bench"))
from suite import deterministic  # noqa: E402
from suite.callgrind import Pattern, Trouble  # noqa: E402

LIB, PATTERNS = "", ""
P = {"p": Pattern("p", 10000, 1000000)}
ROW = {"instructions": 100.0, "faults": 1000.0, "calls": 200.0, "rss_kib": 10000.0}


class Comparison(unittest.TestCase):
    def differing(self, changes, committed=None):
        committed = {"p": ROW} if committed is None else committed
        return [line.split()[1] for line, bad in deterministic.compared({"p": {**ROW, **changes}}, committed, P) if bad]

    def test_the_same_figures_pass(self):
        self.assertEqual(self.differing({}), [])

    def test_each_figure_has_its_tolerance_both_ways(self):
        for figure, inside, outside in (("instructions", 2, 2.1), ("faults", 50, 51), ("calls", 10, 11), ("rss_kib", 500, 501)):
            for sign in (1, -1):
                self.assertEqual(self.differing({figure: ROW[figure] + sign * inside}), [], figure)
                self.assertEqual(self.differing({figure: ROW[figure] + sign * outside}), [figure])

    def test_small_figures_may_move_by_two_events_or_128_kib(self):
        small = {"p": {"instructions": 100.0, "faults": 0.0, "calls": 0.0, "rss_kib": 300.0}}
        self.assertEqual(self.differing({"faults": 2.0, "calls": 2.0, "rss_kib": 428.0}, small), [])
        self.assertEqual(self.differing({"faults": 3.0, "calls": 3.0, "rss_kib": 429.0}, small), ["faults", "calls", "rss_kib"])

    def test_a_pattern_that_the_table_lacks_is_refused(self):
        self.assertEqual(len(self.differing({}, {"q": ROW})), 4)


class Table(unittest.TestCase):
    def test_what_is_written_is_read(self):
        with tempfile.NamedTemporaryFile("w+") as file:
            file.write(deterministic.table_text({"p": ROW}))
            file.flush()
            self.assertEqual(deterministic.read_table(file.name), {"p": ROW})

    def test_a_row_with_a_missing_word_is_refused(self):
        with tempfile.NamedTemporaryFile("w+") as file:
            file.write("p 1 2 3\n")
            file.flush()
            self.assertRaises(Trouble, deterministic.read_table, file.name)


class Calls(unittest.TestCase):
    def test_calls_between_the_marks_are_counted_once(self):
        log = ["11 mmap(NULL, 4096, ...) = 0x1", "11 getrusage(RUSAGE_SELF, {...}) = 0", "11 madvise(0x1, 4096, MADV_DONTNEED <unfinished ...>",
               "12 futex(0x2, FUTEX_WAIT_PRIVATE, 2, NULL) = 0", "11 <... madvise resumed>) = 0", "11 --- SIGUSR1 {...} ---",
               "11 madvise(0x2, 4096, MADV_DONTNEED) = 0", "11 getrusage(RUSAGE_SELF, {...}) = 0", "11 munmap(0x1, 4096) = 0", "11 +++ exited with 0 +++"]
        self.assertEqual(deterministic.calls_between_marks(log), {"madvise": 2, "futex": 1})

    def test_a_log_that_ends_early_is_refused(self):
        self.assertRaises(Trouble, deterministic.calls_between_marks, ["getrusage(RUSAGE_SELF, {...}) = 0"])


class Command(unittest.TestCase):
    """On one pattern: a table just written passes, a doctored one does not."""

    def run_it(self, *options):
        command = [os.path.join(ROOT, "bench", "run"), "--deterministic", "--ours", LIB, "--patterns", PATTERNS, *options]
        return subprocess.run(command, capture_output=True, text=True)

    def table(self, only):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "table")
        done = self.run_it("--only", only, "--table", path, "--update")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return path

    def test_a_table_just_written_passes_and_a_doctored_one_is_refused_for_each_figure(self):
        path = self.table("^large-64k$")
        done = self.run_it("--only", "^large-64k$", "--table", path)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        row = deterministic.read_table(path)["large-64k"]
        doctored = {figure: 1.2 * value + 500 for figure, value in row.items()} | {"instructions": 1.03 * row["instructions"]}
        with open(path, "w") as file:
            file.write(deterministic.table_text({"large-64k": doctored}))
        done = self.run_it("--only", "^large-64k$", "--table", path)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(re.findall(r"^large-64k +(\w+) .* beyond its tolerance$", done.stdout, re.M), list(ROW))
        self.assertIn("--update", done.stdout.splitlines()[-1])

    def test_what_cannot_be_measured_is_refused_in_one_line(self):
        for options, message in ((("--only", "nothing", "--table", "/nowhere"), "no pattern matches nothing"),
                                 (("--only", "^lifo-64$", "--table", "/nowhere/table"), "no table /nowhere/table"),
                                 (("--only", "^lifo-64$", "--ours", "/lib/x86_64-linux-gnu/libm.so.6", "--table", "/nowhere"), "libm.so.6")):
            done = self.run_it(*options)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(message, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)


if __name__ == "__main__":
    LIB, PATTERNS = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
