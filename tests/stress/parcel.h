/* SPDX-License-Identifier: MIT
 *
 * parcel — an object that tells by itself what must be in it, as one 64-bit
 * word that threads can hand to each other by one atomic exchange.
 *
 *   word = pointer | size << 48 | id << 52       objects of 1 to 15 bytes
 *   word = pointer                               others: size and id are their first 16 bytes
 *
 * The rest, to the usable size, is filled with a pattern made from the id.
 * 0 is no parcel. Pointers of programs have at most 48 bits.
 */
#ifndef TESTS_STRESS_PARCEL_H
#define TESTS_STRESS_PARCEL_H

#include "entry.h"
#include "pattern.h"

enum { PARCEL_TINY = 16 };

struct parcel_head {
	uint64_t size;
	uint64_t id;
};

static inline unsigned char *parcel_pointer(uint64_t word)
{
	return (unsigned char *)(word & 0xffffffffffff);
}

static inline struct parcel_head parcel_head(uint64_t word)
{
	struct parcel_head head = {word >> 48 & 15, word >> 52};
	if (head.size == 0)
		memcpy(&head, parcel_pointer(word), sizeof(head));
	return head;
}

/* Writes head and pattern into an object of this size. */
static inline uint64_t parcel_pack(void *p, size_t size, uint64_t id)
{
	if (!p)
		DIE("a request of %zu bytes gave NULL (errno %d)", size, errno);
	if ((uintptr_t)p >> 48)
		DIE("%p has more than 48 bits", p);
	size_t usable = api.malloc_usable_size(p);
	if (usable < size)
		DIE("%p of %zu bytes has a usable size of %zu", p, size, usable);
	if (size < PARCEL_TINY) {
		uint64_t word = (uint64_t)(uintptr_t)p | (uint64_t)size << 48 | id << 52;
		pattern_fill(p, size, word >> 52);
		return word;
	}
	struct parcel_head head = {size, id};
	memcpy(p, &head, sizeof(head));
	pattern_fill((unsigned char *)p + PARCEL_TINY, usable - PARCEL_TINY, id);
	return (uint64_t)(uintptr_t)p;
}

/* What the parcel says of itself, after looking at every byte that was written. */
static inline struct parcel_head parcel_check(uint64_t word, const char *when)
{
	unsigned char *p = parcel_pointer(word);
	struct parcel_head head = parcel_head(word);
	size_t usable = api.malloc_usable_size(p), skip = head.size < PARCEL_TINY ? 0 : PARCEL_TINY;
	size_t filled = skip ? usable - skip : head.size;
	if (head.size > usable || !pattern_intact(p + skip, filled, head.id))
		DIE("%p of %llu bytes (usable %zu) was overwritten, seen %s", (void *)p, (unsigned long long)head.size,
		    usable, when);
	return head;
}

#endif
