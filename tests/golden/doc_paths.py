#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Every path of this repository that a document names must exist.

    doc_paths.py [SOURCE_ROOT]

Read are README.md, CONTRIBUTING.md, CHANGELOG.md and docs/*.md: what stands in `backticks`, the `./commands` in fenced
blocks, and the targets of links. `<placeholders>` and `*` stand for anything; `build/...` is the reader's own.
"""

import glob
import os
import re
import sys

import golden

REQUIRED = ["README.md", "CONTRIBUTING.md"]
FOLDERS = {"alloc", "tcache", "prof", "arena", "numa", "base", "include", "tools", "bench", "examples", "tests", "docs", ".ci"}
FENCE = re.compile(r"^(```|~~~).*?^\1", re.S | re.M)
BACKTICKS = re.compile(r"`([^`\n]+)`")
PLACEHOLDER = re.compile(r"<[^<>]*>")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
COMMAND = re.compile(r"(?:^|[\s(])(\./[\w./-]+)")


def documents(root):
    found = [os.path.join(root, name) for name in [*REQUIRED, "CHANGELOG.md"]]
    return [p for p in found if os.path.exists(p)] + sorted(glob.glob(os.path.join(root, "docs", "*.md")))


def looks_like_a_path(word):
    """A path inside the repository: it begins with ./ or with the name of one of its folders."""
    if not re.fullmatch(r"[\w./*+-]+", word) or word.startswith(("/", "build/", "./build/", "../")):
        return False
    if word.startswith("./"):
        return True
    first, slash, _ = word.partition("/")
    return bool(slash) and first in FOLDERS


def exists(root, word):
    return bool(glob.glob(os.path.join(root, word), include_hidden=True))


def named_paths(text):
    """(offset, path relative to the root) of everything that must exist."""
    prose = FENCE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    for match in BACKTICKS.finditer(prose):
        for word in PLACEHOLDER.sub("*", match.group(1)).split():
            word = re.sub(r":\d+(-\d+)?$", "", word.rstrip(",;"))
            if looks_like_a_path(word):
                yield match.start(), word
    for block in FENCE.finditer(text):
        for match in COMMAND.finditer(block.group()):
            if looks_like_a_path(match.group(1)):
                yield block.start() + match.start(1), match.group(1)


def linked_paths(text):
    """(offset, path relative to the document)"""
    for match in LINK.finditer(text):
        if not re.match(r"[a-z]+:", match.group(1)):
            yield match.start(), match.group(1)


def check_document(root, document):
    with open(document) as file:
        text = file.read()
    for base, found in ((root, named_paths(text)), (os.path.dirname(document), linked_paths(text))):
        for offset, path in found:
            if not exists(base, path):
                line = text.count("\n", 0, offset) + 1
                yield f"{os.path.relpath(document, root)}:{line}: there is no {path}"


def main():
    root = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else golden.SOURCE)
    complaints = [f"there is no {name}" for name in REQUIRED if not os.path.exists(os.path.join(root, name))]
    for document in documents(root):
        complaints += check_document(root, document)
    golden.finish(complaints, f"every path in {len(documents(root))} documents exists")


if __name__ == "__main__":
    main()
