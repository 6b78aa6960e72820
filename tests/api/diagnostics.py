#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What malloc_info writes is XML that adds up and has glibc's shape. If this fails, a monitor of glibc's heap cannot
read ours, or reads sums that are wrong.

    diagnostics.py REPORT LIBRARY
"""
import os
import re
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ElementTree

REPORT, LIBRARY = sys.argv[1:]
HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../include/ashlar/ashlar.h")
SIZE = 1000 * 100 + 10_000_000
# What glibc tells and we cannot: docs/ashlar.3.
NOT_HERE = {"system type=max", "aspace type=mprotect", "unsorted", "aspace type=subheaps"}


def reports(**environment):
    """[(uordblks, bytes of mappings, document)] before and after."""
    clean = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "MALLOC_CONF", "ASHLAR_CONF", "MALLOC_PERTURB_")}
    done = subprocess.run([REPORT], env={**clean, **environment}, capture_output=True, text=True, timeout=60, check=True)
    found = re.findall(r"^(\d+) (\d+)\n(.*?)^end\n", done.stdout, re.M | re.S)
    assert len(found) == 2 and done.stderr == "", done
    return [(int(used), int(mapped), ElementTree.fromstring(text)) for used, mapped, text in found]


def ours(conf=""):
    return reports(LD_PRELOAD=LIBRARY, MALLOC_CONF=conf)


def number(element, path, attribute="size"):
    return int(element.find(path).get(attribute))


def names(element):
    """The elements inside, with their types."""
    return {child.tag + (f" type={child.get('type')}" if child.get("type") else "") for child in element}


class Diagnostics(unittest.TestCase):
    def test_uordblks_and_mappings_grow_by_what_is_allocated_as_in_glibc(self):
        for before, after in (reports(), ours(), ours("tcache:false")):
            grown = after[0] + after[1] - before[0] - before[1]
            self.assertTrue(SIZE <= grown <= 1.25 * SIZE, grown)

    def test_in_ours_uordblks_has_all(self):
        before, after = ours()
        self.assertEqual(after[0] - before[0], 1000 * 112 + 10_002_432)
        self.assertEqual((before[1], after[1]), (0, 0))

    def test_what_glibc_tells_stands_at_the_same_place(self):
        glibc, here = reports()[1][2], ours()[1][2]
        self.assertEqual((here.tag, here.attrib), (glibc.tag, glibc.attrib))
        self.assertEqual(names(glibc) - NOT_HERE - names(here), set())
        self.assertEqual(names(glibc.find("heap")) - NOT_HERE - names(here.find("heap")), set())
        self.assertEqual(here.find("heap").attrib, glibc.find("heap").attrib)
        sizes = glibc.findall("heap/sizes/size") or [ElementTree.fromstring('<size from="" to="" total="" count=""/>')]
        self.assertLessEqual(set(sizes[0].attrib), set(here.find("heap/sizes/size").attrib))

    def test_sizes_add_up_to_the_totals_of_their_heap(self):
        for _, _, document in ours() + ours("tcache:false,narenas:4"):
            for heap in document.findall("heap"):
                sizes = heap.findall("sizes/size")
                for attribute, total in (("total", "size"), ("count", "count")):
                    self.assertEqual(sum(int(s.get(attribute)) for s in sizes),
                                     number(heap, "total[@type='fast']", total) + number(heap, "total[@type='rest']", total))
                for s in sizes:
                    self.assertEqual(int(s.get("total")), int(s.get("count")) * int(s.get("to")))
                    self.assertLess(int(s.get("from")), int(s.get("to")))

    def test_ranges_of_sizes_meet(self):
        _, _, document = ours()[1]
        sizes = {int(s.get("to")): int(s.get("from")) for s in document.findall("heap/sizes/size")}
        self.assertEqual(sizes[112], 97)
        self.assertGreater(len(sizes), 1)

    def test_heaps_and_caches_add_up_to_the_totals(self):
        for conf in ("", "tcache:false"):
            for _, _, document in ours(conf):
                statistics = {name: int(value) for name, value in document.find("ashlar").attrib.items()}
                fast = sum(number(h, "total[@type='fast']") for h in document.findall("heap"))
                rest = sum(number(h, "total[@type='rest']") for h in document.findall("heap"))
                self.assertEqual(number(document, "total[@type='rest']"), rest)
                self.assertGreaterEqual(number(document, "total[@type='fast']"), fast)
                self.assertLessEqual(number(document, "total[@type='fast']"), statistics["cached"])
                self.assertEqual(number(document, "system[@type='current']"), statistics["held"])
                slabs = sum(number(h, "system[@type='current']") for h in document.findall("heap"))
                self.assertEqual(slabs, statistics["slab"])
                self.assertLessEqual(statistics["small_in_use"] + number(document, "total[@type='fast']") + rest, slabs)

    def test_the_last_element_has_the_statistics_and_they_grow(self):
        (used, _, before), (then, _, after) = ours()
        self.assertEqual(after[-1].tag, "ashlar")
        self.assertEqual(number(before, "ashlar", "in_use"), used)
        self.assertEqual(number(after, "ashlar", "in_use"), then)
        with open(HEADER) as file:
            body = re.search(r"struct ashlar_stats \{(.*?)\};", file.read(), re.S).group(1)
        fields = re.findall(r"^\s*\w+ (\w+);", body, re.M)
        self.assertGreater(len(fields), 10)
        self.assertEqual(list(after[-1].attrib), fields)


unittest.main(argv=["diagnostics", "-v"])
