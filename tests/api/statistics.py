#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""malloc_stats_print, stats_print, stats_interval and malloc_message, in processes of their own. If this fails, statistics
are printed too seldom, twice, at the wrong place, or not at all.

    statistics.py PROGRAM
"""
import json
import os
import re
import signal
import subprocess
import sys
import unittest

PROGRAM = sys.argv.pop(1)
BEGIN, END = "___ Begin jemalloc statistics ___\n", "--- End jemalloc statistics ---\n"
MIB = 1 << 20
# All but the process's totals.
SHORT = "gmdablxeh"


def run(*args, conf=""):
    """(what is on standard output, on standard error)"""
    clean = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "ASHLAR_CONF")}
    done = subprocess.run([PROGRAM, *map(str, args)], env={**clean, "MALLOC_CONF": conf}, capture_output=True, text=True, timeout=110)
    if done.returncode:
        raise AssertionError(f"{args} under {conf!r} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout, done.stderr


def documents(text):
    """The JSON objects that follow one another."""
    found, decoder = [], json.JSONDecoder()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


class AtExit(unittest.TestCase):
    def test_nothing_is_printed_without_the_option(self):
        self.assertEqual(run("allocate", MIB, 1000, 1), ("", ""))

    def test_text_is_printed_once(self):
        _, text = run("allocate", MIB, 1000, 1, conf="stats_print:true")
        self.assertEqual((text.count(BEGIN), text.count(END)), (1, 1))
        self.assertTrue(text.startswith(BEGIN) and text.endswith(END), text[:200])
        self.assertIn("\nArenas: ", text)
        self.assertRegex(text, r"\ncommitted \d+ = .*, residual -?\d+\n--- End")

    def test_letters_choose_and_add_up(self):
        _, text = run("allocate", MIB, 1000, 1, conf="stats_print:true,stats_print_opts:J")
        self.assertIn("version", documents(text)[0]["jemalloc"])
        _, text = run("allocate", MIB, 1000, 1, conf="stats_print:true,stats_print_opts:Jz,stats_print_opts:ga")
        self.assertEqual(list(documents(text)[0]["jemalloc"]), ["stats", "stats.arenas"])
        self.assertEqual(list(documents(text)[0]["jemalloc"]["stats.arenas"]), ["merged"])

    def test_the_programs_own_handlers_may_print_before(self):
        _, text = run("at-exit", conf=f"stats_print:true,stats_print_opts:J{SHORT}")
        self.assertEqual(len(documents(text)), 2)

    def test_children_print_too(self):
        _, text = run("fork", conf=f"stats_print:true,stats_print_opts:{SHORT}")
        self.assertEqual(text.count(BEGIN), 1)  # they end by _exit


class Interval(unittest.TestCase):
    def prints(self, total, size, threads=1, interval=MIB, more=""):
        _, text = run("allocate", total, size, threads, conf=f"stats_interval:{interval},stats_interval_opts:J{SHORT}{more}")
        found = documents(text)
        for document in found:
            self.assertEqual(list(document["jemalloc"]), ["stats"])
        return len(found)

    def test_small_objects_count_with_their_usable_size(self):
        self.assertEqual(self.prints(8 * MIB, 1024), 8)
        self.assertEqual(self.prints(5 * MIB, 1025), 6)  # 1280 each

    def test_large_objects_count(self):
        self.assertEqual(self.prints(8 * MIB, 65536), 8)

    def test_one_object_beyond_several_intervals_prints_once(self):
        self.assertEqual(self.prints(32 * MIB, 8 * MIB), 4)

    def test_all_threads_count_together(self):
        self.assertEqual(self.prints(16 * MIB, 1024, threads=4, interval=4 * MIB), 4)

    def test_zero_prints_at_each_allocation_and_minus_one_never(self):
        self.assertIn(self.prints(20 * 1024, 1024, interval=0), range(20, 60))
        self.assertEqual(self.prints(8 * MIB, 1024, interval=-1), 0)

    def test_it_works_with_the_checks_and_without_caches(self):
        for more in (",check:full", ",tcache:false", ",junk:true", ",zero:true"):
            self.assertIn(self.prints(8 * MIB, 1024, more=more), (8, 9), more)

    def test_text_is_printed_where_no_letter_says_json(self):
        _, text = run("allocate", 4 * MIB, 1024, 1, conf="stats_interval:2097152")
        self.assertEqual((text.count(BEGIN), text.count(END)), (2, 2))


class Message(unittest.TestCase):
    def test_what_is_printed_goes_to_the_programs_function_with_its_argument(self):
        out, err = run("message")
        self.assertEqual(err, "")
        self.assertRegex(out, rf"(?s)\A<{BEGIN}Allocated: .*{END}>\{{\{{\"jemalloc\":.*\}}\}}\}}\Z")

    def test_statistics_at_exit_go_there_too_and_its_allocations_print_nothing_of_their_own(self):
        out, err = run("message", conf=f"stats_print:true,stats_print_opts:{SHORT},stats_interval:0,stats_interval_opts:{SHORT}")
        self.assertTrue(out.endswith(f"{END}>"), out[-200:])
        self.assertEqual(len(re.findall("[<{](?:___ Begin|{\"jemalloc)", out)), out.count("<___") + 1)
        self.assertNotIn("<<", out)


    def test_an_error_found_with_a_lock_held_ends_the_program_though_its_function_allocates(self):
        for conf in ("tcache:false", "check:full"):
            done = subprocess.run([PROGRAM, "misuse"], env={**os.environ, "MALLOC_CONF": conf}, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, -signal.SIGABRT, conf)
            self.assertIn("free: double free of 0x", done.stdout + done.stderr)


class Together(unittest.TestCase):
    def test_threads_print_and_allocate_at_the_same_time(self):
        for conf in ("", "check:full", "tcache:false"):
            self.assertEqual(run("storm", conf=conf), ("", ""))

    def test_the_smallest_stack_of_a_thread_is_enough(self):
        self.assertEqual(run("small-stack"), ("", ""))

    def test_children_of_a_process_that_prints_can_print(self):
        self.assertEqual(run("fork"), ("", ""))


if __name__ == "__main__":
    unittest.main()
