#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""bench/scaling's document: if a column moved or a guest's missing rows went unseen, large machines would be judged by wrong figures."""

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
SCALING = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench", "scaling")
loader = importlib.machinery.SourceFileLoader("scaling", SCALING)
scaling = importlib.util.module_from_spec(importlib.util.spec_from_loader("scaling", loader))
loader.exec_module(scaling)

ROWS = """\
# command: `bench/scaling --cpus 2`
# kernel cpus threads allocator busy idle arenas waits
6.1.0 2 1 ashlar 2048 1024 1 0
6.1.0 2 1 ashlar 4096 1024 1 40
6.1.0 2 1 ashlar 3072 1024 2 400
6.1.0 2 1 glibc 6144 6144 2 800
"""


class Document(unittest.TestCase):
    def made_of(self, rows):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "rows"), "w") as file:
                file.write(rows)
            done = subprocess.run([SCALING, "--rows", file.name, "--out", os.path.join(folder, "out.md")], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(os.path.join(folder, "out.md")) as file:
                return file.read()

    def test_medians_ratios_and_waits_are_those_of_the_rows(self):
        text = self.made_of(ROWS)
        self.assertIn("* command: `bench/scaling --cpus 2`\n", text)
        self.assertIn("| 1 | 3.00 | 6.00 | **0.50** |\n", text)
        self.assertIn("| 1 | 1.00 | 6.00 | **0.17** |\n", text)
        self.assertIn("| 1 | 1 | 2 | 0.10 | 2.00 |\n", text)

    def test_an_allocator_that_tells_no_arenas_has_no_column_of_them(self):
        text = self.made_of(ROWS.replace("glibc 6144 6144 2", "mimalloc 6144 6144 -1"))
        self.assertIn("| threads | arenas, ashlar | waits, ashlar | waits, mimalloc |\n", text)

    def test_the_same_document_comes_from_the_rows_that_were_kept(self):
        results = os.path.join(os.path.dirname(SCALING), "results")
        with open(os.path.join(results, "scaling.rows")) as rows, open(os.path.join(results, "scaling.md")) as document:
            self.assertEqual(self.made_of(rows.read()), document.read())

    def test_threads_double_up_to_the_cpus(self):
        self.assertEqual(scaling.thread_counts(48), [1, 2, 4, 8, 16, 32])


if __name__ == "__main__":
    unittest.main()
