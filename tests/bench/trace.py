#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The trace tools. If a recording missed a call, or a replay did something else than the program, allocators would be compared over
a history that never happened; if a damaged file crashed the replayer, the allocator would be blamed.

    trace.py PART COUNTED PHASES      (the parts are at the end; ASHLAR_BUILD has the built tools)
"""
import glob
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

PART, COUNTED, PHASES = sys.argv[1:4]
SOURCE = os.environ["ASHLAR_SRC"]
TRACE = os.path.join(os.environ["ASHLAR_BUILD"], "bench", "trace")
RECORDER, TOOL, REPLAY = (os.path.join(TRACE, name) for name in ("libashlar-record.so", "ashlar-trace", "ashlar-replay"))
OURS = os.environ["ASHLAR_LIB"]
KEYS = ("wall_s user_s sys_s peak_kib idle_kib end_kib minor_faults major_faults peak_live_bytes rss_live_mean rss_live_end").split()
# Where the numbers are that a mutated file needs: see bench/trace/format.h.
RECORDING_HEADER, CHUNK_HEADER = 296, 32
TRACE_BODY_AT, TRACE_CHECK_AT, TRACE_HEADER = 16, 512, 520


def fail(message):
    sys.exit(f"trace.py {PART}: {message}")


def expect(is_so, message):
    if not is_so:
        fail(message)


def jemalloc():
    listed = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    found = re.search(r"libjemalloc\.so\.2 .*=> (\S+)", listed)
    return found[1] if found else fail("no jemalloc: install the package libjemalloc2")


def run(command, status=0, **env):
    """What it wrote; its exit status must be `status` (None: any)."""
    clean = {key: value for key, value in os.environ.items() if key not in ("LD_PRELOAD", "ASHLAR_RECORD")}
    done = subprocess.run(command, env={**clean, **env}, capture_output=True, text=True, errors="replace", timeout=100)
    if status is not None and done.returncode != status:
        fail(f"{command} exited with {done.returncode} instead of {status}\n{done.stdout}{done.stderr}")
    return done


def record(folder, command, over="", status=0, **env):
    """Recordings of all processes, and what the program printed."""
    pattern = os.path.join(folder, "%p.recording")
    done = run(command, status, ASHLAR_RECORD=pattern, LD_PRELOAD=":".join(filter(None, (RECORDER, over))), **env)
    expect("ashlar-record" not in done.stderr, done.stderr)
    return sorted(glob.glob(os.path.join(folder, "*.recording*"))), done.stdout


def pack(recording):
    trace = recording + ".trace"
    run([TOOL, "pack", recording, trace])
    return trace


def info(trace):
    lines = run([TOOL, "info", trace]).stdout.splitlines()
    return {key: int(value) if value.isdigit() else value for key, _, value in (line.partition(" ") for line in lines)}


def replay(trace, over="", **env):
    figures = json.loads(run([REPLAY, "--json", trace], LD_PRELOAD=over, **env).stdout)
    for key in KEYS:
        expect(isinstance(figures.get(key), (int, float)), f"no number {key} in {figures}")
    expect(figures["idle_kib"] <= figures["peak_kib"], f"odd memory: {figures}")
    expect(not over or os.path.realpath(figures["allocator"]) == os.path.realpath(over), f"malloc came from {figures['allocator']}")
    return figures


def told(text):
    words = text.split()
    return {key: int(value) for key, value in zip(words[::2], words[1::2])}


def recorded_once(folder, command, over="", status=0, **env):
    recordings, output = record(folder, command, over, status, **env)
    expect(len(recordings) == 1, f"{len(recordings)} recordings")
    return pack(recordings[0]), output


def series(folder, trace):
    """A replay at the program's pace takes no less time than the program, and writes down its memory on the way."""
    path = os.path.join(folder, "series")
    figures = json.loads(run([REPLAY, "--json", "--paced", "--series", path, trace]).stdout)
    with open(path) as file:
        rows = [[float(word) for word in line.split()] for line in file]
    expect(len(rows) >= 200 and all(len(row) == 4 for row in rows), f"{len(rows)} rows in the series")
    expect(max(row[2] for row in rows) * 1024 <= figures["peak_live_bytes"], "more lives than at the peak")
    samples = [line.split() for line in run([TOOL, "dump", trace]).stdout.splitlines() if " sample " in line]
    expect(figures["wall_s"] >= int(samples[-1][2]) / 1e6, f"paced, but {figures['wall_s']} s")


