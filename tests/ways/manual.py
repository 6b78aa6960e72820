# SPDX-License-Identifier: MIT
"""docs/ashlar.3 says what the header and the option table say. If this fails, a
user reads of a function or option that does not exist, or misses one.

    manual.py SOURCE_ROOT
"""
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(sys.argv[1])
PAGE = ROOT / "docs/ashlar.3"
TEXT = PAGE.read_text()
HEADER = re.sub(r"/\*.*?\*/", "", (ROOT / "include/ashlar/ashlar.h").read_text(), flags=re.S)
OPTIONS = re.sub(r"/\*.*?\*/", "", (ROOT / "base/option.def").read_text(), flags=re.S)


# What the library says where it goes by jemalloc's name: in jemalloc's words.
AS_JEMALLOC = {
    "%s: %s", "%s", "Reducing %s to limit (%zd)", "-- Set conf value: %s:%s", 'malloc_conf #%u (%s%s): "%s"',
    "Abort (abort_conf:true) on invalid conf value (see above).", "Called realloc(non-null-ptr, 0) with zero_realloc:abort set",
    "Error in %s(): out of memory", "Error allocating aligned memory: out of memory",
    "Allocation failed and opt.experimental_infallible_new is true. Aborting.",
}


def options_with_effect():
    """(kind, name, the rest) of the rows that set something; docs/options.md alone has the others."""
    without = re.findall(r"^INSTEAD\((\w+)", OPTIONS, re.M)
    rows = re.findall(r"^(BOOL|NUMBER|CLIPPED|SHARE|CHOICE|LETTERS|RANGES)\((\w+), (.*)", OPTIONS, re.M)
    return [row for row in rows if row[1] not in without]


def section(name):
    return re.search(rf"^\.S[hs] {name}$(.*?)(?=^\.S[hs] |\Z)", TEXT, re.M | re.S).group(1)


def options_of_the_page():
    """name -> (what may follow the colon, the description)."""
    items = re.split(r"^\.It Sy ", section("Options"), flags=re.M)[1:]
    found = {}
    for item in items:
        head, _, description = item.partition("\n")
        name, _, values = head.partition(" : Ns ")
        found[name] = (values, description.split(".El")[0])
    return found


def messages_of_the_sources():
    """The formats of what users can be told; what ashlar_structure_check() tells is for its own tests."""
    found = []
    for path in [*sorted((ROOT / "alloc").glob("*.c")), ROOT / "arena/misuse.c"]:
        for strings in re.findall(r'(?:ash_message|stop)\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', path.read_text()):
            found.append("".join(re.findall(r'"((?:[^"\\]|\\.)*)"', strings)).replace('\\"', '"'))
    return [message for message in found if message not in AS_JEMALLOC]


def without_details(message):
    """What a message says of the object stands in brackets at its end."""
    return re.sub(r"\([^()]*\)$", "(...)", message)


class Manual(unittest.TestCase):
    def test_page_is_well_formed(self):
        for tool, package, command in (
                ("mandoc", "mandoc", ["mandoc", "-T", "lint", "-W", "warning", PAGE]),
                ("groff", "groff-base", ["groff", "-mandoc", "-ww", "-Tutf8", "-z", PAGE])):
            self.assertIsNotNone(shutil.which(tool), f"{tool} is missing: apt-get install {package}")
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            # mandoc also tells of its data base of other pages, which a fresh system lacks.
            told = [line for line in (done.stdout + done.stderr).splitlines() if "makewhatis" not in line
                    and "mandoc.db" not in line]
            self.assertEqual((done.returncode, told), (0, []))

    def test_synopsis_declares_every_function_of_the_header(self):
        declared = re.findall(r"^[a-z].*?\b(ashlar_\w+)\((.*?)\);", HEADER, re.M)
        self.assertGreater(len(declared), 3)
        shown = re.findall(r"^\.Fn (ashlar_\w+) (.*)$", section("SYNOPSIS"), re.M)
        wanted = [(name, " ".join(f'"{one.strip()}"' for one in arguments.split(",")) if arguments != "void" else "void")
                  for name, arguments in declared]
        self.assertEqual(shown, wanted)

    def test_page_describes_every_field_of_the_statistics_in_order(self):
        body = re.search(r"struct ashlar_stats \{(.*?)\};", HEADER, re.S).group(1)
        fields = re.findall(r"(\w+);", body)
        self.assertGreater(len(fields), 8)
        self.assertEqual(re.findall(r"^\.It Fa (\w+)$", section("Functions"), re.M), fields)

    def test_page_describes_the_options_of_the_table_and_no_others(self):
        names = [name for _, name, _ in options_with_effect()]
        self.assertGreater(len(names), 8)
        self.assertEqual(sorted(options_of_the_page()), sorted(names))
        self.assertEqual(list(options_of_the_page()), sorted(names), "the page is in alphabetical order")

    def test_choices_and_their_defaults_are_those_of_the_table(self):
        page = options_of_the_page()
        rows = [(name, *re.match(r'(\d+), "([^"]*)"', rest).groups()) for kind, name, rest in options_with_effect() if kind == "CHOICE"]
        self.assertGreater(len(rows), 1)
        for name, default, choices in rows:
            values, description = page[name]
            self.assertEqual(values, "Cm " + choices.replace("|", " | "), name)
            value = choices.split("|")[int(default)]
            self.assertRegex(" ".join(description.split()), rf"[Dd]efault is \.Cm {value} |\.Cm {value} , the default,", name)

    def test_defaults_of_the_other_options_are_those_of_the_table(self):
        page = options_of_the_page()
        rows = [(name, rest.split(",")[0]) for kind, name, rest in options_with_effect() if kind in ("BOOL", "NUMBER")]
        self.assertGreater(len(rows), 5)
        for name, default in rows:
            said = f"default is {default}.".replace("-", r"\-") if default != "0" else "default is "
            self.assertIn(said, " ".join(page[name][1].split()), name)

    def test_every_message_is_explained(self):
        shown = [line.replace(r"\(dq", '"') for line in re.findall(r'^\.It Li "ashlar: (.*)"$', TEXT, re.M)]
        formats = messages_of_the_sources()
        self.assertGreater(len(formats), 12)
        for message in formats:
            pattern = ".*".join(map(re.escape, re.split(r"%[zl]*[a-z]", without_details(message))))
            self.assertTrue(any(re.fullmatch(pattern, without_details(line)) for line in shown), message)


unittest.main(argv=["manual", "-v"])
