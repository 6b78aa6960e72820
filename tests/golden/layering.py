#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""Holds the ranks of the rooms: who may include whom, and who may call the kernel.

    layering.py [SOURCE_ROOT]

Fails on an include that points upwards, a cycle among headers, a .c that includes a .c, a folder of C code that has no
rank, a header that is not libc's, a header that does not exist, and a system call outside the files listed here.
"""

import os
import re
import sys

import golden

# A room and the rooms it may include. tcache and prof do not know each other.
BELOW = {
    "base": set(),
    "numa": {"base"},
    "arena": {"numa", "base"},
    "tcache": {"arena", "numa", "base"},
    "prof": {"base"},
    "alloc": {"tcache", "arena", "numa", "prof", "base"},
}
# Folders that are no part of the library; their C code is not ranked. jemalloc/ holds what one of its archives has on top.
NOT_RANKED = {"include", "jemalloc", "tools", "bench", "examples", "tests", "docs"}
# The public header and the headers that meson writes, and the rooms that may read them.
PUBLIC_HEADERS = {"ashlar/ashlar.h": {"alloc"}}
GENERATED_HEADERS = {"ashlar-config.h"}
# libc's headers (and the kernel's, which libc installs with its own). Everything else would be a dependency.
LIBC_HEADERS = set("""
    assert.h ctype.h dlfcn.h elf.h errno.h fcntl.h features.h inttypes.h limits.h link.h malloc.h pthread.h sched.h signal.h stdalign.h
    stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h strings.h time.h unistd.h
    linux/futex.h linux/mempolicy.h sys/auxv.h sys/mman.h sys/prctl.h sys/random.h sys/resource.h sys/rseq.h sys/stat.h
    sys/syscall.h sys/types.h sys/uio.h sys/wait.h
""".split())
# System calls by the names under which libc offers them.
SYSTEM_CALLS = """
    syscall mmap mmap64 munmap mremap madvise posix_madvise process_madvise mprotect mbind set_mempolicy mlock mincore brk sbrk
    open open64 openat openat64 close read pread pread64 readv write pwrite pwrite64 writev readlink lseek fstat stat access opendir readdir
    prctl fork vfork _Fork clone kill tgkill raise getpid gettid sched_yield sched_getaffinity sched_getcpu getcpu
    nanosleep clock_nanosleep usleep clock_gettime gettimeofday getrlimit setrlimit getrandom ioctl fcntl
    fopen fread fgets fclose printf fprintf dprintf puts fputs fwrite
""".split()
# (file, call): why that file may make it itself. base/os.c is the boundary to the kernel and may make any.
BOUNDARY = {"base/os.c"}
ALLOWED_CALLS = {
    ("alloc/diagnostics.c", "fwrite"): "malloc_info writes to a stream of the program's",
    ("numa/cpu.c", "sched_getcpu"): "numa/ is the room that knows CPUs; glibc answers from rseq or the vDSO, seldom from the kernel",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)
POINTER = r"\(\*{}\)[ \t]*\("  # a function pointer of that name: what it calls is not libc's by its name
CALL = re.compile(r"(?<![\w.>])(" + "|".join(SYSTEM_CALLS) + r")[ \t]*\(")


def blanked(text):
    """The text without comments and strings; lines stay where they are."""
    return COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def without_comments(text):
    keep = lambda m: m.group() if m.group()[0] == '"' else re.sub(r"[^\n]", " ", m.group())
    return COMMENT_OR_STRING.sub(keep, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


class Tree:
    def __init__(self, root):
        self.root = root
        self.text = {}
        for folder, folders, files in os.walk(root):
            folders[:] = [f for f in folders if not f.startswith(".") and not self.is_build(os.path.join(folder, f))]
            for name in files:
                if name.endswith((".c", ".h", ".def")):
                    path = os.path.join(folder, name)
                    with open(path) as file:
                        self.text[os.path.relpath(path, root)] = file.read()

    @staticmethod
    def is_build(folder):
        return os.path.isdir(os.path.join(folder, "meson-private"))

    def rooms(self):
        return {path.split("/")[0] for path in self.text if "/" in path}

    def ranked(self):
        return {path: text for path, text in sorted(self.text.items()) if path.split("/")[0] in BELOW}


def resolve(tree, path, name):
    """The file of the tree that `#include "name"` in `path` means, or None."""
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
    return next((p for p in (name, beside) if p in tree.text), None)


def check_folders(tree):
    for room in sorted(tree.rooms() - BELOW.keys() - NOT_RANKED):
        yield f"{room}/ holds C code and has no rank: add it to BELOW (or NOT_RANKED) in tests/golden/layering.py"
    for path in sorted(p for p in tree.text if "/" not in p):
        yield f"{path} lies outside every room"


def check_system_header(path, where, name):
    room = path.split("/")[0]
    if name in PUBLIC_HEADERS:
        if room not in PUBLIC_HEADERS[name]:
            yield f"{where}: {room} includes the public header <{name}>"
    elif name not in LIBC_HEADERS:
        yield f"{where}: <{name}> is not a header of libc"


def check_includes(tree):
    for path, text in tree.ranked().items():
        room = path.split("/")[0]
        for match in INCLUDE.finditer(without_comments(text)):
            kind, name = match.groups()
            where = f"{path}:{line_of(text, match.start())}"
            target = resolve(tree, path, name)
            if kind == "<":
                yield from check_system_header(path, where, name)
            elif name in GENERATED_HEADERS:
                continue
            elif target is None:
                yield f'{where}: there is no file "{name}"'
            elif target.endswith(".c"):
                yield f"{where}: includes {target}, a .c"
            elif target.split("/")[0] not in BELOW[room] | {room}:
                yield f"{where}: {room} may not include {target}"


def check_cycles(tree):
    edges = {path: [t for _, name in INCLUDE.findall(without_comments(text)) if (t := resolve(tree, path, name))]
             for path, text in tree.ranked().items()}
    done = set()

    def visit(path, trail):
        if path in trail:
            yield "includes in a circle: " + " -> ".join([*trail[trail.index(path):], path])
        elif path not in done:
            for target in edges.get(path, []):
                yield from visit(target, [*trail, path])
            done.add(path)

    for path in edges:
        yield from visit(path, [])


def check_system_calls(tree):
    used = set()
    for path, text in tree.ranked().items():
        if path in BOUNDARY or path.endswith(".def"):
            continue
        code = blanked(text)
        for match in CALL.finditer(code):
            if re.search(POINTER.format(match.group(1)), code):
                continue
            used.add((path, match.group(1)))
            if (path, match.group(1)) not in ALLOWED_CALLS:
                yield f"{path}:{line_of(text, match.start())}: calls {match.group(1)}(); only base/os.c talks to the kernel"
    for path, call in sorted(ALLOWED_CALLS.keys() - used):
        if path in tree.text:
            yield f"{path} does not call {call}() any more: take the line out of ALLOWED_CALLS"


def main():
    tree = Tree(sys.argv[1] if len(sys.argv) > 1 else golden.SOURCE)
    if not tree.ranked():
        golden.fail("found no source file in any room")
    complaints = [*check_folders(tree), *check_includes(tree), *check_cycles(tree), *check_system_calls(tree)]
    golden.finish(complaints, f"{len(tree.ranked())} files keep their rank")


if __name__ == "__main__":
    main()
