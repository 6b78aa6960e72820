# SPDX-License-Identifier: MIT
"""lua: an interpreter that takes every string, table and closure from malloc (realloc, with sizes), and collects garbage in small steps."""

from common.runs import TIMED, Program, find, to_the_end


def work(run):
    return to_the_end(run, [find(LUA), run.beside("work.lua"), run.choose("10", "3")], rests=True)


LUA = "lua5.4|lua"
PROGRAMS = [Program("lua", work, {LUA: "lua5.4", **TIMED}, quick=True)]
