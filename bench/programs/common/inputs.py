# SPDX-License-Identifier: MIT
"""Input data that several programs share: the same bytes every time."""

import random

WORDS = """account address balance branch buffer cache channel client code column commit count customer data date default error event field file filter
format group handler header index input item key label length level line link list log map message method mode model name node number object offset
option order output owner page parent path point policy port price process query queue range record region report request result row schema score
search server session size source stage state status stream string table target task text time token total type unit update user value version view
weight window word zone""".split()


def lines(count, seed):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(3, 14))) + f" {rng.randrange(1000000)}\n" for _ in range(count)]


def text(size, seed):
    """Compressible text, as logs are: lines from a stock, some of them new."""
    rng, stock, parts, length = random.Random(seed), lines(20000, seed), [], 0
    while length < size:
        line = rng.choice(stock) if rng.random() < 0.7 else f"{rng.getrandbits(96):x} {rng.choice(WORDS)}\n"
        parts.append(line)
        length += len(line)
    return "".join(parts)[:size].encode()
