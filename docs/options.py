#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes docs/options.md from base/option.def; with --check, fails when the file says something else.

Without it the documentation of options would drift from what the parser accepts.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEAD = """# Options

Made from `base/option.def` by `docs/options.py`; do not edit. Each is read once, at the first allocation, from these sources in this order, the
later ones winning option by option: the string compiled in (`-Dmalloc_conf=`), the program's own `const char *malloc_conf`, the target of the
link `/etc/malloc.conf`, the variable `MALLOC_CONF`, the program's own `const char *malloc_conf_2_conf_harder`, the variable `ASHLAR_CONF`. Form: `key:value,key:value`. Numbers may begin with `0x` or `0`.

| option | values | default | what it does |
|---|---|---|---|
"""
WITHOUT_EFFECT = """
## Without effect

Options of jemalloc for mechanisms that ashlar does not have. They are accepted in its ranges, `mallctl` answers for `opt.*` what was set, and where something else than the default is asked for, one line on standard error says
what happens instead.

| option | values | default | what it is in jemalloc | what happens instead |
|---|---|---|---|---|
"""
ABSENT = """
## Internal to jemalloc, or obsolete

Accepted with any value, and one line that says so (those that are marked: of jemalloc before 5.0, where it accepts them no more).

| option | what happens instead |
|---|---|
"""
LATER = """
## Not available yet

"""
STRING = r'"[^"]*"'
KINDS = "BOOL NUMBER CLIPPED SHARE CHOICE LETTERS RANGES INSTEAD ABSENT OBSOLETE LATER".split()


def rows(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    for kind, body in re.findall(rf"^({'|'.join(KINDS)})\(((?:{STRING}|[^\"()])*)\)$", text, flags=re.M):
        yield kind, [field.strip().strip('"') for field in re.findall(rf"\s*({STRING}|[^,]+)", body)]


def number(smallest, largest, unit):
    unit = f" {unit}" if unit else ""
    return f"{smallest} or more{unit}" if largest == "INT64_MAX" else f"{smallest} to {largest}{unit}"


def described(kind, fields):
    """(values, default, doc)"""
    doc = fields[-1]
    if kind == "BOOL":
        return "`true`, `false`", fields[1], doc
    if kind == "CHOICE":
        choices = fields[2].split("|")
        return ", ".join(f"`{c}`" for c in choices), choices[int(fields[1])], doc
    if kind == "SHARE":
        return "a number like 2.5", "1", doc
    if kind == "LETTERS":
        return f"some of `{fields[1]}`", "none", doc
    if kind == "RANGES":
        return "`LOWEST-HIGHEST:N`, more after a `\\|`", "none", doc
    values = number(*fields[2:5]) + ("; outside: the nearest" if kind == "CLIPPED" else "")
    return values, "by the machine" if fields[0] == "narenas" else fields[1], doc


def made():
    table = list(rows((ROOT / "base/option.def").read_text()))
    instead = {fields[0]: fields[1] for kind, fields in table if kind == "INSTEAD"}
    options = [(fields[0], *described(kind, fields)) for kind, fields in table if kind in KINDS[:7]]
    text = HEAD + "".join(f"| `{name}` | {values} | {default} | {doc} |\n" for name, values, default, doc in options if name not in instead)
    text += WITHOUT_EFFECT + "".join(
        f"| `{name}` | {values} | {default} | {doc} | {instead[name]} |\n" for name, values, default, doc in options if name in instead)
    text += ABSENT + "".join(
        f"| `{fields[0]}` | {fields[1]}{' (before 5.0)' if kind == 'OBSOLETE' else ''} |\n" for kind, fields in table if kind in ("ABSENT", "OBSOLETE"))
    return text + LATER + ", ".join(f"`{fields[0]}`" for kind, fields in table if kind == "LATER") + ".\n"


def main():
    target = ROOT / "docs/options.md"
    if "--check" not in sys.argv:
        target.write_text(made())
    elif target.read_text() != made():
        sys.exit("docs/options.md differs from base/option.def: run docs/options.py")


main()
