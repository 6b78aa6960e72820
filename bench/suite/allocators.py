# SPDX-License-Identifier: MIT
"""Finds the allocators on this system, and makes sure that a run had the one that was meant."""

import glob
import hashlib
import os
import re
import shutil
import subprocess

from suite.basics import OURS, build_folder, fail, first_line, note

# name: (files to look for, best first; Debian's package)
KNOWN = {
    "glibc": ((), ""),
    "jemalloc": (("libjemalloc.so.2",), "libjemalloc2"),
    "mimalloc": (("libmimalloc.so.3", "libmimalloc.so.2.0", "libmimalloc.so.2", "libmimalloc.so.*", "libmimalloc.so"), "libmimalloc2.0"),
    "tcmalloc": (("libtcmalloc.so.4",), "libgoogle-perftools4"),
    "tcmalloc_minimal": (("libtcmalloc_minimal.so.4",), "libtcmalloc-minimal4"),
    "tbbmalloc": (("libtbbmalloc_proxy.so.2",), "libtbbmalloc2"),
}
DEFAULT_PEERS = ",".join(KNOWN)
ELSEWHERE = "(package names are Debian's; elsewhere it is your distribution's package of the same library or program)"


def library_folders():
    listed = ""
    for ldconfig in ("/sbin/ldconfig", "/usr/sbin/ldconfig"):
        if os.path.exists(ldconfig):
            listed = subprocess.run([ldconfig, "-p"], capture_output=True, text=True).stdout
            break
    folders = re.findall(r"=> (\S+)/[^/\s]+$", listed, re.MULTILINE)
    return list(dict.fromkeys(folders + ["/usr/lib", "/usr/lib64", "/usr/local/lib"]))


def find_peer(name):
    """The path to preload ("" for glibc, which needs none), or None."""
    files, _ = KNOWN[name]
    if not files:
        return ""
    found = (sorted(glob.glob(os.path.join(glob.escape(folder), file))) for file in files for folder in library_folders())
    return next((paths[-1] for paths in found if paths), None)


def find_peers(wanted):
    peers = {}
    for word in filter(None, wanted.split(",")):
        name, equals, path = word.partition("=")
        if equals and not os.path.isfile(path):
            fail(f"--peers: {name}: no file {path}")
        if not equals and name not in KNOWN:
            fail(f"--peers: {name} is not one of {', '.join(KNOWN)}; write {name}=PATH")
        path = os.path.abspath(path) if equals else find_peer(name)
        if path is None:
            note(f"without {name}: install the package {KNOWN[name][1]} {ELSEWHERE}")
        else:
            peers[name] = path
    return peers


def find_allocators(args):
    """{name: path to preload}; ours first."""
    allocators = {}
    if args.ours != "none":
        ours = args.ours or os.path.join(build_folder(), "libashlar.so.1")
        if not os.path.isfile(ours):
            fail(f"no library {ours}: build it, or give --ours PATH, or --ours none")
        allocators[OURS] = os.path.abspath(ours)
    allocators.update(find_peers(args.peers))
    return allocators


def environment(path):
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    if path:
        env["LD_PRELOAD"] = path
    return env


def is_meant(path, loaded):
    """Whether malloc came from the file that was preloaded, or from the C library where nothing was."""
    if not path:
        return bool(re.match(r"libc[.-]", os.path.basename(loaded)))
    return os.path.realpath(loaded) == os.path.realpath(path)


def check_allocator(name, path, loaded):
    if not is_meant(path, loaded):
        fail(f"{name}: malloc came from {loaded}, not from {os.path.realpath(path) if path else 'the C library'}")


def package_version(path):
    owner = first_line(["dpkg-query", "-S", path]).rsplit(": ", 1)[0] if shutil.which("dpkg-query") else ""
    if owner:
        return first_line(["dpkg-query", "-W", "-f", "${Version}", owner])
    return first_line(["rpm", "-qf", "--qf", "%{VERSION}-%{RELEASE}", path]) if shutil.which("rpm") else ""


def version_of(path):
    """The file's name, its package's version, and a hash: two builds of one version are two allocators."""
    real = os.path.realpath(path)
    with open(real, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()[:12]
    return " ".join(filter(None, (os.path.basename(real), package_version(real), f"(sha256 {digest})")))
