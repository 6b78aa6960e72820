# SPDX-License-Identifier: MIT
"""git gc with two threads: each fills windows with objects of all sizes, in search of deltas, and throws them away."""

import random
import shutil

from common.inputs import lines
from common.runs import PATH, TIMED, Program, client, to_the_end

SETTINGS = ("gc.autoDetach=false", "pack.threads=2", "safe.directory=*", "gc.aggressiveWindow=150", "gc.aggressiveDepth=50")


def stream(commits):
    """For git fast-import: one branch, files that change a little in each commit."""
    rng = random.Random(3)
    files = {f"dir{i % 17}/sub{i % 5}/file{i}.txt": "".join(lines(rng.randrange(10, 150), i)) for i in range(250)}
    names = sorted(files)
    for n in range(commits):
        touched = names if n == 0 else rng.sample(names, 4)
        yield (f"commit refs/heads/main\nmark :{n + 1}\ncommitter A U Thor <author@example.com> {1700000000 + n * 60} +0000\n"
               f"data {len(str(n)) + 7}\ncommit {n}\n" + (f"from :{n}\n" if n else ""))
        for path in touched:
            text = files[path]
            at = rng.randrange(len(text))
            files[path] = text = text[:at] + f"change {n}\n" + text[at + rng.randrange(30):]
            yield f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
        yield "\n"
    yield "done\n"


def prepare(run):
    client(run, ["/usr/bin/git", "init", "-q", "--bare", run.input("repository")])
    import_ = ["fast-import", "--quiet", "--done", "--depth=10"]
    client(run, ["/usr/bin/git", "-C", run.input("repository"), *import_], stdin="".join(stream(1500)))


def work(run):
    repository = run.path("repository")
    shutil.copytree(run.input("repository"), repository)
    options = [word for setting in SETTINGS for word in ("-c", setting)]
    argv = ["/usr/bin/git", *options, "-C", repository, "gc", "-q", "--aggressive", "--prune=now"]
    return to_the_end(run, argv, env={"PATH": PATH}, names=["git"])


PROGRAMS = [Program("git_gc", work, {"/usr/bin/git": "git", **TIMED}, prepare)]
