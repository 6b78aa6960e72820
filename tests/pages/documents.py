#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""The documents name what the header and the table have. If this fails, an operator meets a line that nobody explains.

    documents.py
"""
import os
import pathlib
import re
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(os.environ["ASHLAR_SRC"])
HEADER = re.sub(r"/\*.*?\*/", "", (SOURCE / "include/ashlar/ashlar.h").read_text(), flags=re.S)
TUNING = (SOURCE / "docs/tuning.md").read_text()
PAGE = (SOURCE / "docs/ashlar.3").read_text()


def fields(struct):
    body = re.search(rf"struct {struct} \{{(.*?)\}};", HEADER, re.S).group(1)
    return re.findall(r"(\w+);", body)


def table():
    """The part of malloc_stats()'s table that begins with the states."""
    env = {**os.environ, "LD_PRELOAD": os.environ["ASHLAR_LIB"], "ASHLAR_CONF": "stats_print:true"}
    done = subprocess.run(["/bin/true"], env=env, capture_output=True, text=True, timeout=30, check=True)
    return done.stderr[done.stderr.index("       pages "):done.stderr.index("--- End")].splitlines()


def explained():
    """The first columns of the tables in docs/tuning.md."""
    return [row.split("|")[1].strip() for row in TUNING.splitlines() if row.startswith("| ")]


class Documents(unittest.TestCase):
    def test_manual_describes_every_field_in_order(self):
        body = re.search(r"^\.Ss States of pages$(.*?)(?=^\.S[hs] )", PAGE, re.M | re.S).group(1)
        self.assertEqual(re.findall(r"^\.It Fa (\w+)$", body, re.M), fields("ashlar_pages"))
        for member in fields("ashlar_state"):
            self.assertRegex(body, rf"(?m)^\.Fa {member}\b")
        for name in re.findall(r"\b(ASHLAR_(?:BY_)?[A-Z]+)\b", HEADER):
            if name != "ASHLAR_H":
                self.assertRegex(body, rf"(?m)^\.Dv {name}\b")

    def test_tuning_explains_every_line_of_the_table(self):
        rows = explained()
        lines = [line.split()[0] for line in table()[1:]]
        self.assertGreater(len(lines), 9)
        for word in lines:
            self.assertTrue(any(row.split()[0] == word for row in rows), word)

    def test_tuning_explains_no_line_that_the_table_lacks(self):
        rows = explained()
        first = rows.index("meta")
        last = next(i for i, row in enumerate(rows) if row.startswith("committed "))
        self.assertEqual([row.split()[0] for row in rows[first:last + 1]], [line.split()[0] for line in table()[1:]])


unittest.main(argv=["documents", "-v"])
