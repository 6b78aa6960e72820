#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""What the built library shows and needs, against golden files: exported names, imported libc functions, ELF properties.

    exports.py --lib libashlar.so [--soname NAME] [--archive libashlar.a] [--prefixed PREFIX=archive.a ...] --compiler gcc|clang [--update]

A name too many can clash with a program's own; a name too few breaks a program that links it; an import too many may
not exist in an older libc; more static TLS makes dlopen of the library fail.
"""

import argparse
import os
import re

import golden

# Programs that were linked to jemalloc may have copies of these, and define the first two themselves: (size, weak)
VARIABLES = {"malloc_conf": (8, True), "malloc_conf_2_conf_harder": (8, True), "malloc_message": (8, False),
             "je_test_hooks_arena_new_hook": (8, False), "je_test_hooks_libc_hook": (8, False)}
MAY_NEED = {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
TLS_LIMIT = 64
HEADER = "# {}\n# Compared exactly; a change is accepted by `tests/golden/update BUILD_DIR`, which writes this file.\n"
EXPORTS = "Names that libashlar.so and libjemalloc.so export: nm's letter and the name. Global names of their archives are the same."
IMPORTS = "Functions and data that libashlar.so takes from libc (w: may be missing)."


def nm(lib, which):
    """[(letter, name without version)] of the dynamic symbol table."""
    rows = [line.split()[-2:] for line in golden.output("nm", "-D", which, lib).splitlines()]
    return sorted(((letter, name.split("@")[0]) for letter, name in rows), key=lambda row: row[1])


def as_text(title, rows):
    return HEADER.format(title) + "".join(f"{letter} {name}\n" for letter, name in rows)


def archive_globals(archive):
    """Names that a static link sees: defined, global or weak, not hidden. Local to an object is fine, hidden is fine."""
    names = set()
    for line in golden.output("readelf", "-sW", archive).splitlines():
        words = line.split()
        if len(words) < 8 or not words[0].endswith(":") or words[4] not in ("GLOBAL", "WEAK", "UNIQUE"):
            continue
        if words[6] != "UND" and words[5] in ("DEFAULT", "PROTECTED"):
            names.add(words[7])
    return names


def check_archive(archive, exported, prefix=""):
    found, wanted = archive_globals(archive), {prefix + name for _, name in exported}
    archive = os.path.basename(archive)
    for name in sorted(found - wanted):
        yield f"{archive} shows {name}, which the shared library does not export: make it static or hidden"
    for name in sorted(wanted - found):
        yield f"{archive} lacks {name}, which the shared library exports"


def check_symbols(lib):
    """Definitions without versions, as programs want them that were linked to jemalloc, and variables of the right kind."""
    seen = {}
    for line in golden.output("readelf", "--dyn-syms", "-W", lib).splitlines():
        words = line.split()
        if len(words) < 8 or not words[0].endswith(":") or words[6] == "UND":
            continue
        name, at, _ = words[7].partition("@")
        if at:
            yield f"defines {words[7]}, a name with a version"
        if words[3] == "OBJECT":
            seen[name] = (int(words[2], 0), words[4] == "WEAK")
    if seen != VARIABLES:
        yield f"has the variables {seen}, not {VARIABLES}: (size, weak)"


def check_dynamic_section(lib, soname):
    text = golden.output("readelf", "-dW", lib)
    entry = lambda tag: re.findall(rf"\({tag}\)\s+(.*)", text)
    in_brackets = lambda tag: re.findall(r"\[(.*)\]", "\n".join(entry(tag)))
    flags = " ".join(entry("FLAGS") + entry("FLAGS_1"))
    if in_brackets("SONAME") != [soname]:
        yield f"SONAME is {in_brackets('SONAME')}, not {soname}"
    if "libc.so.6" not in in_brackets("NEEDED"):
        yield "does not name libc.so.6 as NEEDED"
    for library in set(in_brackets("NEEDED")) - MAY_NEED:
        yield f"needs {library}; the library links libc only"
    if "NODELETE" not in flags:
        yield "lacks the flag NODELETE: dlclose would unmap code that threads still run at their exit"
    if "BIND_NOW" not in flags and "NOW" not in flags:
        yield "lacks the flag BIND_NOW: a lazy binding inside malloc can call malloc"
    if entry("TEXTREL") or "TEXTREL" in flags:
        yield "has text relocations"
    if entry("RPATH") or entry("RUNPATH"):
        yield "has a run path"


def check_segments(lib):
    rows = [line.split() for line in golden.output("readelf", "-lW", lib).splitlines()]
    segments = [row for row in rows if len(row) >= 8 and row[0].isupper() and row[1].startswith("0x")]
    kinds = {row[0] for row in segments}
    if "LOAD" not in kinds:
        golden.fail(f"cannot read the segments of {lib}")
    if "GNU_RELRO" not in kinds:
        yield "has no RELRO segment"
    if "GNU_STACK" not in kinds:
        yield "has no GNU_STACK header: its stack would be executable"
    for row in segments:
        flags = "".join(row[6:-1])
        if row[0] == "GNU_STACK" and "E" in flags:
            yield "asks for an executable stack"
        if row[0] == "LOAD" and "W" in flags and "E" in flags:
            yield "has a segment that is writable and executable"
        if row[0] == "TLS" and int(row[5], 16) > TLS_LIMIT:
            yield f"has {int(row[5], 16)} bytes of static TLS; the limit is {TLS_LIMIT}, so that dlopen finds room"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lib", required=True)
    parser.add_argument("--archive", help="the static library; it must show the same names")
    parser.add_argument("--soname", default="libashlar.so.1")
    parser.add_argument("--prefixed", nargs="*", default=[], help="PREFIX=archive: the same names with a prefix, and no other")
    parser.add_argument("--compiler", required=True, choices=["gcc", "clang"], help="what built the library")
    parser.add_argument("--update", action="store_true", help="write the golden files")
    parser.add_argument("--properties-only", action="store_true", help="do not compare imports with the golden file")
    args = parser.parse_args()

    exported = nm(args.lib, "--defined-only")
    imported = nm(args.lib, "--undefined-only")
    complaints = [golden.compare_or_update("exports", as_text(EXPORTS, exported), "exported names", args.update)]
    if not args.properties_only:
        name = f"imports.{args.compiler}"
        complaints.append(golden.compare_or_update(name, as_text(IMPORTS, imported), "imported names", args.update))
    complaints += check_archive(args.archive, exported) if args.archive else []
    for prefix, archive in (pair.split("=", 1) for pair in args.prefixed):
        complaints += check_archive(archive, exported, prefix)
    complaints += [f"{os.path.basename(args.lib)} {c}"
                   for c in (*check_symbols(args.lib), *check_dynamic_section(args.lib, args.soname), *check_segments(args.lib))]
    golden.finish(complaints, f"{len(exported)} exported and {len(imported)} imported names, all as recorded")


if __name__ == "__main__":
    main()
