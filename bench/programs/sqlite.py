# SPDX-License-Identifier: MIT
"""sqlite3: a script of many small statements, each parsed, planned and freed again, then reports over tables in memory.

A page cache of many equal blocks, parse trees that die with their statement, sorters that grow: the pattern of an embedded database.
"""

import random

from common.inputs import WORDS
from common.runs import TIMED, Program, to_the_end

SCHEMA = """
CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT, city TEXT, born INTEGER);
CREATE TABLE orders(id INTEGER PRIMARY KEY, user INTEGER, day INTEGER, total INTEGER, note TEXT);
CREATE INDEX orders_user ON orders(user);
CREATE INDEX users_city ON users(city, born);
"""
REPORTS = """
SELECT city, count(*), avg(born), group_concat(name, ',') FROM users GROUP BY city ORDER BY 2 DESC;
SELECT u.city, o.day / 30, sum(o.total), max(length(o.note)) FROM users u JOIN orders o ON o.user = u.id
 GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 500;
SELECT json_group_array(json_object('id', id, 'name', name, 'city', city)) FROM users WHERE id % 3 = 0;
WITH RECURSIVE n(i, t) AS (SELECT 1, 'x' UNION ALL SELECT i + 1, printf('%d-%s', i, substr(t, 1, 80)) FROM n WHERE i < 20000)
 SELECT count(DISTINCT t), sum(length(t)) FROM n;
SELECT a.name, b.name FROM users a JOIN users b ON a.city = b.city AND a.born = b.born AND a.id < b.id ORDER BY 1, 2 LIMIT 3000;
"""


def script(path, rows):
    """Every statement is text of its own, as an application without prepared statements sends it."""
    rng = random.Random(11)
    with open(path, "w") as file:
        file.write(".output /dev/null\n" + SCHEMA + "BEGIN;\n")
        for i in range(rows):
            first, last, city = rng.choices(WORDS, k=3)
            file.write(f"INSERT INTO users VALUES({i}, '{first} {last}', '{city}', {rng.randrange(1940, 2010)});\n")
            order = f"{rng.randrange(i + 1)}, {rng.randrange(700)}, {rng.randrange(9999)}, '{' '.join(rng.choices(WORDS, k=rng.randrange(12)))}'"
            file.write(f"INSERT INTO orders(user, day, total, note) VALUES({order});\n")
            if i % 4 == 0:
                file.write(f"SELECT name, city FROM users WHERE id = {rng.randrange(i + 1)};\n")
            if i % 8 == 0:
                file.write(f"UPDATE orders SET total = total + 1, note = note || ' again' WHERE user = {rng.randrange(i + 1)};\n")
        file.write("COMMIT;\n" + REPORTS + "DELETE FROM orders WHERE day > 100;\n")


def prepare(run):
    script(run.input("full.sql"), 60000)
    script(run.input("quick.sql"), 15000)


def work(run):
    # Opening /dev/stdout anew and closing it is how "done" gets out at once: the shell buffers its own standard output.
    commands = f".read {run.input(run.choose('full.sql', 'quick.sql'))}\n.output /dev/stdout\n.print done\n.output\n"
    return to_the_end(run, ["/usr/bin/sqlite3", "-batch", ":memory:"], rests=commands)


PROGRAMS = [Program("sqlite", work, {"/usr/bin/sqlite3": "sqlite3", **TIMED}, prepare, quick=True)]
