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
link `/etc/malloc.conf`, the variables `MALLOC_CONF` and `ASHLAR_CONF`. Form: `key:value,key:value`. Numbers may begin with `0x` or `0`.

| option | values | default | what it does |
|---|---|---|---|
"""


def rows(text):
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    for kind, body in re.findall(r"^(BOOL|NUMBER|CHOICE)\((.*?)\)$", text, flags=re.S | re.M):
        yield kind, [field.strip().strip('"') for field in re.findall(r'\s*("[^"]*"|[^,]+)', body)]


def row(kind, fields):
    name, default, doc = fields[0], fields[1], fields[-1]
    if kind == "BOOL":
        values = "`true`, `false`"
    elif kind == "CHOICE":
        choices = fields[2].split("|")
        values, default = ", ".join(f"`{c}`" for c in choices), choices[int(default)]
    else:
        smallest, largest, unit = fields[2:5]
        values = f"{smallest} or more {unit}" if largest == "INT64_MAX" else f"{smallest} to {largest} {unit}"
        default = "by the machine" if name == "narenas" else default
    return f"| `{name}` | {values} | {default} | {doc} |\n"


def main():
    made = HEAD + "".join(row(kind, fields) for kind, fields in rows((ROOT / "base/option.def").read_text()))
    target = ROOT / "docs/options.md"
    if "--check" not in sys.argv:
        target.write_text(made)
    elif target.read_text() != made:
        sys.exit("docs/options.md differs from base/option.def: run docs/options.py")


main()
