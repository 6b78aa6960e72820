# SPDX-License-Identifier: MIT
"""examples/launcher/mytool.py: a Python tool that starts again on ashlar.

If this fails, users of such a tool see a difference that they did not ask for:
other output, status, signals or environment, an endless loop, or no ashlar.

    launcher.py TOOL LIBRARY OTHER_ALLOCATOR
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

TOOL, LIBRARY, OTHER = map(pathlib.Path, sys.argv[1:4])
SECONDS = 60


class Launcher(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.tool = self.install(self.folder / "plain")
        self.environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}

    def install(self, folder):
        """The tool with the library beside it, as a package would lay them out."""
        folder.mkdir(parents=True)
        shutil.copy(TOOL, folder / "mytool.py")
        shutil.copy(LIBRARY, folder / "libashlar.so.1")
        return folder / "mytool.py"

    def command(self, *arguments, tool=None, python=("/usr/bin/python3",)):
        return [*python, str(tool or self.tool), *arguments]

    def run_tool(self, *arguments, tool=None, python=("/usr/bin/python3",), stdin="", cwd=None, **variables):
        done = subprocess.run(self.command(*arguments, tool=tool, python=python), input=stdin, text=True, cwd=cwd,
                              env={**self.environment, **variables}, capture_output=True, timeout=SECONDS)
        return done

    def allocator(self, **options):
        done = self.run_tool("about", **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.rpartition("allocator: ")[2].strip()

    def assert_on_ashlar(self, **options):
        self.assertRegex(self.allocator(**options), r"^ashlar \d+\.\d+\.\d+$")

    def assert_without(self, **options):
        self.assertEqual(self.allocator(**options), "the C library's")

    def inherited(self, **variables):
        """The environment of a command that the tool runs."""
        done = self.run_tool("run", "/usr/bin/env", "-0", **variables)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)

    # Where the library comes from

    def test_library_beside_the_tool_serves_it(self):
        self.assert_on_ashlar()

    def test_library_serves_every_allocation_of_the_interpreter(self):
        log = self.folder / "bindings"
        self.run_tool("about", LD_DEBUG="bindings", LD_DEBUG_OUTPUT=str(log), LD_BIND_NOW="1")
        text = "".join(path.read_text() for path in self.folder.glob("bindings.*"))
        for name in ("malloc", "free", "calloc", "realloc"):
            self.assertIn(f"to {self.folder}/plain/libashlar.so.1 [0]: normal symbol `{name}'", text)

    def test_library_beside_the_target_of_a_link_serves_it(self):
        link = self.folder / "bin" / "mytool"
        link.parent.mkdir()
        link.symlink_to(self.tool)
        self.assert_on_ashlar(tool=link)

    def test_configured_path_wins(self):
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        (self.tool.parent / "libashlar.so.1").rename(elsewhere / "other-name.so")
        self.assert_on_ashlar(MYTOOL_ASHLAR=str(elsewhere / "other-name.so"))

    def test_configured_relative_path_is_taken_from_the_current_directory(self):
        self.assert_on_ashlar(MYTOOL_ASHLAR="plain/libashlar.so.1", cwd=self.folder)
        self.assert_on_ashlar(MYTOOL_ASHLAR="libashlar.so.1", cwd=self.tool.parent)

    def test_empty_configured_path_runs_without(self):
        self.assert_without(MYTOOL_ASHLAR="")

    def test_missing_library_runs_without(self):
        self.assert_without(MYTOOL_ASHLAR="/nonexistent/libashlar.so.1")

    def test_library_of_another_machine_runs_without_a_word(self):
        library = self.tool.parent / "libashlar.so.1"
        image = bytearray(library.read_bytes())
        image[18:20] = b"\x08\x00"  # MIPS
        library.write_bytes(image)
        self.assert_without()

    def test_file_that_is_no_library_runs_without_a_word(self):
        (self.tool.parent / "libashlar.so.1").write_text("text")
        self.assert_without()

    # Paths

    def test_spaces_in_the_paths(self):
        tool = self.install(self.folder / "with some spaces")
        self.assert_on_ashlar(tool=tool)
        self.assertEqual(self.allocator(tool=tool), self.allocator())

    def test_spaces_in_the_paths_and_existing_variables(self):
        tool = self.install(self.folder / "with some spaces")
        done = self.run_tool("run", "/usr/bin/env", tool=tool, LD_LIBRARY_PATH="/nonexistent", LD_PRELOAD=str(OTHER))
        self.assertEqual(done.stderr, "")
        self.assertIn("LD_LIBRARY_PATH=/nonexistent\n", done.stdout)
        self.assertIn(f"LD_PRELOAD={OTHER}\n", done.stdout)

    def test_other_characters_in_the_paths(self):
        for name in ("täst", "a'b\"c", "new\nline", "-dash", "semi;colon"):
            self.assert_on_ashlar(tool=self.install(self.folder / name))

    def test_path_that_the_dynamic_linker_cannot_name_runs_without_a_word(self):
        self.assert_without(tool=self.install(self.folder / "colon:and space"))
        self.assert_without(tool=self.install(self.folder / "colon:alone"))

    # What the tool does is what it did

    def test_arguments_arrive_unchanged(self):
        arguments = ["", " ", "a b", "*", "$HOME", "'", "\\", "é", "--", "-c", "\udcff"]
        script = 'for a; do printf "<%s>" "$a"; done'
        command = self.command("run", "sh", "-c", script, "sh", *arguments)
        done = subprocess.run(command, env=self.environment, capture_output=True, timeout=SECONDS)
        wanted = "".join(f"<{argument}>" for argument in arguments)
        self.assertEqual(done.stdout, os.fsencode(wanted))

    def test_interpreter_and_its_options_are_the_same(self):
        self.tool.write_text(self.tool.read_text().replace(
            "sys.exit(main(sys.argv[1:]))", "print(sys.executable, sys.orig_argv, sys.warnoptions, sys._xoptions, "
            "sys.flags, sys.prefix, sys.path)"))
        options = ("/usr/bin/python3", "-B", "-W", "error", "-X", "utf8", "-O")
        with_it, without = (self.run_tool("about", python=options, MYTOOL_ASHLAR=path).stdout
                            for path in (str(LIBRARY), ""))
        self.assertEqual(with_it, without)
        self.assertIn("'-X', 'utf8'", with_it)

    def test_virtual_environment_is_kept(self):
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", self.folder / "venv"], check=True,
                       timeout=SECONDS)
        self.tool.write_text(self.tool.read_text().replace("sys.exit(main(sys.argv[1:]))", "print(sys.prefix); about()"))
        done = self.run_tool(python=(str(self.folder / "venv/bin/python"),))
        self.assertEqual(done.stdout.splitlines()[0], str(self.folder / "venv"))
        self.assertIn("ashlar ", done.stdout)

    def test_run_as_a_module_and_by_its_own_first_line(self):
        done = subprocess.run(["/usr/bin/python3", "-m", "mytool", "about"], cwd=self.tool.parent, text=True,
                              env=self.environment, capture_output=True, timeout=SECONDS)
        self.assertRegex(done.stdout, "allocator: ashlar")
        self.tool.chmod(0o755)
        done = subprocess.run([self.tool, "about"], text=True, env=self.environment, capture_output=True,
                              timeout=SECONDS)
        self.assertRegex(done.stdout, "allocator: ashlar")

    def test_script_from_a_pipe_runs_without(self):
        for name in ("-", "/dev/stdin"):
            done = subprocess.run(f"cat '{self.tool}' | /usr/bin/python3 {name} about", shell=True, text=True,
                                  env={**self.environment, "MYTOOL_ASHLAR": str(LIBRARY)}, capture_output=True,
                                  timeout=SECONDS)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, "allocator: the C library's")

    def test_standard_input_arrives_whole(self):
        text = "line of words\n" * 100000
        done = self.run_tool("count", stdin=text)
        self.assertEqual(done.stdout, " 100000  300000 1400000 -\n")
        self.assertEqual(done.stdout, self.run_tool("count", stdin=text, MYTOOL_ASHLAR="").stdout)

    def test_open_files_and_working_directory_are_kept(self):
        read, write = os.pipe()
        with open(write, "wb") as file:
            file.write(b"three words here\n")
        (self.folder / "relative").write_text("two words\n")
        with open(read, "rb"):
            done = subprocess.run(self.command("count", f"/dev/fd/{read}", "relative"), env=self.environment, text=True,
                                  cwd=self.folder, pass_fds=[read], capture_output=True, timeout=SECONDS)
        self.assertEqual(done.stderr, "")
        self.assertEqual([line.split()[:3] for line in done.stdout.splitlines()], [["1", "3", "17"], ["1", "2", "10"]])

    def test_exit_status_is_unchanged(self):
        for status in (0, 1, 2, 77, 255):
            self.assertEqual(self.run_tool("run", "sh", "-c", f"exit {status}").returncode, status)
        self.assertEqual(self.run_tool("run", "sh", "-c", "kill -TERM $$").returncode, 128 + signal.SIGTERM)
        self.assertEqual(self.run_tool("no such command").returncode, 2)

    def test_it_stays_one_process(self):
        """The pid that its parent knows is the one that does the work."""
        process = subprocess.Popen(self.command("run", "sh", "-c", "echo $PPID"), env=self.environment, text=True,
                                   stdout=subprocess.PIPE)
        self.assertEqual(int(process.communicate(timeout=SECONDS)[0]), process.pid)

    def ending_of(self, number, **variables):
        """How the tool ends when it gets a signal while it waits for its input."""
        process = subprocess.Popen(self.command("run", "sh", "-c", "echo ready; read line"), text=True,
                                   env={**self.environment, **variables}, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), "ready\n")
        process.send_signal(number)
        output, errors = process.communicate(timeout=SECONDS)
        return process.returncode, output, errors.splitlines()[-1:]

    def test_signals_end_it_as_before(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT):
            self.assertEqual(self.ending_of(number), self.ending_of(number, MYTOOL_ASHLAR=""))

    def test_ignored_signals_stay_ignored(self):
        script = 'trap "" HUP USR1; exec "$@"'
        masks = []
        for path in (str(LIBRARY), ""):
            done = subprocess.run(["sh", "-c", script, "sh", *self.command("run", "grep", "Sig", "/proc/self/status")],
                                  env={**self.environment, "MYTOOL_ASHLAR": path}, capture_output=True, text=True,
                                  timeout=SECONDS)
            masks.append([line for line in done.stdout.splitlines() if not line.startswith("SigQ")])
        self.assertEqual(masks[0], masks[1])
        ignored = int(next(line for line in masks[0] if line.startswith("SigIgn")).split()[1], 16)
        self.assertTrue(ignored >> (signal.SIGHUP - 1) & 1)

    # It starts again once, and leaves no traces

    def executions(self, **variables):
        """How often the tool's process executes an interpreter."""
        count = self.folder / "count"
        count.write_text("")
        self.tool.write_text(self.tool.read_text().replace(
            "import os\nimport sys\n", f"import os\nimport sys\nopen({str(count)!r}, 'a').write('x')\n", 1))
        self.assertEqual(self.run_tool("about", **variables).returncode, 0)
        return len(count.read_text())

    def test_it_starts_again_once(self):
        self.assertEqual(self.executions(), 2)

    def test_it_does_not_start_again_without_a_library(self):
        self.assertEqual(self.executions(MYTOOL_ASHLAR=""), 1)

    def test_it_does_not_start_again_when_ashlar_is_preloaded(self):
        self.assertEqual(self.executions(LD_PRELOAD=str(LIBRARY)), 1)
        self.assert_on_ashlar(LD_PRELOAD=str(LIBRARY), MYTOOL_ASHLAR="")

    def test_library_that_cannot_be_preloaded_ends_in_no_loop(self):
        library = self.tool.parent / "libashlar.so.1"
        library.write_bytes(library.read_bytes()[:64])
        done = self.run_tool("about")
        self.assertEqual(done.returncode, 0)
        self.assertIn("allocator: the C library's", done.stdout)

    def test_commands_inherit_the_environment_that_the_tool_got(self):
        for variables in ({}, {"LD_PRELOAD": ""}, {"LD_PRELOAD": str(OTHER)},
                          {"LD_PRELOAD": f"{OTHER} {OTHER}", "LD_LIBRARY_PATH": "/nonexistent"},
                          {"LD_LIBRARY_PATH": ""}):
            inherited = self.inherited(**variables)
            inherited.pop("_", None)
            self.assertEqual(inherited, {**self.environment, **variables})

    def test_existing_preload_is_kept_behind_ashlar(self):
        done = self.run_tool("run", "/usr/bin/env", LD_PRELOAD=str(OTHER), MYTOOL_ASHLAR_CHILDREN="1")
        self.assertIn(f"LD_PRELOAD={self.folder}/plain/libashlar.so.1:{OTHER}\n", done.stdout)
        self.assert_on_ashlar(LD_PRELOAD=str(OTHER))

    def test_commands_run_on_ashlar_when_asked(self):
        inherited = self.inherited(MYTOOL_ASHLAR_CHILDREN="1")
        self.assertEqual(inherited["LD_PRELOAD"], f"{self.folder}/plain/libashlar.so.1")
        self.assertEqual([name for name in inherited if name.startswith("_MYTOOL")], [])

    def test_tool_that_runs_the_tool_starts_both_on_ashlar(self):
        for children in ("0", "1"):
            done = self.run_tool("run", *self.command("run", *self.command("about")), MYTOOL_ASHLAR_CHILDREN=children)
            self.assertEqual(done.stderr, "")
            self.assertRegex(done.stdout, "allocator: ashlar")

    def test_marker_of_another_process_means_nothing(self):
        self.assert_on_ashlar(_MYTOOL_STARTED="1")


if __name__ == "__main__":
    started = time.monotonic()
    result = unittest.main(argv=["launcher", "-v"], exit=False).result
    print(f"{result.testsRun} tests, {time.monotonic() - started:.1f} s")
    sys.exit(0 if result.wasSuccessful() and not result.skipped and result.testsRun > 20 else 1)