# ---- parts

def counts(folder):
    """Over three allocators: the recording has what the program counted itself, and the replay runs all of it on each."""
    for over in ("", jemalloc(), OURS):
        trace, output = recorded_once(folder, [COUNTED], over)
        seen, own = info(trace), told(output)
        for key, value in own.items():
            expect(seen[key] == value, f"over {over or 'glibc'}: {key} {seen[key]} was recorded, {value} was counted")
        expect(seen["whole"] == 1 and seen["lost"] == 0 and seen["unknown_frees"] == 0, f"not whole: {seen}")
        expect(seen["threads"] == 35, f"{seen['threads']} threads instead of 1 + 4 + 30")
        for target in ("", jemalloc(), OURS):
            figures = replay(trace, target)
            expect(figures["peak_live_bytes"] == own["peak_live_bytes"], f"the replay had another peak: {figures}")
        series(folder, trace)
        shutil.rmtree(folder)
        os.mkdir(folder)


def memory(folder):
    """Recorded and replayed over the same allocator: the peak of anonymous memory is within 5 %, and so is it on the way.

    The library gives nothing back by the clock here: the program and its replay need different times."""
    for over in ("", OURS):
        options = {"ASHLAR_CONF": "dirty_decay_ms:-1"} if over else {}
        trace, output = recorded_once(folder, [PHASES], over, **options)
        own = told(run([PHASES], LD_PRELOAD=over, **options).stdout)["anonymous_peak_kib"]
        figures = replay(trace, over, **options)
        for what, kib in (("by the program", own), ("in the recording", figures["program_peak_kib"])):
            ratio = figures["anonymous_peak_kib"] / kib
            print(f"over {over or 'glibc'}: replayed peak / peak {what}: {ratio:.4f}")
            expect(0.95 <= ratio <= 1.05, f"over {over or 'glibc'}: the replay peaked at {ratio:.3f} of the peak {what}")
        print(f"over {over or 'glibc'}: mean difference {figures['program_difference']}")
        expect(0 <= figures["program_difference"] <= 0.05, f"the memory over time differs: {figures}")
        os.unlink(trace)
        os.unlink(trace.removesuffix(".trace"))


OPERATORS = r"""
#include <cstdio>
#include <cstdlib>
#include <new>
struct alignas(64) Wide { char bytes[192]; };
int main()
{
	void *p = malloc(100000); // as a mark
	delete new long;
	delete[] new long[3];
	delete new Wide;
	delete[] new Wide[2];
	::operator delete(::operator new(48, std::nothrow), std::nothrow);
	::operator delete(::operator new(50, std::align_val_t(32)), std::align_val_t(32));
	if (::operator new(size_t(1) << 60, std::nothrow) != nullptr)
		return 1;
	try {
		volatile size_t much = size_t(1) << 60;
		::operator delete(::operator new(much));
		return 1;
	} catch (const std::bad_alloc &) {
	}
	free(p);
}
"""


