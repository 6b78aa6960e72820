#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Tests the checkers of this folder on faulty trees and a toy allocator: one that sees nothing would pass everything.

    checkers_test.py --tracer TRACER --victim VICTIM --short-toy LIB --long-toy LIB
"""

import argparse
import os
import subprocess
import sys
import tempfile
import unittest

import callgrind_gate
import doc_paths
import exports
import fast_path
import golden
import mallctl_names
import options

LICENCE = "/* SPDX-License-Identifier: MIT */\n"
GOOD_TREE = {
    "base/os.h": LICENCE, "base/os.c": LICENCE + '#include "base/os.h"\n#include <sys/mman.h>\nint f(void)\n{\n\treturn munmap(0, 1);\n}\n',
    "arena/bin.h": LICENCE + '#include "base/os.h"\n', "arena/bin.c": LICENCE + '#include "arena/bin.h"\n',
    "tcache/tcache.h": LICENCE + '#include "arena/bin.h"\n', "tcache/tcache.c": LICENCE + '#include "tcache/tcache.h"\n',
    "alloc/malloc.c": LICENCE + '#include "tcache/tcache.h"\n#include <ashlar/ashlar.h>\n',
    "include/ashlar/ashlar.h": LICENCE, "README.md": "# x\n", "CONTRIBUTING.md": "# x\n",
}
ARGS = None


class Tree(unittest.TestCase):
    def run_on(self, checker, changes):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**GOOD_TREE, **changes}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w") as file:
                    file.write(text)
            return subprocess.run([golden.golden_path(checker), root], capture_output=True, text=True)

    def accepts(self, checker, changes):
        done = self.run_on(checker, changes)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)

    def refuses(self, checker, changes, message):
        done = self.run_on(checker, changes)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual(done.stdout.splitlines(), [message])


class Layering(Tree):
    def test_a_tree_that_keeps_the_ranks_passes(self):
        self.accepts("layering.py", {})

    def test_an_upward_include_is_refused(self):
        self.refuses("layering.py", {"base/os.h": LICENCE + '#include "numa/topology.h"\n', "numa/topology.h": LICENCE},
                     "base/os.h:2: base may not include numa/topology.h")

    def test_tcache_and_prof_do_not_know_each_other(self):
        self.refuses("layering.py", {"prof/count.h": LICENCE + '\n#include "tcache/tcache.h"\n'},
                     "prof/count.h:3: prof may not include tcache/tcache.h")
        self.refuses("layering.py", {"prof/count.h": LICENCE, "tcache/tcache.c": LICENCE + '#include "prof/count.h"\n'},
                     "tcache/tcache.c:2: tcache may not include prof/count.h")

    def test_a_circle_among_headers_is_refused(self):
        self.refuses("layering.py", {"arena/slab.h": LICENCE + '#include "bin.h"\n', "arena/bin.h": LICENCE + '#include "slab.h"\n'},
                     "includes in a circle: arena/bin.h -> arena/slab.h -> arena/bin.h")

    def test_a_c_file_that_includes_a_c_file_is_refused(self):
        self.refuses("layering.py", {"arena/bin.c": LICENCE + '#include "base/os.c"\n'}, "arena/bin.c:2: includes base/os.c, a .c")

    def test_a_folder_without_a_rank_is_refused(self):
        done = self.run_on("layering.py", {"heap/heap.c": LICENCE})
        self.assertEqual(done.returncode, 1)
        self.assertIn("heap/ holds C code and has no rank", done.stdout)

    def test_a_header_of_another_library_is_refused(self):
        self.refuses("layering.py", {"numa/topology.h": LICENCE + "#include <hwloc.h>\n"},
                     "numa/topology.h:2: <hwloc.h> is not a header of libc")

    def test_a_missing_header_is_refused(self):
        self.refuses("layering.py", {"arena/bin.c": LICENCE + '#include "arena/bni.h"\n'},
                     'arena/bin.c:2: there is no file "arena/bni.h"')

    def test_the_public_header_is_for_alloc_only(self):
        self.refuses("layering.py", {"arena/bin.c": LICENCE + "#include <ashlar/ashlar.h>\n"},
                     "arena/bin.c:2: arena includes the public header <ashlar/ashlar.h>")

    def test_a_system_call_outside_base_os_is_refused(self):
        for call in ("mmap(0, 1)", "madvise (p, n, 4)", "syscall(SYS_brk)", "write(2, s, 1)"):
            name = call.split("(")[0].strip()
            self.refuses("layering.py", {"arena/bin.c": LICENCE + f"int f(void)\n{{\n\treturn {call};\n}}\n"},
                         f"arena/bin.c:4: calls {name}(); only base/os.c talks to the kernel")

    def test_comments_strings_and_longer_names_are_no_system_calls(self):
        self.accepts("layering.py", {"arena/bin.c": LICENCE + '/* mmap(2) */ // read(\nchar *s = "open(";\nint x = ash_os_write(2) + p->write(1);\n'})
        self.accepts("layering.py", {"arena/bin.c": LICENCE + "int f(int (*read)(int))\n{\n\treturn read(2);\n}\n"})


class Shape(Tree):
    def test_a_tree_of_the_right_shape_passes(self):
        self.accepts("shape.py", {})

    def test_a_file_without_licence_line_is_refused(self):
        self.refuses("shape.py", {"base/os.h": "/* nothing */\n"},
                     "base/os.h:1: does not begin with `/* SPDX-License-Identifier: MIT */`")

    def test_a_module_without_header_is_refused(self):
        done = self.run_on("shape.py", {"arena/slab.c": LICENCE})
        self.assertEqual(done.returncode, 1)
        self.assertIn("arena/slab.c has no arena/slab.h", done.stdout)

    def test_a_function_of_100_lines_passes_and_one_of_101_does_not(self):
        function = lambda lines: LICENCE + "int f(void)\n{\n" + "\tx++;\n" * (lines - 2) + "}\n"
        self.accepts("shape.py", {"arena/bin.c": function(100)})
        self.refuses("shape.py", {"arena/bin.c": function(101)}, "arena/bin.c:3: a function of 101 lines; the limit is 100")


class DocPaths(Tree):
    def test_existing_paths_placeholders_and_outside_names_pass(self):
        self.accepts("doc_paths.py", {"docs/design.md": "`base/os.c` `arena/<module>.h` `arena/*.c` `sys/mman.h` `/etc/malloc.conf` "
                                                        "`build/libashlar.so` `base/os.c:3` [r](../README.md) [w](https://example.org)\n"})

    def test_a_path_that_does_not_exist_is_refused(self):
        self.refuses("doc_paths.py", {"README.md": "\nsee `arena/heap.c`\n"}, "README.md:2: there is no arena/heap.c")

    def test_a_command_in_a_fenced_block_must_exist(self):
        self.refuses("doc_paths.py", {"README.md": "```\n./quickstart bash\n```\n"}, "README.md:2: there is no ./quickstart")

    def test_a_link_to_nothing_is_refused(self):
        self.refuses("doc_paths.py", {"docs/a.md": "[b](b.md)\n"}, "docs/a.md:1: there is no b.md")

    def test_a_missing_readme_is_refused(self):
        with tempfile.TemporaryDirectory() as root:
            done = subprocess.run([golden.golden_path("doc_paths.py"), root], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (1, "there is no README.md\nthere is no CONTRIBUTING.md\n"))


class FastPath(unittest.TestCase):
    def gate(self, lib, *more):
        return subprocess.run([golden.golden_path("fast_path.py"), "--lib", lib, "--tracer", ARGS.tracer, "--victim", ARGS.victim,
                               "--compiler", "gcc", "--limits-only", *more], capture_output=True, text=True)

    def test_a_short_allocator_passes(self):
        done = self.gate(ARGS.short_toy)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_20_instructions_more_are_counted_and_refused(self):
        short, long = self.counts(self.gate(ARGS.short_toy)), self.gate(ARGS.long_toy)
        self.assertEqual(long.returncode, 1, long.stdout)
        for name, more in {"malloc(24)": 20, "free(2048)": 20, "calloc(1,24)": 20, "malloc_usable_size(24)": 0}.items():
            self.assertEqual(self.counts(long)[name] - short[name], more, name)
        self.assertIn("free(24): 21 instructions, the limit is 13", long.stdout)

    def test_a_library_that_answers_no_call_is_refused(self):
        done = self.gate("/lib/x86_64-linux-gnu/libm.so.6")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no function free_sized", done.stderr)

    def test_kinds_are_told_apart(self):
        for instruction, expected in {"mov rax,QWORD PTR [rip+0x8]": (1, 0, 0), "mov QWORD PTR [rdi],rax": (0, 1, 0),
                                      "add QWORD PTR [rdi],0x8": (1, 1, 0), "cmp BYTE PTR [rdi],0x0": (1, 0, 0),
                                      "lea rax,[rdi+0x8]": (0, 0, 0), "push rbx": (0, 1, 0), "ret": (1, 0, 1),
                                      "jne 1040 <malloc>": (0, 0, 1), "jmp QWORD PTR [rip+0x8]": (1, 0, 1),
                                      "lock xadd DWORD PTR [rdi],eax": (1, 1, 0), "nop WORD PTR [rax+rax*1+0x0]": (0, 0, 0),
                                      "call 1040 <malloc>": (0, 1, 1), "xor eax,eax": (0, 0, 0)}.items():
            self.assertEqual(tuple(map(int, fast_path.kinds(instruction))), expected, instruction)

    @staticmethod
    def counts(done):
        rows = [line.split() for line in done.stdout.splitlines() if line[:1] not in ("", "#", " ")]
        return {row[0]: int(row[1]) for row in rows if len(row) == 5 and row[1].isdigit()}


class Figures(unittest.TestCase):
    def test_callgrind_values_beyond_limit_or_missing_are_refused(self):
        values = dict.fromkeys(callgrind_gate.LIMITS, 20.0)
        self.assertEqual(list(callgrind_gate.broken_limits(values)), [])
        self.assertEqual(list(callgrind_gate.broken_limits({**values, "lifo-64": 30.5})),
                         ["lifo-64: 30.50 instructions an operation, the limit is 30"])
        del values["fifo-64"]
        self.assertEqual(list(callgrind_gate.broken_limits(values)), ["fifo-64: bench/callgrind does not measure it any more"])

    def test_callgrind_values_may_drift_by_3_percent_either_way(self):
        self.assertEqual(list(callgrind_gate.drifted({"a": 102.9, "b": 97.1}, {"a": 100.0, "b": 100.0})), [])
        for value in (103.1, 96.9):
            self.assertEqual(len(list(callgrind_gate.drifted({"a": value}, {"a": 100.0}))), 1)
        self.assertEqual(len(list(callgrind_gate.drifted({"a": 1.0}, {"b": 1.0}))), 2)

    def test_option_rows_are_read_with_strings_in_any_shape(self):
        rows = list(options.rows('/* x */\nBOOL(a, true, "one, (two)")\nNUMBER(b, 1, -1, 9, "ms",\n\t"x" "y")\nCHOICE(c, 1, "p|q", "z")\n'))
        self.assertEqual([options.described(*row) for row in rows],
                         [("a", "bool", "true", "true|false"), ("b", "number", "1", "-1..9 ms"), ("c", "choice", "q", "p|q")])
        with self.assertRaises(SystemExit):
            list(options.rows("SIZE(a, 1)"))

    def test_a_name_of_mallctl_that_is_missing_or_different_is_refused(self):
        theirs = {"a": ("u64", "ro"), "b": ("size", "rw"), "c": ("pointer", "special")}
        self.assertEqual(list(mallctl_names.complaints({"a": ("uint64_t", "ro"), "b": ("size_t", "rw"), "c": ("pointer", "wo")}, theirs)), [])
        self.assertEqual(list(mallctl_names.complaints({"a": ("size_t", "ro"), "b": ("size_t", "ro"), "d": ("bool", "ro")}, theirs)),
                         ["a is of type size_t, jemalloc's is u64", "b is ro, jemalloc's is rw", "alloc/ctl_table.def lacks c",
                          "alloc/ctl_table.def has d, which is in tests/jemalloc/names.txt nowhere"])


class Library(unittest.TestCase):
    """The toy exports what it should not, asks for an executable stack and is linked carelessly."""

    def build(self, *flags):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        lib = os.path.join(folder.name, "lib.so")
        golden.output("gcc", "-shared", "-fPIC", "-w", "-o", lib, golden.golden_path("toy.c"), *flags)
        return lib

    def test_a_carelessly_linked_library_is_refused_for_each_reason(self):
        complaints = "\n".join(exports.check_dynamic_section(self.build("-Wl,-soname,libtoy.so", "-Wl,--no-as-needed", "-lm", "-Wl,-z,lazy"), "libtoy.so.1"))
        for text in ("SONAME is ['libtoy.so']", "needs libm.so.6", "lacks the flag NODELETE", "lacks the flag BIND_NOW"):
            self.assertIn(text, complaints)

    def test_executable_stack_missing_relro_and_large_tls_are_refused(self):
        self.assertEqual(list(exports.check_segments(self.build())), [])
        lib = self.build("-Wl,-z,execstack", "-Wl,-z,norelro", "-xc", "/dev/null", "-DX")
        self.assertEqual(sorted(exports.check_segments(lib)), ["asks for an executable stack", "has no RELRO segment"])
        with tempfile.NamedTemporaryFile("w", suffix=".c") as source:
            source.write("__thread char big[65]; char *f(void) { return big; }\n")
            source.flush()
            self.assertIn("65 bytes of static TLS", "\n".join(exports.check_segments(self.build(source.name))))

    def test_an_archive_that_shows_an_internal_name_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            obj, archive = os.path.join(folder, "x.o"), os.path.join(folder, "x.a")
            code = b'int shown; __attribute__((visibility("hidden"))) int hidden; static int mine; int *f(void) { return &mine; }\n'
            subprocess.run(["gcc", "-c", "-xc", "-", "-o", obj], input=code, check=True)
            golden.output("ar", "rc", archive, obj)
            self.assertEqual(exports.archive_globals(archive), {"shown", "f"})
            self.assertEqual(len(list(exports.check_archive(archive, [("T", "f"), ("T", "gone")]))), 2)
            self.assertEqual(len(list(exports.check_archive(archive, [("T", "hown")], "s"))), 1)

    def test_a_versioned_name_and_a_variable_of_another_size_are_refused(self):
        with tempfile.NamedTemporaryFile("w", suffix=".c") as source, tempfile.NamedTemporaryFile("w", suffix=".map") as script:
            source.write("const char *malloc_conf[2]; void f(void) {}\n")
            script.write("V1 { global: f; };\n")
            source.flush()
            script.flush()
            complaints = "\n".join(exports.check_symbols(self.build(source.name, f"-Wl,--version-script={script.name}")))
        self.assertIn("defines f@@V1, a name with a version", complaints)
        self.assertIn("'malloc_conf': (16, False)", complaints)


def main():
    global ARGS
    parser = argparse.ArgumentParser()
    for argument in ("--tracer", "--victim", "--short-toy", "--long-toy"):
        parser.add_argument(argument, required=True)
    ARGS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
