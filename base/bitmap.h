/* SPDX-License-Identifier: MIT
 *
 * bitmap — ranges of bits in arrays of 64-bit words.
 *
 * Plain functions over memory of the caller's, who also holds its lock. Writes
 * are relaxed stores, for the sake of racy readers of single bits.
 */
#ifndef ASH_BASE_BITMAP_H
#define ASH_BASE_BITMAP_H

#include "base/atomic.h"
#include "base/compiler.h"

static inline bool bitmap_test(const uint64_t *map, size_t i)
{
	return map[i / 64] >> (i % 64) & 1;
}

/* The bits of one word that belong to [i, i + n): their mask; *taken says how many. */
static inline uint64_t bitmap_mask(size_t i, size_t n, size_t *taken)
{
	size_t offset = i % 64, len = size_min(64 - offset, n);

	*taken = len;
	return (len == 64 ? ~(uint64_t)0 : (((uint64_t)1 << len) - 1)) << offset;
}

static inline void bitmap_set(uint64_t *map, size_t i, size_t n)
{
	for (size_t len; n; i += len, n -= len) {
		uint64_t mask = bitmap_mask(i, n, &len);

		store_relaxed(&map[i / 64], map[i / 64] | mask);
	}
}

static inline void bitmap_clear(uint64_t *map, size_t i, size_t n)
{
	for (size_t len; n; i += len, n -= len) {
		uint64_t mask = bitmap_mask(i, n, &len);

		store_relaxed(&map[i / 64], map[i / 64] & ~mask);
	}
}

/* How many of the n bits from i on are set. */
static inline size_t bitmap_count(const uint64_t *map, size_t i, size_t n)
{
	size_t count = 0;

	for (size_t len; n; i += len, n -= len)
		count += (size_t)__builtin_popcountll(map[i / 64] & bitmap_mask(i, n, &len));
	return count;
}

static inline bool bitmap_all(const uint64_t *map, size_t i, size_t n)
{
	for (size_t len; n; i += len, n -= len) {
		uint64_t mask = bitmap_mask(i, n, &len);

		if ((map[i / 64] & mask) != mask)
			return false;
	}
	return true;
}

/* The first bit in [i, end) that is set (or clear); `end` when there is none. */
static inline size_t bitmap_next(const uint64_t *map, size_t i, size_t end, bool set)
{
	uint64_t flip = set ? 0 : ~(uint64_t)0;

	while (i < end) {
		uint64_t word = (map[i / 64] ^ flip) >> (i % 64);

		if (word)
			return size_min(i + (size_t)__builtin_ctzll(word), end);
		i = round_down(i, 64) + 64;
	}
	return end;
}

/* The run of set bits that begins at or after i: its start, its length in *n
 * (0 when there is none before `end`). */
static inline size_t bitmap_run(const uint64_t *map, size_t i, size_t end, size_t *n)
{
	size_t start = bitmap_next(map, i, end, true);

	*n = bitmap_next(map, start, end, false) - start;
	return start;
}

#endif