def operators(folder):
    """Operators of libstdc++ call malloc, those of an allocator do not: either way each is recorded once."""
    program = os.path.join(folder, "operators")
    with open(program + ".cc", "w") as file:
        file.write(OPERATORS)
    run(["g++", "-std=c++17", "-O0", "-o", program, program + ".cc"])
    for over in ("", jemalloc(), OURS):
        trace, _ = recorded_once(folder, [program], over)
        events = [line.split(" ", 2)[1:] for line in run([TOOL, "dump", trace]).stdout.splitlines()]
        events = [(kind, re.sub(r"#\d+ ?", "", rest[0]) if rest else "") for kind, *rest in events if kind not in ("sample", "touch")]
        begin = events.index(("malloc", "100000"))
        between = [size for kind, size in events[begin + 1:] if kind in ("malloc", "aligned")]
        frees = [kind for kind, _ in events[begin + 1:] if kind.startswith("free")]
        wanted = ["8", "24", "192 at 64", "384 at 64", "48", "50 at 32"]
        expect([size for size in between if size in wanted] == wanted or over == "", f"over {over}: {between}")
        # libstdc++ rounds the size of aligned ones up itself
        expect(over != "" or [size.split()[0] for size in between][:5] == [size.split()[0] for size in wanted][:5], f"over glibc: {between}")
        expect(len(frees) >= 7, f"over {over or 'glibc'}: {len(frees)} frees")
        seen = info(trace)
        expect(seen["unknown_frees"] == 0 and seen["missed_frees"] == 0, f"over {over or 'glibc'}: {seen}")
        os.unlink(trace)
        os.unlink(trace.removesuffix(".trace"))


def children(folder):
    """A forked child is not recorded, and is counted; what it executes has its own recording; the parent's goes on."""
    trace, output = recorded_once(folder, [COUNTED, "fork"])
    seen, own = info(trace), told(output)
    expect(seen["forks"] == 1 and seen["whole"] == 1, f"{seen}")
    expect(seen["peak_live_bytes"] == own["peak_live_bytes"], f"{seen['peak_live_bytes']} is not {own['peak_live_bytes']}")
    shutil.rmtree(folder)
    os.mkdir(folder)
    recordings, _ = record(folder, [COUNTED, "exec", "/bin/ls", "/"])
    programs = sorted(os.path.basename(info(pack(path))["program"]) for path in recordings)
    expect(programs == sorted(("ls", os.path.basename(COUNTED))), f"recorded were {programs}")


