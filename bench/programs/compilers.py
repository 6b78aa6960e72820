# SPDX-License-Identifier: MIT
"""gcc and clang compiling: C++ that instantiates much of the standard library (cc1plus), and a large C file.

A compiler allocates and hardly frees until it ends; for a part of its objects gcc's collector and obstacks, or clang's bump allocators, stand
between it and malloc.
"""

import random

from common.runs import TIMED, Program, to_the_end

HEADERS = "algorithm functional map memory numeric regex string unordered_map variant vector".split()


def cpp_type(i, rng):
    return f"""
struct type_{i} {{ int a = {rng.randrange(999)}; std::string b = "type {i}"; double c[{i % 5 + 1}] = {{}};
    bool operator<(const type_{i} &o) const {{ return a < o.a || (a == o.a && b < o.b); }} }};
long use_{i}(const std::vector<type_{i}> &in)
{{
    std::map<type_{i}, std::shared_ptr<std::vector<type_{i}>>> groups;
    std::unordered_map<std::string, std::variant<int, type_{i}>> index;
    for (const auto &t : in) {{
        auto &g = groups[t];
        if (!g) g = std::make_shared<std::vector<type_{i}>>();
        g->push_back(t);
    }}
    for (auto &[k, g] : groups) {{
        std::sort(g->begin(), g->end());
        if (g->size() & 1) index[k.b] = k; else index[k.b] = k.a;
    }}
    return std::accumulate(in.begin(), in.end(), 0L, [&](long s, const type_{i} &t) {{ return s + t.a + (long)index.count(t.b); }});
}}
"""


def cpp(types, headers):
    rng = random.Random(7)
    return "".join(f"#include <{name}>\n" for name in headers) + "".join(cpp_type(i, rng) for i in range(types))


def c_function(i, rng):
    a, b, c = (rng.randrange(1, 1000) for _ in range(3))
    return f"""
static const char *const name_{i} = "function number {i} of {a}";
struct record_{i} {{ long key, value[{b % 7 + 1}]; struct record_{i} *next; }};
long work_{i}(long x, const long *v, long n)
{{
    struct record_{i} r = {{x, {{{a}}}, 0}};
    for (long k = 0; k < n; k++) {{
        switch ((x + v[k]) % {c % 9 + 3}) {{
        case 0: r.key += v[k] * {a}; break;
        case 1: r.value[k % {b % 7 + 1}] ^= r.key >> {c % 13}; break;
        case 2: r.key = r.key * 31 + name_{i}[(unsigned long)r.key % 18]; break;
        default: x = x * {b} + r.value[0];
        }}
        if (r.key > {a * b}) r.key %= {c};
    }}
    return r.key + x{f" + work_{i - 1}(x / 2 + {a}, v, n / 2)" if i % 5 else ""};
}}
"""


def prepare(run):
    rng = random.Random(7)
    texts = {"full.cc": cpp(2, HEADERS), "quick.cc": cpp(0, ["map", "string", "vector"]), "full.c": "".join(c_function(i, rng) for i in range(80))}
    for name, text in texts.items():
        with open(run.input(name), "w") as file:
            file.write(text)


def both(first, second):
    """One measurement of two commands, one after the other."""
    sums = ("wall_s", "user_s", "sys_s", "minor_faults", "major_faults")
    return {key: first[key] + second[key] if key in sums else max(first[key], second[key]) for key in first}


def compile_one(run, compiler, source, *options, names):
    return to_the_end(run, [compiler, *options, "-c", run.input(source), "-o", run.path(source + ".o")], names=names)


def compile_all(run, c, cxx, stages):
    """stages: the process that compiles C++, and the one that compiles C."""
    if run.quick:
        return compile_one(run, cxx, "quick.cc", "-fsyntax-only", "-std=c++17", names=stages[:1])
    first = compile_one(run, cxx, "full.cc", "-std=c++17", "-O1", "-g", names=stages[:1])
    return both(first, compile_one(run, c, "full.c", "-O2", "-g", names=stages[1:]))


def clang(run):
    return compile_all(run, "/usr/bin/clang", "/usr/bin/clang++", ["clang++", "clang"])


LIBC = {"/usr/include/stdio.h": "libc6-dev"}
PROGRAMS = [
    Program("gcc", lambda run: compile_all(run, "/usr/bin/gcc", "/usr/bin/g++", ["cc1plus", "cc1"]),
            {"/usr/bin/gcc": "gcc", "/usr/bin/g++": "g++", **LIBC, **TIMED}, prepare, quick=True),
    Program("clang", clang, {"/usr/bin/clang": "clang", "/usr/bin/clang++": "clang", "/usr/bin/g++": "g++", **LIBC, **TIMED}, prepare),
]
