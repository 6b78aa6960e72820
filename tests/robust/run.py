#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# Runs one program in the surroundings that a test asks for, with the library
# preloaded, and compares everything that the program says.
#
# If a test that uses this fails, the program did not end as it should, or the
# library printed something that it should not (or not what it should).
#
#   run.py [OPTION...] -- PROGRAM [ARGUMENT...]
import argparse
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

LIB = os.environ.get("ASHLAR_LIB", "")
PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "ASHLAR_LIB")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--preload", default="@", help="LD_PRELOAD; @ is the library, empty is none")
    parser.add_argument("--env", action="append", default=[], help="NAME=VALUE, for the program only")
    parser.add_argument("--out", default=r"(.*\n)*done\n", help="regular expression for all of standard output")
    parser.add_argument("--err", action="append", default=[], help="one line of standard error, in order")
    parser.add_argument("--err-matches", help="regular expression for all of standard error, instead of --err")
    parser.add_argument("--status", default="0", help="exit status, or the name of the signal that ends the program")
    parser.add_argument("--limit", action="append", default=[], help="AS=MIB or DATA=MIB or STACK=MIB or STACK=unlimited")
    parser.add_argument("--bare-root", action="store_true", help="in a root directory with nothing but the program and its libraries")
    parser.add_argument("--malloc-conf-link", help="target of /etc/malloc.conf in that root")
    parser.add_argument("--raised", action="store_true", help="as a set-user-ID copy that another user starts")
    parser.add_argument("--one-cpu", action="store_true", help="with an affinity of a single CPU")
    parser.add_argument("--timeout", type=int, default=60)
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def environment(options):
    env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    preload = options.preload.replace("@", LIB)
    if preload:
        env["LD_PRELOAD"] = preload
    env.update(pair.split("=", 1) for pair in options.env)
    return env


def could_not_run(why):
    sys.exit(f"could not run: {why}")


def set_limits(limits):
    for limit in limits:
        name, value = limit.split("=")
        n = resource.RLIM_INFINITY if value == "unlimited" else int(value) << 20
        resource.setrlimit(getattr(resource, "RLIMIT_" + name), (n, n))


def clean_signals():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, range(1, 32))
    for sig in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU):
        signal.signal(sig, signal.SIG_DFL)


def needed_files(program, preload):
    """The program, what is preloaded, and every library that ld.so finds for them."""
    files = [program] + [p for p in preload.split(":") if p]
    for file in list(files):
        listing = subprocess.run(["ldd", file], capture_output=True, text=True).stdout
        files += re.findall(r"(/\S+) \(0x", listing)
    return dict.fromkeys(files)


def bare_root(root, program, env, link):
    for file in needed_files(program, env.get("LD_PRELOAD", "")):
        copy = root + file
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copy(file, copy)
    os.makedirs(root + "/etc")
    if link is not None:
        os.symlink(link, root + "/etc/malloc.conf")
    return lambda: (os.chroot(root), os.chdir("/"))


def raised_copy(directory, program):
    """A copy that belongs to root and is set-user-ID; and what makes this process another user."""
    if os.geteuid() != 0:
        could_not_run("a set-user-ID copy needs root")
    os.chmod(directory, 0o755)
    if os.statvfs(directory).f_flag & os.ST_NOSUID:
        could_not_run(f"{directory} is on a file system mounted nosuid")
    copy = os.path.join(directory, "copy")
    shutil.copy(program, copy)
    os.chown(copy, 0, 0)
    os.chmod(copy, 0o4755)
    return copy, lambda: (os.setgroups([]), os.setgid(65534), os.setuid(65534))


def run(options, env, command, enter):
    def before_exec():
        clean_signals()
        if options.one_cpu:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        enter()
        set_limits(options.limit)

    try:
        return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              preexec_fn=before_exec, timeout=options.timeout)
    except subprocess.TimeoutExpired as e:
        sys.exit(f"FAILED: still running after {options.timeout} s\n  standard output: {e.stdout}\n  standard error:  {e.stderr}")
    except subprocess.SubprocessError as e:
        could_not_run(f"{e}: the surroundings need root")


def compare(options, done):
    failures = []
    out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    status = -getattr(signal, options.status) if options.status.startswith("SIG") else int(options.status)
    if done.returncode != status:
        failures.append(f"exit status {done.returncode} instead of {status}")
    if not re.fullmatch(options.out, out):
        failures.append(f"standard output does not match {options.out!r}")
    wanted = options.err_matches or "".join(re.escape(line) + "\n" for line in options.err)
    if not re.fullmatch(wanted, err):
        failures.append(f"standard error does not match {wanted!r}")
    if failures:
        sys.exit("FAILED: " + "\nFAILED: ".join(failures) + f"\n  standard output: {out[-4000:]}\n  standard error:  {err[-4000:]}")


def main():
    options = arguments()
    if "@" in options.preload and not os.path.exists(LIB):
        could_not_run("ASHLAR_LIB does not name the library")
    env = environment(options)
    command, enter = options.command, lambda: None
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/tmp")) as directory:
        if options.bare_root or options.malloc_conf_link is not None:
            enter = bare_root(directory, os.path.abspath(command[0]), env, options.malloc_conf_link)
            command = [os.path.abspath(command[0])] + command[1:]
        if options.raised:
            copy, enter = raised_copy(directory, command[0])
            command = [copy] + command[1:]
        compare(options, run(options, env, command, enter))


main()
