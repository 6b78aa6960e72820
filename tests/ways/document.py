# SPDX-License-Identifier: MIT
"""Runs every ```sh block of a Markdown file and compares what it prints with the
```text block that follows it ("..." stands for anything within a line).

If this fails, a user who copies a command from that file gets something else
than the file promises.

    document.py FILE DIRECTORY   DIRECTORY is where the commands run
"""
import re
import subprocess
import sys


def blocks(text):
    """(line number, kind, contents) of each fenced block."""
    found, kind, start, lines = [], None, 0, []
    for number, line in enumerate(text.splitlines(), 1):
        if kind is None and line.startswith("```"):
            kind, start, lines = line[3:], number, []
        elif kind is not None and line == "```":
            found.append((start, kind, "\n".join(lines)))
            kind = None
        elif kind is not None:
            lines.append(line)
    if kind is not None:
        sys.exit(f"line {start}: this block has no end")
    return found


def matches(expected, got):
    pattern = "\n".join(".*".join(map(re.escape, line.split("..."))) for line in expected.splitlines())
    return re.fullmatch(pattern + "\n", got) is not None


def run(number, commands, expected, directory):
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=directory, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    if done.returncode == 0 and matches(expected, done.stdout):
        return True
    print(f"FAILED: the commands of line {number}, status {done.returncode}\n{commands}\n"
          f"--- should print\n{expected}\n--- printed\n{done.stdout}")
    return False


def main(file, directory):
    found = blocks(open(file, encoding="utf-8").read())
    passed = total = 0
    for (number, kind, commands), following in zip(found, [*found[1:], (0, "", "")]):
        if kind != "sh":
            continue
        if following[1] != "text":
            sys.exit(f"line {number}: no text block says what these commands print")
        total += 1
        passed += run(number, commands, following[2], directory)
    print(f"{passed} of {total} blocks of commands print what {file} shows")
    return 0 if total > 0 and passed == total else 1


sys.exit(main(*sys.argv[1:]))
