# SPDX-License-Identifier: MIT
"""PostgreSQL under pgbench: new connections, short transactions, reports.

Each connection is a process that the server forks. Its memory contexts take blocks of 8 KiB to 8 MiB from malloc and free them with the query
or with the connection. It refuses to run as root: then everything of it, pgbench too, runs as the user postgres.
"""

import glob
import os
import re
import shutil
import signal

from common.processes import Failure
from common.runs import SCAFFOLD, Program, client, serve

FOUND = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(re.search(r"/(\d+)", path)[1]))
BIN = FOUND[-1] if FOUND else "/usr/lib/postgresql/15/bin"
SETTINGS = ("fsync=off", "listen_addresses=", "shared_buffers=64MB", "work_mem=8MB", "autovacuum=off", "jit=off",
            "max_parallel_workers_per_gather=0", "log_min_messages=warning", "checkpoint_timeout=1h")
# What a page of an application asks: joins, groups, texts and documents put together.
REPORT = """\\set low random(1, 190000)
SELECT a.bid, count(*), sum(a.abalance), string_agg(a.aid::text, ',' ORDER BY a.filler, a.aid)
 FROM pgbench_accounts a JOIN pgbench_branches b USING (bid) WHERE a.aid BETWEEN :low AND :low + 6000 GROUP BY a.bid;
SELECT jsonb_object_agg(k, v) FROM (SELECT 'key' || i % 700 AS k, jsonb_agg(jsonb_build_object('i', i, 'text', repeat('x', i % 90))) AS v
 FROM generate_series(1, 4000) i GROUP BY 1) t;
WITH n AS (SELECT i, md5(i::text) AS h FROM generate_series(1, 8000) i)
 SELECT a.h, array_agg(b.i) FROM n a JOIN n b ON left(a.h, 3) = left(b.h, 3) GROUP BY a.h ORDER BY a.h LIMIT 20;
"""


def user():
    return "postgres" if os.getuid() == 0 else None


def own(path):
    if user():
        shutil.chown(path, user(), user())


def folder_for(path):
    os.makedirs(path)
    own(path)
    return path


def prepare(run):
    """initdb and pgbench's tables, once: a run gets a copy."""
    home = folder_for(run.input("home"))
    data, log, who = os.path.join(home, "data"), os.path.join(home, "log"), user()
    client(run, [f"{BIN}/initdb", "-D", data, "-U", "postgres", "-A", "trust", "--locale=C", "-E", "UTF8", "--no-sync"], who)
    options = " ".join(f"-c {setting}" for setting in SETTINGS)
    client(run, [f"{BIN}/pg_ctl", "-D", data, "-w", "-l", log, "-o", f"-k {home} {options}", "start"], who)
    try:
        client(run, [f"{BIN}/pgbench", "-i", "-q", "-s", "2", "-h", home, "-U", "postgres", "postgres"], who)
    finally:
        client(run, [f"{BIN}/pg_ctl", "-D", data, "-w", "-m", "fast", "stop"], who)


def pgbench(run, where, clients, transactions, *options):
    """That many transactions in each client; none may fail."""
    out = client(run, [f"{BIN}/pgbench", "-n", "-h", where, "-U", "postgres", "-c", str(clients), "-j", "2", "-t", str(transactions),
                       "--random-seed=7", *options, "postgres"], user())
    if "number of failed transactions: 0 " not in out:
        raise Failure(f"pgbench: {out.strip().splitlines()[-1]}")
    return clients * transactions


def load(run, where):
    report = run.path("report.sql")
    with open(report, "w") as file:
        file.write(REPORT)
    return {"requests": pgbench(run, where, 4, 40, "-C", "-S") + pgbench(run, where, 4, 1000) + pgbench(run, where, 2, 12, "-f", report)}


def work(run):
    where, data = folder_for(run.path("home")), run.path("data")
    shutil.copytree(run.input("home", "data"), data)
    for folder, _, names in os.walk(data):
        for path in [folder, *(os.path.join(folder, name) for name in names)]:
            own(path)
    argv = [f"{BIN}/postgres", "-D", data, "-k", where, *(word for setting in SETTINGS for word in ("-c", setting))]

    def ready():
        try:
            client(run, [f"{BIN}/pg_isready", "-q", "-h", where])
            return True
        except Failure:
            return False
    return serve(run, argv, ready, lambda: load(run, where), user=user(), stop=signal.SIGINT)


PROGRAMS = [Program("postgresql", work, {f"{BIN}/postgres": "postgresql", f"{BIN}/pgbench": "postgresql", **SCAFFOLD}, prepare)]
