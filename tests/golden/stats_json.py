#!/usr/bin/python3 -B
# SPDX-License-Identifier: MIT
"""malloc_stats_print's JSON of a real process: strict, and every key path of jemalloc 5.3.0 is there with its type.

    stats_json.py --lib LIBRARY

If this fails, a program that reads the statistics by their keys finds one missing, or another type.
"""

import argparse
import json
import os
import subprocess
import sys

import golden

KEYS = os.path.join(golden.SOURCE, "tests", "golden", "stats-json-keys.txt")
# A name that would break JSON if it were not escaped.
NAME = 'a"b\\c\n\u00e9'

# Runs under the library: makes two arenas by hand, destroys one, and prints what each set of letters gives.
PROCESS = r"""
import ctypes, sys
lib = ctypes.CDLL(None)
WRITE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)
def arena():
    number, size = ctypes.c_uint(), ctypes.c_size_t(4)
    assert lib.mallctl(b"arenas.create", ctypes.byref(number), ctypes.byref(size), None, ctypes.c_size_t(0)) == 0
    lib.mallocx.restype = ctypes.c_void_p
    for n in range(1, 60000, 1000):
        assert lib.mallocx(ctypes.c_size_t(n), ctypes.c_int((number.value + 1) << 20 | 0x100))
    return number.value
arena()
assert lib.mallctl(b"arena.%d.destroy" % arena(), None, None, None, ctypes.c_size_t(0)) == 0
for letters in sys.argv[1:]:
    parts = []
    write = WRITE(lambda opaque, text: parts.append(text))
    lib.malloc_stats_print(write, None, letters.encode())
    sys.stdout.buffer.write(b"".join(parts) + b"\0")
"""


def members(pairs):
    keys = [key for key, _ in pairs]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise ValueError(f"keys that stand twice in one object: {sorted(twice)}")
    return dict(pairs)


def constant(word):
    raise ValueError(f"{word} is not JSON")


def strictly(text):
    """The object. json knows NaN, comments it does not; what stands around the object and between tokens is an error."""
    if text != text.strip() or any(c in text for c in "\n\t "):
        raise ValueError("blanks between the tokens")
    return json.loads(text, object_pairs_hook=members, parse_constant=constant)


def paths(value, path=()):
    """(path, type) of each leaf, as stats-json-keys.txt writes them."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from paths(member, (*path, "<i>" if path == ("jemalloc", '"stats.arenas"') else f'"{key}"' if "." in key else key))
    elif isinstance(value, list):
        for member in value:
            yield from paths(member, (*path[:-1], path[-1] + "[]"))
    else:
        yield ".".join(path), type(value).__name__


def recorded():
    with open(KEYS, encoding="utf-8") as file:
        return {tuple(line.rstrip("\n").split("\t")) for line in file}


def process(lib, letters, **env):
    done = subprocess.run([sys.executable, "-c", PROCESS, *letters], capture_output=True, check=False,
                          env={**os.environ, "LD_PRELOAD": lib, **env})
    if done.returncode:
        golden.fail(f"the process that prints its statistics ended with {done.returncode}\n{done.stderr.decode()}")
    return done.stdout.decode().split("\0")[:-1]


def check_keys(full):
    found = set(paths(full))
    for path, kind in sorted(recorded() - found):
        others = [other for name, other in found if name == path]
        yield f"{path}: is {others[0]}, was {kind}" if others else f"{path}: missing"


def check_arrays(full):
    """Array positions are class numbers: every class is there, in every arena."""
    arenas = full["jemalloc"]["arenas"]
    for what, n in (("bin", arenas["nbins"]), ("lextent", arenas["nlextents"])):
        if len(arenas[what]) != n:
            yield f"arenas.{what} has {len(arenas[what])} elements, of {n}"
    for name, arena in full["jemalloc"]["stats.arenas"].items():
        for what, n in (("bins", arenas["nbins"]), ("lextents", arenas["nlextents"])):
            if len(arena[what]) != n:
                yield f"arena {name}: {what} has {len(arena[what])} elements, of {n}"


def check_sums(full):
    """Numbers that a reader adds up."""
    stats, arenas = full["jemalloc"]["stats"], full["jemalloc"]["stats.arenas"]
    merged, single = arenas["merged"], [arena for name, arena in arenas.items() if name.isdigit()]
    if len(single) < 2 or "destroyed" not in arenas:
        yield f"arenas {sorted(arenas)}: two of them, the merged and the destroyed ones are wanted"
    if merged["dss"] != "N/A" or merged["dirty_decay_ms"] != -1:
        yield "merged arenas have a dss or a decay time of their own"
    for key in ("pactive", "pdirty", "mapped", "retained"):
        if merged[key] != sum(arena[key] for arena in single):
            yield f"merged {key} is {merged[key]}, the sum of the arenas {sum(arena[key] for arena in single)}"
    handed_out = merged["small"]["allocated"] + merged["large"]["allocated"]
    if stats["allocated"] + merged["tcache_bytes"] != handed_out:
        yield f"allocated {stats['allocated']} + cached {merged['tcache_bytes']} is not small + large of the merged arenas, {handed_out}"
    if not stats["allocated"] <= stats["active"] <= stats["resident"]:
        yield f"allocated {stats['allocated']} <= active {stats['active']} <= resident {stats['resident']} does not hold"
    if full["ashlar"]["unreadable"]:
        yield f"{full['ashlar']['unreadable']} values could not be read"


def check_letters(lib):
    """What a letter leaves out is missing, and nothing else."""
    gone = {"b": "bins[]", "l": "lextents[]", "e": "extents[]", "h": "hpa_shard", "x": "mutexes"}
    full, *rest = (strictly(text) for text in process(lib, ["J", *(f"J{letter}" for letter in gone)]))
    everything = {path for path, _ in paths(full)}
    for (letter, word), part in zip(gone.items(), rest):
        missing = everything - {path for path, _ in paths(part)}
        if not missing or not all(word in path or "mutex" in word and ".mutex." in path or letter == "h" and "sec_bytes" in path for path in missing):
            yield f"J{letter} leaves out {sorted(missing)[:3]}, not {word}"


def check_escapes(lib):
    conf = f"prof_prefix:{NAME}"
    text, = process(lib, ["J"], MALLOC_CONF=conf)
    try:
        opt = json.loads(text, parse_constant=constant)["jemalloc"]["opt"]
    except ValueError as error:
        yield f"with MALLOC_CONF={conf!r}: {error}"
    else:
        if opt.get("env_var") != conf:
            yield f"with MALLOC_CONF={conf!r}: opt.env_var is {opt.get('env_var')!r}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lib", required=True)
    lib = os.path.abspath(parser.parse_args().lib)
    full = strictly(process(lib, ["J"])[0])
    complaints = [*check_keys(full), *check_arrays(full), *check_sums(full), *check_letters(lib), *check_escapes(lib)]
    golden.finish(complaints, f"{len(recorded())} key paths")


if __name__ == "__main__":
    main()