def killed(folder):
    """A program that dies by a signal leaves what was written up to then; its trace says so and can be replayed."""
    trace, _ = recorded_once(folder, [COUNTED, "kill"], status=-signal.SIGKILL)
    seen = info(trace)
    expect(seen["whole"] == 0 and seen["events"] > 1000, f"{seen}")
    expect(replay(trace, OURS)["peak_live_bytes"] == seen["peak_live_bytes"], "another peak")
    recording = trace.removesuffix(".trace")
    with open(recording, "rb") as file:
        whole = file.read()
    for cut in (len(whole) - 1, len(whole) * 2 // 3, RECORDING_HEADER + CHUNK_HEADER + 17000):
        with open(recording, "wb") as file:
            file.write(whole[:cut])
        replay(pack(recording))


def check_sum(check, data):
    """As in bench/trace/format.h."""
    data += bytes(-len(data) % 8)
    for word, in struct.iter_unpack("<Q", data):
        check = (check ^ word) * 0x9e3779b97f4a7c15 & 0xffffffffffffffff
        check ^= check >> 29
    return check


START = 0xcbf29ce484222325


def mended(trace):
    """The bytes of a trace with the check sums that fit what is in it."""
    data = bytearray(trace)
    struct.pack_into("<QQ", data, TRACE_BODY_AT, len(data) - TRACE_HEADER, check_sum(START, bytes(data[TRACE_HEADER:])))
    struct.pack_into("<Q", data, TRACE_CHECK_AT, check_sum(START, bytes(data[:TRACE_CHECK_AT])))
    return bytes(data)


def mended_recording(recording):
    data, at = bytearray(recording), RECORDING_HEADER
    while at + CHUNK_HEADER <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        check = check_sum(START, bytes(data[at:at + CHUNK_HEADER - 8]))
        struct.pack_into("<Q", data, at + CHUNK_HEADER - 8, check_sum(check, bytes(data[at + CHUNK_HEADER:at + CHUNK_HEADER + length])))
        at += CHUNK_HEADER + length
    return bytes(data)


def small(folder):
    """A short recording and its trace, as bytes."""
    trace, _ = recorded_once(folder, ["/bin/ls", "-l", "/"])
    with open(trace, "rb") as file, open(trace.removesuffix(".trace"), "rb") as recording:
        return file.read(), recording.read()


def refused(folder):
    """Each file that is no whole trace of this version is told in one line, by status 1."""
    trace, recording = small(folder)
    expect(mended(trace) == trace and mended_recording(recording) == recording, "the check sums of this test are not the tools'")
    flipped = bytearray(trace)
    flipped[TRACE_HEADER + 40] ^= 1
    path = os.path.join(folder, "bad.trace")
    for what, data, words in (
            ("cut in its events", trace[:-1], "cut short"), ("cut in its header", trace[:100], "cut short"), ("empty", b"", "something in it"),
            ("longer", trace + b"x", "behind its end"), ("of version 9", trace[:8] + b"\x09" + trace[9:], "another version"),
            ("foreign", b"#!/bin/sh\nexit 0\n" * 100, "not a trace"), ("a recording", recording, "ashlar-trace pack"),
            ("with a byte changed in its events", bytes(flipped), "check sum of its events"),
            ("with a byte changed in its header", trace[:60] + b"\xff" + trace[61:], "check sum of its header"),
            ("of an unknown event", mended(trace + b"\x1f"), "damaged")):
        with open(path, "wb") as file:
            file.write(data)
        for command in ([REPLAY, path], [REPLAY, "--json", path]):
            done = run(command, 1)
            expect(done.stdout == "" and done.stderr.count("\n") == 1 and words in done.stderr, f"a trace {what}: {done.stderr!r}")
    packed = path + ".xz"
    run(["xz", "-k", path])
    with open(packed, "r+b") as file:
        file.seek(20)
        file.write(b"\xff\xff\xff\xff")
    done = run([REPLAY, packed], 1)
    expect(done.stderr.count("\n") == 1 and "xz cannot decompress" in done.stderr, done.stderr)
    for command in ([REPLAY], [REPLAY, "--what", path], [REPLAY, path, path], [REPLAY, os.path.join(folder, "none")]):
        done = run(command, 1)
        expect(done.stdout == "" and done.stderr.count("\n") == 1, f"{command}: {done.stderr!r}")
    done = run([TOOL, "pack", path, path + ".out"], 1)
    expect(done.stderr.count("\n") == 1 and "not a recording" not in done.stdout, done.stderr)


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def survives(command, data, path):
    """0 or 1 with one line, whatever is in the file."""
    with open(path, "wb") as file:
        file.write(data)
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=20, preexec_fn=limited)
    except subprocess.TimeoutExpired:
        shutil.copy(path, "/tmp/ashlar-trace-hangs")
        fail(f"{command} hangs; the file is /tmp/ashlar-trace-hangs")
    lines = done.stderr.count(b"\n")
    if (done.returncode, lines) not in ((0, 0), (1, 1)):
        shutil.copy(path, "/tmp/ashlar-trace-crashes")
        fail(f"{command} exited with {done.returncode}; the file is /tmp/ashlar-trace-crashes\n{done.stderr.decode()}")
    return done.returncode


def mutated(data, first, r):
    """A few bytes changed, some removed or doubled, behind the first `first`."""
    data = bytearray(data)
    for _ in range(r.randint(1, 6)):
        at = r.randrange(first, len(data))
        kind = r.random()
        if kind < 0.6:
            data[at] = r.choice((r.randrange(256), 0, 0x7f, 0xff, data[at] ^ 1 << r.randrange(8)))
        elif kind < 0.8:
            del data[at:at + r.randint(1, 12)]
        else:
            data[at:at] = data[at:at + r.randint(1, 12)]
    return bytes(data)


