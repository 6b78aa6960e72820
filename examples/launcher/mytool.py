#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mytool — a Python command-line tool that runs on ashlar; its users do nothing.

    mytool.py about            what runs, and on which allocator
    mytool.py count [FILE...]  lines, words and bytes of the files or of standard input
    mytool.py run COMMAND...   runs a command; its exit status is the tool's

LD_PRELOAD is read when a process starts. So the tool starts once more with
ashlar preloaded: the same process, interpreter, arguments and open files. To
give this to a tool of your own, copy the part between the two lines of dashes
and call on_ashlar() first of all: before imports that take time, before a
thread starts, before anything is read from standard input. It costs one more
start of the interpreter, about 10 ms.

The library is taken from the first of these that says something:
    $MYTOOL_ASHLAR  a path; empty: run without ashlar
    beside this file
    INSTALLED, below
Where there is no library, the tool runs as it would have. Commands that the
tool runs do not inherit ashlar, unless $MYTOOL_ASHLAR_CHILDREN is 1.
"""
import os
import sys

# -----------------------------------------------------------------------------
LIBRARY = "libashlar.so.1"
MULTIARCH = getattr(sys.implementation, "_multiarch", "")
INSTALLED = [f"/usr/local/lib/{MULTIARCH}", "/usr/local/lib", f"/usr/lib/{MULTIARCH}", "/usr/lib"]
TOOL = "MYTOOL"

# The pid of the process that started again: a parent's marker means nothing.
MARKER = f"_{TOOL}_STARTED"
SAVED = f"_{TOOL}_SAVED_"
VARIABLES = ("LD_PRELOAD", "LD_LIBRARY_PATH")


def on_ashlar():
    """Returns in a process that runs on ashlar, or that cannot."""
    if os.environ.get(MARKER) == str(os.getpid()):
        restore_environment()
        return
    library = find_library()
    settings = settings_for(library) if library else None
    if settings is None or runs_on_ashlar() or not can_start_again(library):
        return
    try:
        os.execve(sys.executable, sys.orig_argv, environment_with(settings))
    except OSError:
        pass  # nothing has changed yet


def find_library():
    if f"{TOOL}_ASHLAR" in os.environ:
        paths = [os.environ[f"{TOOL}_ASHLAR"]]
    else:
        folders = [os.path.dirname(os.path.realpath(__file__)), *INSTALLED]
        paths = [os.path.join(folder, LIBRARY) for folder in folders]
    return next((os.path.abspath(path) for path in paths if os.path.isfile(path)), None)


def settings_for(library):
    """LD_PRELOAD splits at spaces and colons, LD_LIBRARY_PATH at colons and semicolons."""
    folder, name = os.path.split(library)
    if not set(library) & set(" :"):
        return {"LD_PRELOAD": library}
    if not set(folder) & set(":;") and not set(name) & set(" :"):
        return {"LD_PRELOAD": name, "LD_LIBRARY_PATH": folder}
    return None


def runs_on_ashlar():
    entries = os.environ.get("LD_PRELOAD", "").replace(":", " ").split(" ")
    return any(os.path.basename(entry).startswith("libashlar.so") for entry in entries)


def can_start_again(library):
    """The interpreter is known, the script can be read once more (it does not
    come from a pipe), and the library is made for this machine."""
    try:
        return os.path.isfile(sys.argv[0]) and machine_of(sys.executable) == machine_of(library)
    except OSError:
        return False


def machine_of(path):
    """Word size, byte order and CPU, from the head of an ELF file."""
    with open(path, "rb") as file:
        head = file.read(20)
    return head[:6], head[18:20]


def environment_with(settings):
    """An allocator has to be first in LD_PRELOAD: half of another one's calls would be its ruin."""
    environment = {**os.environ, MARKER: str(os.getpid())}
    for name, value in settings.items():
        old = os.environ.get(name)
        environment[name] = f"{value}:{old}" if old else value
    for name in VARIABLES:
        if name in os.environ:
            environment[SAVED + name] = os.environ[name]
    return environment


def restore_environment():
    """What this tool runs gets the environment that the tool was given."""
    del os.environ[MARKER]
    for name in VARIABLES:
        old = os.environ.pop(SAVED + name, None)
        if os.environ.get(f"{TOOL}_ASHLAR_CHILDREN") == "1":
            continue
        if old is not None:
            os.environ[name] = old
        else:
            os.environ.pop(name, None)
# -----------------------------------------------------------------------------


def about():
    import ctypes
    import platform
    try:
        version = ctypes.CDLL(None).ashlar_version
        version.restype = ctypes.c_char_p
        allocator = f"ashlar {version().decode()}"
    except AttributeError:
        allocator = "the C library's"
    print(f"mytool 1.0, Python {platform.python_version()}, allocator: {allocator}")
    return 0


def count(names):
    for name in names or ["-"]:
        file = sys.stdin.buffer if name == "-" else open(name, "rb")
        with file:
            lines = file.readlines()
        words = sum(len(line.split()) for line in lines)
        print(f"{len(lines):7} {words:7} {sum(map(len, lines)):7} {name}")
    return 0


def run(command):
    import subprocess
    status = subprocess.run(command).returncode
    return status if status >= 0 else 128 - status


def main(arguments):
    if arguments == ["about"]:
        return about()
    if arguments[:1] == ["count"]:
        return count(arguments[1:])
    if arguments[:1] == ["run"] and len(arguments) > 1:
        return run(arguments[1:])
    print(__doc__.split("\n\n")[1], file=sys.stderr)
    return 2


if __name__ == "__main__":
    on_ashlar()
    sys.exit(main(sys.argv[1:]))
