# SPDX-License-Identifier: MIT
"""Inputs of the cases: the same bytes on every machine and in every run."""
import random

WORDS = ('arena magazine slab depot granule span region pool bin class cache flush refill drain reap purge decay node '
	'page map fast slow path object thread free list lock order limit counter table').split()


def text(size, seed):
	"""About size bytes of compressible lines."""
	rng, lines, n = random.Random(seed), [], 0
	while n < size:
		line = ' '.join(rng.choices(WORDS, k=rng.randrange(3, 14))) + f' {rng.randrange(1000000)}\n'
		lines.append(line)
		n += len(line)
	return ''.join(lines).encode()


def c_function(i, rng):
	a, b, c = (rng.randrange(1, 1000) for _ in range(3))
	return f'''
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
'''


def c_file(functions, seed):
	"""A C file of so many functions, and main when it is the first (seed 0)."""
	rng = random.Random(seed)
	return ''.join(c_function(i, rng) for i in range(functions))


def cpp_file(types, seed):
	"""C++ that makes the compiler instantiate much of the standard library."""
	rng, out = random.Random(seed), []
	out.append('#include <algorithm>\n#include <functional>\n#include <map>\n#include <memory>\n#include <numeric>\n'
		'#include <regex>\n#include <string>\n#include <unordered_map>\n#include <variant>\n#include <vector>\n')
	for i in range(types):
		out.append(f'''
struct type_{i} {{ int a = {rng.randrange(999)}; std::string b = "type {i}"; double c[{i % 5 + 1}] = {{}};
	bool operator<(const type_{i} &o) const {{ return a < o.a || (a == o.a && b < o.b); }} }};
long use_{i}(const std::vector<type_{i}> &in)
{{
	std::map<type_{i}, std::shared_ptr<std::vector<type_{i}>>> groups;
	for (const auto &t : in) {{
		auto &g = groups[t];
		if (!g) g = std::make_shared<std::vector<type_{i}>>();
		g->push_back(t);
	}}
	std::unordered_map<std::string, std::variant<int, type_{i}>> index;
	for (auto &[k, g] : groups) {{
		std::sort(g->begin(), g->end());
		if (g->size() & 1) index[k.b] = k; else index[k.b] = k.a;
	}}
	return std::accumulate(in.begin(), in.end(), 0L, [&](long s, const type_{i} &t) {{ return s + t.a + (long)index.count(t.b); }});
}}
''')
	out.append('bool matches(const std::string &s) { return std::regex_search(s, std::regex("a(b|c)*d{2,5}[x-z]+")); }\n')
	return ''.join(out)


def git_stream(commits, seed):
	"""A git fast-import stream: one branch, files that change a little in each commit."""
	rng = random.Random(seed)
	files = {f'dir{i % 17}/sub{i % 5}/file{i}.txt': text(3000, i) for i in range(250)}
	for n in range(commits):
		touched = sorted(files) if n == 0 else rng.sample(sorted(files), 4)
		yield (f'commit refs/heads/main\nmark :{n + 1}\ncommitter A U Thor <author@example.com> {1700000000 + n * 60} +0000\n'
			f'data {len(str(n)) + 7}\ncommit {n}\n' + (f'from :{n}\n' if n else '')).encode()
		for path in touched:
			data = files[path]
			at = rng.randrange(len(data))
			files[path] = data = data[:at] + f'change {n}\n'.encode() + data[at + rng.randrange(30):]
			yield f'M 100644 inline {path}\ndata {len(data)}\n'.encode() + data + b'\n'
		yield b'\n'
	yield b'done\n'
