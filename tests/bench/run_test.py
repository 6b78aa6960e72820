#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""bench/run over invented workloads whose figures are known, in a tree of its own: the true bench/run and bench/suite, and fakes of all
that they run.

If one of these fails, a comparison can be wrong without anybody seeing it: a run lost or counted twice, a loss that the report does not
show, figures of an allocator that was not even loaded.
"""

import csv
import html.parser
import json
import lzma
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
import xml.etree.ElementTree

SOURCE = os.environ["ASHLAR_SRC"]
LIBRARY = os.environ["ASHLAR_LIB"]
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(SOURCE, "bench"))
from suite import allocators, document, figures, machine, measure, plots, process, report, results  # noqa: E402
from suite.basics import read  # noqa: E402

LIMIT = 60
VOID = ("meta", "br", "img")


class Tree(unittest.TestCase):
    """A folder with bench/run, its suite, and fakes beside them."""

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="ashlar-run-test.")
        self.addCleanup(shutil.rmtree, self.root)
        self.out, self.log, self.plan_file = (self.path(name) for name in ("out", "log", "plan"))
        for folder in ("bench/programs", "bench/trace/traces", "build/bench", "libraries", "no-tools"):
            os.makedirs(self.path(folder))
        shutil.copy(os.path.join(SOURCE, "bench", "run"), self.path("bench"))
        shutil.copytree(os.path.join(SOURCE, "bench", "suite"), self.path("bench/suite"), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(os.path.join(HERE, "fake.py"), self.path("build/bench/ashlar-bench"))
        shutil.copy(LIBRARY, self.path("build/libashlar.so.1"))
        self.peers = ",".join(f"{name}={self.library(name)}" for name in ("a", "b"))

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def library(self, name):
        """Another file with the same code: it can be preloaded, and is told apart."""
        target = self.path("libraries", f"lib{name}.so.1")
        shutil.copy(LIBRARY, target)
        return target

    def plan(self, workloads, **more):
        with open(self.plan_file, "w") as file:
            json.dump({"workloads": workloads, "programs": {}, "log": self.log, **more}, file)

    def command(self, *words, peers=None):
        return [self.path("bench/run"), "--peers", self.peers if peers is None else peers, "--out", self.out, *words]

    def environment(self, with_tools):
        env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
        return {**env, "ASHLAR_BUILD": self.path("build"), "FAKE_PLAN": self.plan_file, "TMPDIR": self.root,
                "PATH": "/usr/bin:/bin" if with_tools else self.path("no-tools")}

    def run_bench(self, *words, status=0, with_tools=False, peers=None):
        """Its output; without tools it draws no plots and asks no package manager, which takes most of the time."""
        done = subprocess.run(self.command(*words, peers=peers), env=self.environment(with_tools), capture_output=True, text=True,
                              timeout=LIMIT)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def ran(self):
        """[(workload, allocator)] in the order in which the fakes ran."""
        with open(self.log) as file:
            return [tuple(line.split()[:2]) for line in file]

    def rows(self):
        return list(csv.DictReader(results.lines_of(os.path.join(self.out, "results.csv"))[1]))

    def text(self, name):
        with open(os.path.join(self.out, name)) as file:
            return file.read()


class Order(Tree):
    def test_allocators_take_turns_and_each_round_begins_with_another(self):
        self.plan({"micro/x": {}, "micro/y": {}})
        self.run_bench("--rounds", "3")
        order = [name for _, name in self.ran()]
        self.assertEqual(order, ["ashlar", "a", "b"] * 2 + ["a", "b", "ashlar"] * 2 + ["b", "ashlar", "a"] * 2)
        self.assertEqual([w for w, _ in self.ran()], (["micro/x"] * 3 + ["micro/y"] * 3) * 3)
        self.assertEqual([(row["workload"], row["allocator"]) for row in self.rows()], self.ran())

    def test_each_run_is_told_with_the_time_left(self):
        self.plan({"micro/x": {}, "micro/y": {}})
        lines = [line for line in self.run_bench("--rounds", "1").stderr.splitlines() if line.startswith("[")]
        self.assertEqual(len(lines), 6)
        self.assertRegex(lines[0], r"^\[1/6\] micro/x ashlar$")
        self.assertRegex(lines[1], r"^\[2/6, \d+:\d\d left\] micro/x a$")

    def test_only_and_rounds_and_threads_choose_what_runs(self):
        self.plan({"micro/x": {}, "contend/y": {"threaded": True}})
        self.run_bench("--rounds", "1", "--only", "^contend/y$", "--threads", "3", peers="glibc")
        self.assertEqual(self.ran(), [("contend/y", "ashlar"), ("contend/y", "glibc")])
        with open(self.log) as file:
            self.assertIn("--threads=3", file.read())

    def test_quick_takes_three_rounds_the_quick_amount_and_a_scaling_curve(self):
        self.plan({"micro/x": {}, "contend/y": {"threaded": True}, "contend/alone": {}})
        self.run_bench("--quick", peers="glibc")
        self.assertEqual({row["workload"] for row in self.rows()}, {"micro/x", "contend/y", "contend/alone", "contend/y@1", "contend/y@2"})
        self.assertEqual(len(self.rows()), 5 * 2 * 3)
        with open(self.log) as file:
            calls = file.read().splitlines()
        self.assertTrue(all("--quick" in call for call in calls))
        self.assertEqual(sum("--threads=2" in call for call in calls), 2 * 3)

    def test_list_runs_nothing(self):
        self.plan({"micro/x": {}})
        self.assertRegex(self.run_bench("--list").stdout, r"(?s)^micro/x\nashlar: libashlar.*\na: liba\.so\.1 \(sha256 \w+\)\n")
        self.assertFalse(os.path.exists(self.log))


class Sources(Tree):
    def setUp(self):
        super().setUp()
        shutil.copy(os.path.join(HERE, "fake.py"), self.path("bench/programs/run"))
        shutil.copy(os.path.join(HERE, "fake.py"), self.path("build/bench/ashlar-replay"))
        with lzma.open(self.path("bench/trace/traces/kept.trace.xz"), "wb") as file:
            file.write(b"kept\n")

    def test_programs_and_traces_run_beside_the_synthetic_workloads(self):
        self.plan({"micro/x": {}, "programs/p": {}, "replay/kept": {}}, programs={"p": "ok", "q": "install q-server"})
        done = self.run_bench("--rounds", "1")
        self.assertEqual([w for w, _ in self.ran()], ["micro/x"] * 3 + ["programs/p"] * 3 + ["replay/kept"] * 3)
        self.assertIn("without programs/q: install q-server", done.stderr)
        self.assertIn("missing: programs/q: install q-server", self.text("report.md"))
        series = results.load_series(self.out)["programs/p", "ashlar"][0]
        self.assertEqual(series, [(0.0, 1000.0), (0.1, 3000.0), (0.2, 3000.0)])
        self.assertEqual([row["mean_kib"] for row in self.rows() if row["workload"] == "programs/p"], ["2000"] * 3)
        self.assertGreater(len(results.load_series(self.out)["replay/kept", "ashlar"][0]), 0)

    def test_what_is_not_there_is_said_and_the_rest_runs(self):
        os.remove(self.path("bench/programs/run"))
        os.remove(self.path("build/bench/ashlar-replay"))
        self.plan({"micro/x": {}})
        done = self.run_bench("--rounds", "1")
        self.assertIn("without programs: there is no bench/programs/run", done.stderr)
        self.assertIn("without replay: there is no ashlar-replay", done.stderr)
        self.assertEqual(len(self.rows()), 3)


class Peers(Tree):
    def test_a_missing_peer_is_said_with_its_package_and_the_rest_runs(self):
        with unittest.mock.patch.object(allocators, "library_folders", lambda: [self.path("no-tools")]), \
                unittest.mock.patch.object(allocators, "note") as note:
            self.assertEqual(allocators.find_peers(allocators.DEFAULT_PEERS), {"glibc": ""})
        said = " ".join(call.args[0] for call in note.call_args_list)
        for package in ("libjemalloc2", "libmimalloc2.0", "libgoogle-perftools4", "libtcmalloc-minimal4", "libtbbmalloc2"):
            self.assertIn(f"install the package {package} ", said)
        self.assertIn("your distribution's", said)

    def test_a_library_that_was_not_loaded_stops_everything(self):
        with open(self.path("libraries/libbroken.so"), "w") as file:
            file.write("no library\n")
        self.plan({"micro/x": {}})
        done = self.run_bench("--rounds", "1", status=1, peers=f"broken={self.path('libraries/libbroken.so')}")
        self.assertRegex(done.stderr, r"micro/x with broken: malloc came from \S*libc\.so\.6, not from \S*libbroken\.so")
        self.assertEqual([row["allocator"] for row in self.rows()], ["ashlar"])

    def test_glibc_with_something_preloaded_is_not_glibc(self):
        with self.assertRaises(SystemExit):
            allocators.check_allocator("glibc", "", "/usr/lib/libjemalloc.so.2")
        allocators.check_allocator("glibc", "", "/usr/lib/x86_64-linux-gnu/libc.so.6")

    def test_an_unknown_peer_is_refused_with_the_known_ones(self):
        self.plan({"micro/x": {}})
        self.assertIn("--peers: jemaloc is not one of glibc, jemalloc", self.run_bench(status=1, peers="jemaloc").stderr)


class Resume(Tree):
    def stop_at(self, workload, name, number=signal.SIGINT):
        """Interrupts bench/run while this run is under way."""
        process = subprocess.Popen(self.command("--rounds", "2"), env=self.environment(False), stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + LIMIT
        while not (os.path.exists(self.log) and self.ran()[-1:] == [(workload, name)]):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 130, said)
        return said

    def test_what_was_stopped_goes_on_where_it_stopped(self):
        self.plan({"micro/x": {}, "micro/y": {"wait": "a"}})
        self.assertIn("with --resume goes on", self.stop_at("micro/y", "a"))
        self.assertEqual(len(self.rows()), 4)
        whole = self.text("results.csv")
        with open(os.path.join(self.out, "results.csv"), "a") as file:
            file.write("0,micro/y,a,0.1,0.")
        with open(os.path.join(self.out, "series.csv"), "a") as file:
            file.write("0,micro/y,a,0.001,77\n")
        self.plan({"micro/x": {}, "micro/y": {}})
        self.run_bench("--rounds", "2", "--resume")
        self.assertTrue(self.text("results.csv").startswith(whole))
        pairs = [(row["round"], row["workload"], row["allocator"]) for row in self.rows()]
        self.assertEqual(len(pairs), 12)
        self.assertEqual(len(set(pairs)), 12)
        self.assertEqual(len(self.ran()), 12 + 1)
        self.assertNotIn("0.001,77\n", self.text("series.csv"))

    def test_what_was_stopped_and_is_begun_anew_is_kept_aside(self):
        self.plan({"micro/x": {"wait": "a"}})
        self.stop_at("micro/x", "a")
        stopped = self.text("results.csv")
        self.plan({"micro/x": {}})
        self.assertIn("results.unfinished.csv", self.run_bench("--rounds", "1").stderr)
        self.assertEqual(self.text("results.unfinished.csv"), stopped)
        self.assertNotIn("unfinished", self.run_bench("--rounds", "1").stderr)
        self.assertEqual(len(self.rows()), 3)

    def test_a_stopped_run_leaves_no_process_and_no_scratch_behind(self):
        self.plan({"micro/x": {"wait": "ashlar"}})
        self.stop_at("micro/x", "ashlar", signal.SIGTERM)
        self.assertEqual([name for name in os.listdir(self.root) if name.startswith("ashlar-bench.")], [])
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as file:
                    self.assertNotIn(self.root, file.read())
            except OSError:
                pass

    def refused(self, *words, **more):
        before = self.text("results.csv")
        said = self.run_bench("--resume", *words, status=1, **more).stderr.strip()
        self.assertEqual(len(said.splitlines()), 1, said)
        self.assertIn("give the same options, or another --out", said)
        self.assertEqual(self.text("results.csv"), before)
        return said

    def test_other_options_or_another_library_are_refused_in_one_line(self):
        self.plan({"micro/x": {}})
        self.run_bench("--rounds", "1", "--only", "micro")
        self.assertIn('"rounds: 1", now it would be "rounds: 2"', self.refused("--rounds", "2", "--only", "micro"))
        self.assertIn('"only: micro"', self.refused("--rounds", "1", "--only", "x"))
        self.assertIn('"b: libb.so.1', self.refused("--rounds", "1", "--only", "micro", peers=self.peers.split(",")[0]))
        with open(self.path("libraries/liba.so.1"), "ab") as file:
            file.write(b"\0")
        self.assertIn('"a: liba.so.1', self.refused("--rounds", "1", "--only", "micro"))

    def test_what_is_complete_is_not_run_again(self):
        self.plan({"micro/x": {}})
        self.run_bench("--rounds", "1")
        self.run_bench("--rounds", "1", "--resume")
        self.assertEqual(len(self.ran()), 3)


class Failures(Tree):
    def test_a_failed_run_stops_and_names_the_command_that_repeats_it(self):
        self.plan({"micro/x": {}, "micro/y": {"fail": ["b"]}})
        said = self.run_bench("--rounds", "2", status=1).stderr
        match = re.search(r"micro/y with b failed, status 1: (LD_PRELOAD=\S*libb\.so\.1 .*)\nfake: cannot work with b", said)
        self.assertTrue(match, said)
        again = subprocess.run(match[1], shell=True, env=self.environment(True), capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual((again.returncode, again.stderr), (1, "fake: cannot work with b\n"))
        self.assertEqual(len(self.rows()), 5)

    def test_a_crash_and_a_silent_run_are_failures_too(self):
        self.plan({"micro/x": {"die": ["a"]}})
        self.assertIn("micro/x with a failed, by SIGABRT", self.run_bench(status=1).stderr)
        self.plan({"micro/x": {"silent": ["a"]}})
        self.assertIn("micro/x with a printed something else than its figures", self.run_bench(status=1).stderr)

    def test_keep_going_records_the_failure_and_shows_it(self):
        self.plan({"micro/x": {"user_s": 0.2}, "micro/y": {"fail": ["b"]}})
        self.run_bench("--rounds", "2", "--keep-going")
        self.assertEqual(len(self.rows()), 12)
        failed = [row for row in self.rows() if "failed" in json.loads(row["counters"])]
        self.assertEqual([(row["workload"], row["allocator"], row["user_s"]) for row in failed], [("micro/y", "b", "")] * 2)
        text = self.text("report.md")
        self.assertRegex(text, r"(?s)## Failed\n.*\| micro/y \| b \| \*\*micro/y with b failed, status 1: ")
        self.assertRegex(text, r"\| micro/y \|.*\| \*\*failed\*\* \|")
        self.assertIn("CPU time, synthetic (1)", text)

    def test_our_own_failure_is_not_passed_over(self):
        self.plan({"micro/x": {}, "micro/y": {"fail": ["ashlar"]}})
        self.run_bench("--rounds", "1", "--keep-going")
        self.assertIn("Nothing to compare (it failed): micro/y.", self.text("report.md"))
        self.assertRegex(self.text("report.md"), r"\| micro/y \| ashlar \| \*\*micro/y with ashlar failed")


class Page(html.parser.HTMLParser):
    """Notes what is not closed, and every reference."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.references, self.tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [value for key, value in attributes if key in ("src", "href", "xlink:href", "srcset", "data", "action")]
        self.references += re.findall(r"url\(([^)]*)\)", " ".join(value or "" for _, value in attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


class Report(Tree):
    # CPU and peak of ours beside the best peer's: a loss, a larger one, a win, a small loss within the spread, a loss of memory.
    PLAN = {
        "micro/lost": {"user_s": 0.1, "by": {"ashlar": {"user_s": 0.15}, "b": {"user_s": 0.3}}},
        "micro/lost_more": {"user_s": 0.1, "by": {"ashlar": {"user_s": 0.9}}},
        "micro/won": {"user_s": 0.4, "by": {"ashlar": {"user_s": 0.1}}},
        "micro/unsure": {"user_s": 0.1, "slower": 0.4, "by": {"ashlar": {"user_s": 0.11}}},
        "micro/alike": {},
        "memory/fat": {"peak_kib": 14000, "by": {"ashlar": {"peak_kib": 34000}}, "counters": {"rss_live_mean": 1.5}},
        "memory/left": {"end_kib": 14000, "by": {"ashlar": {"end_kib": 15500}}},
        "contend/points": {"threaded": True},
    }

    made = None

    def make(self):
        """One run serves all tests; each gets a copy of what it wrote."""
        if not Report.made:
            self.plan(self.PLAN)
            self.run_bench("--rounds", "3", "--threads", "2", with_tools=True)
            Report.made = tempfile.TemporaryDirectory(prefix="ashlar-report-test.")
            shutil.copytree(self.out, os.path.join(Report.made.name, "out"))
        else:
            shutil.copytree(os.path.join(Report.made.name, "out"), self.out)

    @classmethod
    def tearDownClass(cls):
        if Report.made:
            Report.made.cleanup()

    def table_after(self, heading):
        """The cells of the first table below a heading of report.md."""
        lines = self.text("report.md").split(heading, 1)[1].splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith("|"))
        table = [line for line in lines[first + 2:lines.index("", first)]]
        return [[cell.strip().strip("*") for cell in line.strip("|").split(" | ")] for line in table]

    def test_all_losses_are_listed_worst_first_and_nothing_else(self):
        self.make()
        self.assertEqual([(row[0], row[2], row[4]) for row in self.table_after("### CPU time, by more than 5 %: 3 losses")],
                         [("micro/lost_more", "9.00", "yes"), ("micro/lost", "1.50", "yes"), ("micro/unsure", "1.10", "no")])
        # How long a fake runs, and so its mean over time, is chance.
        rows = [row for row in self.table_after("### Memory, by more than 10 %") if not row[1].startswith("mean over time")]
        self.assertEqual([(row[0], row[1], row[2]) for row in rows],
                         [("memory/fat", "peak above idle", "3.00"), ("memory/left", "end above idle", "1.15")])

    def test_tables_have_every_workload_losses_first(self):
        self.make()
        rows = self.table_after("### CPU time: micro")
        self.assertEqual([row[0] for row in rows][:3], ["micro/lost_more", "micro/lost", "micro/unsure"])
        self.assertEqual(sorted(row[0] for row in rows), sorted(name for name in self.PLAN if name.startswith("micro")))
        self.assertEqual(rows[1][1:3] + rows[1][5:], ["1.50", "a", "1.00", "3.00"])
        self.assertEqual(rows[-1][:2], ["micro/won", "0.25"])

    def test_means_are_the_geometric_ones_of_the_medians(self):
        self.make()
        rows = {row[0]: row[1:] for row in self.table_after("## In short")}
        product = 9 * 1.5 * 0.25 * 1.1
        self.assertEqual(rows["a"][0], f"{product ** (1 / 8):.2f}")
        self.assertEqual(rows["b"][0], f"{(product / 3) ** (1 / 8):.2f}")
        self.assertEqual(rows["the best single peer"][0], f"{product ** (1 / 8):.2f} (a)")
        self.assertEqual(rows["the best peer of each workload"][1], f"{3 ** (1 / 8):.2f}")

    def test_every_figure_of_every_run_is_in_the_data(self):
        self.make()
        rows = self.rows()
        self.assertEqual(len(rows), 3 * 3 * (len(self.PLAN) + 2))
        times = [float(row["user_s"]) for row in rows if (row["workload"], row["allocator"]) == ("micro/lost", "b")]
        self.assertEqual(times, [0.3, 0.303, 0.306])
        self.assertTrue(all(json.loads(row["counters"])["operations"] == 100000 for row in rows))
        self.assertIn("memory/fat,b,3,0.2,0,0.101,", self.text("medians.csv"))

    def test_the_head_of_the_data_says_what_it_depends_on(self):
        self.make()
        for name in ("results.csv", "series.csv"):
            for key in ("command", "date", "machine", "kernel", "transparent huge pages", "load at start", "options in the environment",
                        "rounds", "work", "threads", "ashlar", "a", "b"):
                self.assertRegex(self.text(name), rf"(?m)^# {key}: \S")

    def test_scaling_has_a_row_for_each_count_of_threads(self):
        self.make()
        self.assertEqual([row[:2] for row in self.table_after("## Scaling")],
                         [["contend/points@1", "0.5 (19.5)"], ["contend/points@2", "0.5 (19.5)"]])

    def test_without_gnuplot_the_report_names_its_package(self):
        self.make()
        done = self.run_bench("--report")
        self.assertIn("install the package gnuplot-nox", done.stderr)
        self.assertIn("install the package gnuplot-nox", self.text("report.html"))
        self.assertNotIn("<svg", self.text("report.html"))
        self.assertNotIn(".svg", self.text("report.md"))

    def test_peers_alone_are_compared_with_the_best_of_them(self):
        self.plan(self.PLAN)
        self.run_bench("--rounds", "1", "--ours", "none", with_tools=True)
        self.assertLessEqual({"cpu-micro.svg", "memory-memory.svg", "overview.svg"}, set(os.listdir(os.path.join(self.out, "plots"))))
        self.assertIn("relative to the best allocator of each workload", self.text("report.md"))
        self.assertEqual(self.table_after("### CPU time: micro")[0], ["micro/lost", "0.100", "0.300 (x 3)"])

    def test_plots_are_drawn_and_the_page_needs_nothing_else(self):
        self.make()
        wanted = {"overview", "cpu-micro", "cpu-memory", "cpu-contend", "memory-micro", "memory-memory", "memory-contend", "rss-memory-fat",
                  "rss-memory-left", "scaling-contend-points"}
        drawn = os.listdir(os.path.join(self.out, "plots"))
        self.assertEqual({name.removesuffix(".svg") for name in drawn if name.endswith(".svg")}, wanted)
        for name in wanted:
            shapes = xml.etree.ElementTree.parse(os.path.join(self.out, "plots", name + ".svg")).getroot().iter()
            self.assertGreater(sum(shape.tag.endswith("path") for shape in shapes), 5, name)
            self.assertIn(f"](plots/{name}.svg)", self.text("report.md"))
        if plots.makes_png():
            self.assertEqual({name.removesuffix(".png") for name in drawn if name.endswith(".png")}, wanted)
        self.check_page(len(wanted))

    def check_page(self, plots_wanted):
        text, page = self.text("report.html"), Page()
        page.feed(text)
        page.close()
        self.assertEqual((page.wrong, page.open), ([], []))
        self.assertEqual([ref for ref in page.references if not ref.strip("'\"").startswith("#")], [])
        names = set(re.findall(r"\bid=['\"]([^'\"]+)", text))
        self.assertEqual({ref.strip("'\"")[1:] for ref in page.references} - names, set())
        self.assertEqual(len(names), len(re.findall(r"\bid=['\"]", text)), "a name stands for two things")
        self.assertEqual(page.tags.count("svg"), plots_wanted)
        for word in ("<script", "<link", "@import", "http:", "https:", "<!ENTITY"):
            self.assertNotIn(word, text)
        for workload in self.PLAN:
            self.assertIn(f"<td>{workload}</td>", text)

    def test_the_report_can_be_made_again_from_the_files_alone(self):
        self.make()
        before = {name: self.text(name) for name in ("report.md", "report.html", "medians.csv")}
        for name in before:
            os.remove(os.path.join(self.out, name))
        with lzma.open(os.path.join(self.out, "series.csv.xz"), "wt") as packed:
            packed.write(self.text("series.csv"))
        os.remove(os.path.join(self.out, "series.csv"))
        self.run_bench("--report", with_tools=True)
        for name, text in before.items():
            self.assertEqual(self.text(name), text, name)


def of_files(folder, rows):
    """The table of results.csv with these (round, workload, allocator, figures) as rows."""
    names = list(dict.fromkeys(name for _, _, name, _ in rows))
    writer = results.Writer(folder, [f"{name}: a file" for name in names] + ["rounds: 1"], fresh=True)
    whole = {key: 0 for key in (*results.FIGURES, "mean_kib")}
    for r, workload, name, run in rows:
        writer.add((r, workload, name), {**whole, **run}, [])
    writer.close()
    return figures.Table(results.load(folder))


class Figures(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="ashlar-figures-test.")
        self.addCleanup(shutil.rmtree, self.folder)

    def table(self, *rows):
        return of_files(self.folder, rows)

    def test_a_spread_is_half_the_distance_between_the_quartiles(self):
        self.assertTrue(math.isnan(figures.spread([1.0])))
        self.assertAlmostEqual(figures.spread([1.0, 1.1, 1.2, 1.3, 9.0]), 0.1 / 1.2)

    def test_compared_are_medians(self):
        rows = [(r, "micro/x", name, {"user_s": user})
                for name, times in (("ashlar", (1, 6, 9)), ("a", (4, 4, 5))) for r, user in enumerate(times)]
        self.assertAlmostEqual(figures.compare_time(self.table(*rows), "micro/x").ratio, 6 / 4)

    def test_what_failed_once_is_compared_no_more(self):
        table = self.table((0, "micro/x", "ashlar", {"user_s": 1}), (0, "micro/x", "a", {"user_s": 1}), (0, "micro/x", "b", {"user_s": 2}))
        table.results.failed["micro/x", "a"] = "it crashed in another round"
        self.assertEqual((figures.compare_time(table, "micro/x").peer, figures.group_workloads(table, ["micro"])), ("b", []))

    def test_memory_is_above_idle_from_8_mib_on_and_the_whole_peak_below(self):
        table = self.table((0, "micro/big", "ashlar", {"peak_kib": 9000, "idle_kib": 5000}),
                           (0, "micro/big", "a", {"peak_kib": 7000, "idle_kib": 5000}),
                           (0, "micro/small", "ashlar", {"peak_kib": 5000, "idle_kib": 4990}),
                           (0, "micro/small", "a", {"peak_kib": 4000, "idle_kib": 3999}))
        self.assertAlmostEqual(figures.compare_memory(table, "micro/big").ratio, 2)
        self.assertAlmostEqual(figures.compare_memory(table, "micro/small").ratio, 1.25)
        self.assertEqual([c.workload for c in figures.memory_losses(table)], ["micro/big", "micro/small"])

    def test_what_a_real_program_needs_to_start_is_its_own(self):
        table = self.table((0, "programs/server", "ashlar", {"peak_kib": 11000, "idle_kib": 10900, "end_kib": 11000}),
                           (0, "programs/server", "a", {"peak_kib": 10000, "idle_kib": 9990, "end_kib": 9000}))
        found = [(c.figure, round(c.ratio, 2)) for c in figures.memory_comparisons(table, "programs/server")]
        self.assertEqual(found[:2], [("peak", 1.1), ("end", 1.22)])

    def test_one_round_does_not_say_what_is_chance(self):
        self.table((0, "micro/x", "ashlar", {"user_s": 2}), (0, "micro/x", "a", {"user_s": 1}))
        report.make(self.folder)
        with open(os.path.join(self.folder, "report.md")) as file:
            self.assertIn("| micro/x | CPU time | **2.00** | - | - | 2 s | a | 1 s |", file.read())

    def test_workloads_on_which_all_are_alike_are_named(self):
        same, other = {"user_s": 1.0, "peak_kib": 9000}, {"user_s": 1.2, "peak_kib": 9000}
        table = self.table((0, "micro/flat", "ashlar", same), (0, "micro/flat", "a", {**same, "user_s": 1.04}),
                           (0, "micro/tells", "ashlar", same), (0, "micro/tells", "a", other))
        self.assertEqual(figures.flat_workloads(table), ["micro/flat"])

    def test_a_mean_is_over_what_all_ran(self):
        table = self.table((0, "micro/x", "ashlar", {"user_s": 2}), (0, "micro/x", "a", {"user_s": 1}),
                           (0, "micro/y", "ashlar", {"user_s": 1}))
        _, workloads, figure = next(figures.mean_columns(table))
        self.assertEqual((workloads, figures.means(table, workloads, figure, "a")["ashlar"]), (["micro/x"], 2))

    def test_malloc_in_place_of_a_programs_own_allocator_is_compared_with_it_over_glibc(self):
        own = [(0, "programs/python", name, {"user_s": 1.0, "peak_kib": 9000}) for name in ("ashlar", "glibc")]
        table = self.table(*own, (0, "programs/python_malloc", "ashlar", {"user_s": 1.25, "peak_kib": 9900}),
                           (0, "programs/python_malloc", "glibc", {"user_s": 0.5, "peak_kib": 9000}))
        rows = [[document.text_of(cell) for cell in row] for row in list(report.pairs_section(table))[-1][2]]
        self.assertEqual(rows, [["programs/python_malloc / python", "CPU time", "1.25", "0.50"],
                                ["programs/python_malloc / python", "peak memory", "1.10", "1.00"]])

    def test_points_of_a_curve_count_as_losses_but_in_no_mean(self):
        rows = [(0, w, name, {"user_s": 2 if name == "ashlar" else 1}) for w in ("contend/x", "contend/x@2") for name in ("ashlar", "a")]
        table = self.table(*rows)
        self.assertEqual([c.workload for c in figures.time_losses(table)], ["contend/x", "contend/x@2"])
        self.assertEqual(next(figures.mean_columns(table))[1], ["contend/x"])

    def test_a_busy_machine_is_said(self):
        self.assertIn("load 4.70", machine.busy_note(["load at start: 4.70 3.00 1.00"]))
        self.assertEqual(machine.busy_note(["load at start: 0.10 3.00 1.00"]), "")
        table = self.table((0, "micro/x", "a", {}))
        table.results.header.append("load at start: 4.70 3.00 1.00")
        self.assertTrue(any(kind == "note" and "busy" in text for kind, text in report.opening(table)))


class Measuring(unittest.TestCase):
    def test_time_left_is_weighted_by_what_each_workload_took(self):
        pace = measure.Pace()
        self.assertEqual(pace.left([(0, "x", "a")]), 0)
        pace.note("x", "a", 1.0)
        pace.note("x", "b", 3.0)
        pace.note("y", "a", 9.0)
        self.assertEqual(pace.left([(1, "x", "a"), (1, "x", "c"), (1, "y", "b"), (1, "z", "a")]), 1 + 2 + 9 + (2 + 9) / 2)

    def test_resident_memory_is_seen_over_time(self):
        program = "import time; b = bytearray(b'x') * (64 << 20); time.sleep(0.5); del b; time.sleep(0.5)"
        done = process.run([sys.executable, "-SEc", program], dict(os.environ), LIMIT)
        peak = max(kib for _, kib in done.series)
        self.assertEqual(done.status, 0)
        self.assertGreater(peak, 64 << 10)
        self.assertLess(done.series[-1][1], peak - (32 << 10))
        self.assertEqual(done.series, sorted(done.series))

    def test_what_takes_too_long_is_ended_with_all_that_it_started(self):
        with tempfile.TemporaryDirectory() as folder:
            mark = os.path.join(folder, "pid")
            with self.assertRaises(process.TooLong):
                process.run(["/bin/sh", "-c", f"sleep 100 & echo $! >{mark}; wait"], dict(os.environ), 1)
            with open(mark) as file:
                pid = int(file.read())
            until = time.monotonic() + LIMIT
            while "\nState:\tZ" not in read(f"/proc/{pid}/status", "\nState:\tZ"):
                self.assertLess(time.monotonic(), until)
                time.sleep(0.02)

    def test_a_mean_over_time_weighs_by_time(self):
        self.assertAlmostEqual(measure.mean_kib([(0.0, 100), (0.3, 500), (0.4, 500)]), 200)
        self.assertEqual(measure.mean_kib([(0.0, 100), (0.1, 500)]), -1)

    def test_a_plot_keeps_lows_and_highs(self):
        points = [(i / 1000, 1000 if i == 500 else 0 if i == 700 else 10) for i in range(2000)]
        kept = plots.thinned(points)
        self.assertLessEqual(len(kept), 2 * plots.BUCKETS + 3)
        self.assertEqual((max(kib for _, kib in kept), min(kib for _, kib in kept)), (1000, 0))


class Commands(unittest.TestCase):
    def said(self, *words):
        done = subprocess.run([os.path.join(SOURCE, "bench", words[0]), *words[1:]], capture_output=True, text=True, timeout=LIMIT)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_the_memory_suite_uses_the_same_parts(self):
        listed = self.said("memory/run", "--list", "--ours", "none", "--peers", "glibc")
        self.assertRegex(listed, r"(?m)^growing$(.|\n)*^glibc: no preload$")

    def test_deterministic_is_a_command_of_its_own(self):
        self.assertIn("bench/run --deterministic", self.said("run", "--deterministic", "--help"))


class Real(unittest.TestCase):
    """Only where ashlar-bench was built."""

    def test_a_little_of_ashlar_bench_runs_with_ours_and_with_glibc(self):
        with tempfile.TemporaryDirectory() as out:
            command = [os.path.join(SOURCE, "bench", "run"), "--quick", "--rounds", "1", "--ours", LIBRARY, "--peers", "glibc",
                       "--out", out, "--only", "^(micro/lifo_64|contend/larson(@2)?|memory/growing)$"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
            self.assertEqual(done.returncode, 0, done.stderr)
            found = results.load(out)
            self.assertEqual(set(found.workloads), {"micro/lifo_64", "contend/larson", "contend/larson@2", "memory/growing"})
            self.assertEqual(found.allocators, ["ashlar", "glibc"])
            for key, (run,) in found.runs.items():
                self.assertGreater(run["user_s"] + run["sys_s"], 0, key)
                self.assertGreater(run["operations"], 0, key)
                self.assertGreaterEqual(run["peak_kib"], run["idle_kib"], key)
                self.assertTrue(results.load_series(out)[key], key)


if __name__ == "__main__":
    unittest.main()