def fuzz(folder):
    """200 traces and 100 recordings with bytes changed and fitting check sums: told or replayed, no crash and no hang."""
    seed = int(os.environ.get("ASHLAR_SEED") or random.randrange(1 << 32))
    print(f"ASHLAR_SEED={seed}", flush=True)
    r, path, statuses = random.Random(seed), os.path.join(folder, "mutated.trace"), []
    trace, recording = small(folder)
    for i in range(200):
        bad = mutated(trace, 32 if i % 4 == 0 else TRACE_HEADER, r)
        statuses.append(survives([REPLAY, path], mended(bad), path))
    for _ in range(100):
        bad = mutated(recording, RECORDING_HEADER + CHUNK_HEADER, r)
        statuses.append(survives([TOOL, "pack", path, path + ".out"], mended_recording(bad), path))
    expect(0 < sum(statuses) < 300, f"{sum(statuses)} of 300 were refused: the mutations do nothing, or everything")


def kept(folder):
    """The traces that come with the project run under the library, and peak where they say."""
    traces = sorted(glob.glob(os.path.join(SOURCE, "bench", "trace", "traces", "*.trace.xz")))
    expect(len(traces) >= 3, f"only {len(traces)} traces are kept")
    for trace in traces:
        expect(os.path.getsize(trace) < 3 << 20, f"{trace} has 3 MiB or more")
        seen, figures = info(trace), replay(trace, OURS)
        expect(figures["peak_live_bytes"] == seen["peak_live_bytes"] and figures["events"] == seen["events"], f"{trace}: {figures}")
        expect(seen["whole"] == 1 and seen["lost"] == 0, f"{trace}: {seen}")


def wrapper(folder):
    """bench/trace/record: a trace of the process that was meant, the program's exit status, and mistakes told in one line."""
    script, trace = os.path.join(SOURCE, "bench", "trace", "record"), os.path.join(folder, "my.trace.xz")
    done = run([script, "-o", trace, "--over", OURS, "/bin/sh", "-c", f"{COUNTED}; /bin/ls / >/dev/null; exit 7"], 7)
    seen = info(trace)
    expect(os.path.basename(seen["program"]) == os.path.basename(COUNTED) and "processes" in done.stderr, done.stderr)
    expect(os.path.realpath(seen["allocator"]) == os.path.realpath(OURS), f"recorded over {seen['allocator']}")
    expect(seen["peak_live_bytes"] == told(done.stdout)["peak_live_bytes"], "another peak")
    run([script, "-o", trace, "--of", "ls", "/bin/sh", "-c", f"{COUNTED}; /bin/ls / >/dev/null; exit 0"])
    expect(info(trace)["program"].endswith("/ls"), "--of did not choose")
    expect(os.listdir(folder) == ["my.trace.xz"], f"left behind: {os.listdir(folder)}")
    for command, words in ((["-o", trace, "/no/such/program"], "no program"), (["/bin/ls"], "-o FILE"), (["-o", trace], "what to record"),
                           (["-o", trace, "--of", "cat", "/bin/ls"], "no process of cat"), (["--bad"], "unknown option"),
                           (["-o", trace, "--over", "/no.so", "/bin/ls"], "no library"), (["-o", "/no/where.trace", "/bin/ls"], "cannot write")):
        done = run([script, *command], None)
        expect(done.returncode == 2 and words in done.stderr, f"{command}: {done.returncode} {done.stderr!r}")


PARTS = (counts, memory, operators, children, killed, refused, fuzz, kept, wrapper)


def main():
    for file in (RECORDER, TOOL, REPLAY):
        expect(os.path.exists(file), f"no {file}: configure with -Dbench=true")
    with tempfile.TemporaryDirectory(prefix="ashlar-trace.") as folder:
        scratch = os.path.join(folder, "scratch")
        os.mkdir(scratch)
        {part.__name__: part for part in PARTS}[PART](scratch)


if __name__ == "__main__":
    main()
