/* SPDX-License-Identifier: MIT
 *
 * pattern — bytes that tell whose memory this is. Every live object carries
 * words made from its id; a foreign write, a lost page or a second owner shows
 * as a wrong word when the object is looked at again.
 *
 * Objects up to 16 KiB are filled entirely. Larger ones at both ends and at
 * one word in every step between, so that each of their pages is touched but
 * the tests spend their time in the allocator, not in memset.
 */
#ifndef TESTS_API_PATTERN_H
#define TESTS_API_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { PATTERN_WHOLE = 16384, PATTERN_END = 512 };

static inline uint64_t random_mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* splitmix64: one word of state, so that a seed is one number. */
static inline uint64_t random_next(uint64_t *state)
{
	return random_mix(*state += 0x9e3779b97f4a7c15u);
}

static inline uint64_t random_below(uint64_t *state, uint64_t bound)
{
	return random_next(state) % bound;
}

static inline uint64_t pattern_word(uint64_t id, size_t offset)
{
	return (id + 1) * 0x9e3779b97f4a7c15u ^ offset * 0xff51afd7ed558ccdu;
}

static inline size_t pattern_step(size_t size)
{
	return size <= (4u << 20) ? 1024 : 4096;
}

/* `from` is a multiple of 8; the last word may be cut short by `to`. */
static inline void pattern_write(unsigned char *p, size_t from, size_t to, uint64_t id)
{
	size_t at = from;
	for (; at + 8 <= to; at += 8) {
		uint64_t word = pattern_word(id, at);
		memcpy(p + at, &word, 8);
	}
	uint64_t last = pattern_word(id, at);
	memcpy(p + at, &last, to - at);
}

static inline bool pattern_holds(const unsigned char *p, size_t from, size_t to, uint64_t id)
{
	uint64_t wrong = 0;
	size_t at = from;
	for (; at + 8 <= to; at += 8) {
		uint64_t word;
		memcpy(&word, p + at, 8);
		wrong |= word ^ pattern_word(id, at);
	}
	uint64_t last = pattern_word(id, at);
	return !wrong && memcmp(p + at, &last, to - at) == 0;
}

static inline void pattern_fill(void *object, size_t size, uint64_t id)
{
	unsigned char *p = object;
	if (size <= PATTERN_WHOLE) {
		pattern_write(p, 0, size, id);
		return;
	}
	size_t end = (size - PATTERN_END) & ~(size_t)7, step = pattern_step(size);
	pattern_write(p, 0, PATTERN_END, id);
	for (size_t at = step; at + 8 <= end; at += step)
		pattern_write(p, at, at + 8, id);
	pattern_write(p, end, size, id);
}

/* Whether the first `length` bytes are still those of an object filled as `size` bytes. */
static inline bool pattern_kept(const void *object, size_t length, size_t size, uint64_t id)
{
	const unsigned char *p = object;
	if (size <= PATTERN_WHOLE)
		return pattern_holds(p, 0, length, id);
	if (!pattern_holds(p, 0, length < PATTERN_END ? length : PATTERN_END, id))
		return false;
	size_t end = (size - PATTERN_END) & ~(size_t)7, step = pattern_step(size);
	for (size_t at = step; at + 8 <= end && at + 8 <= length; at += step) {
		if (!pattern_holds(p, at, at + 8, id))
			return false;
	}
	return length <= end || pattern_holds(p, end, length, id);
}

static inline bool pattern_intact(const void *object, size_t size, uint64_t id)
{
	return pattern_kept(object, size, size, id);
}

static inline bool bytes_are(const void *object, size_t size, unsigned char value)
{
	const unsigned char *p = object;
	uint64_t word, wrong = 0, all = 0x0101010101010101u * value;
	size_t at = 0;
	for (; at + 8 <= size; at += 8) {
		memcpy(&word, p + at, 8);
		wrong |= word ^ all;
	}
	for (; at < size; at++)
		wrong |= (uint64_t)(p[at] ^ value);
	return !wrong;
}

/* For large memory: the ends, and some bytes of every page between them. */
static inline bool bytes_are_sampled(const void *object, size_t size, unsigned char value)
{
	const unsigned char *p = object;
	if (size <= (256u << 10))
		return bytes_are(object, size, value);
	for (size_t at = 4096; at + 4096 < size; at += 4096) {
		if (!bytes_are(p + at + (at >> 12) % 63 * 64, 64, value))
			return false;
	}
	return bytes_are(p, 4096, value) && bytes_are(p + size - 4096, 4096, value);
}

#endif
