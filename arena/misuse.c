/* SPDX-License-Identifier: MIT */
#include "arena/misuse.h"

#include <stdlib.h>

#include "arena/piece.h"
#include "arena/region.h"
#include "arena/slab.h"
#include "base/atomic.h"
#include "base/bitmap.h"
#include "base/print.h"

/* The large object that p lies in, by a search back from its granule: only its first one leads to it. */
static const struct large *large_around(const struct region *region, const void *p)
{
	for (size_t g = region_granule(region, (uintptr_t)p) + 1; g-- > 0;) {
		const struct span *span = region_span(region, (void *)region_address(region, g));

		if (span && span->kind == SPAN_LARGE &&
		    (uintptr_t)p - span->base < (size_t)span->granules << GRANULE_SHIFT)
			return (const struct large *)span;
		if (span)
			return NULL;
	}
	return NULL;
}

static void describe_small(char *buf, size_t size, const struct slab *slab, const void *p)
{
	size_t offset = (uintptr_t)p - slab->span.base, object = ash_size_class[slab->span.cls].size;
	/* Divided: the reciprocal is exact for the starts of objects alone. */
	uint32_t slot = (uint32_t)(offset / object);
	bool isfree;

	if (slot >= slab->slots) {
		ash_format(buf, size, "behind the last object of a slab of %zu-byte objects at %p", object,
			   (void *)slab->span.base);
		return;
	}
	isfree = bitmap_test(slab->map, slot);
	ash_format(buf, size, "%zu bytes into the %s%zu-byte object at %p", offset - (size_t)slot * object,
		   isfree ? "free " : "", object, (void *)(slab->span.base + (size_t)slot * object));
}

/* Writes what is known of p; false when it is not ours or not in use. */
static bool describe(char *buf, size_t size, const void *p)
{
	const struct region *region = ash_region_of(p);
	const struct span *span = region ? region_span(region, p) : NULL;
	const struct large *large;

	if (!region)
		return false;
	if (span && span->kind == SPAN_SLAB) {
		describe_small(buf, size, (const struct slab *)span, p);
		return true;
	}
	large = large_around(region, p);
	if (large)
		ash_format(buf, size, "%zu bytes into the %zu-byte object at %p", (uintptr_t)p - large->span.base,
			   large->size, (void *)large->span.base);
	return large != NULL;
}

void (*ash_misuse_told)(const char *text);

/* The program's own hook may have the line instead of standard error. */
static COLD _Noreturn void stop(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void stop(const char *format, ...)
{
	void (*told)(const char *text) = load_relaxed(&ash_misuse_told);
	char line[ASH_LINE_MAX];
	va_list args;

	va_start(args, format);
	ash_vformat(line, sizeof(line), format, args);
	va_end(args);
	if (told)
		told(line);
	else
		ash_message("%s", line);
	abort();
}

/* p lies in the memory of an arena made by hand. */
static COLD _Noreturn void misuse_by_hand(const char *call, const void *p, const struct piece *piece)
{
	size_t offset = (uintptr_t)p - piece->base, object = ash_size_class[piece->cls].size;
	bool slab = piece->kind == PIECE_SLAB;

	if (!slab && (piece->kind != PIECE_LARGE || !offset))
		ash_message("%s: double free of %p (no object is there any more)", call, p);
	else
		ash_message("%s: %s pointer %p (%zu bytes into the %zu-byte object at %p)", call,
			    (uintptr_t)p % 8 ? "misaligned" : "interior", p, slab ? offset % object : offset,
			    slab ? object : piece->usable, (char *)p - (slab ? offset % object : offset));
	abort();
}

void ash_misuse_pointer(const char *call, const void *p)
{
	const struct piece *piece = ash_piece_at((uintptr_t)p);
	char known[160] = "no object is there";

	if (piece && !ash_region_of(p))
		misuse_by_hand(call, p, piece);
	if (!ash_region_of(p))
		stop("%s: foreign pointer %p (not from this allocator)", call, p);
	else if (!describe(known, sizeof(known), p) && (uintptr_t)p % 8 == 0)
		stop("%s: double free of %p (no object is there any more)", call, p);
	else
		stop("%s: %s pointer %p (%s)", call, (uintptr_t)p % 8 ? "misaligned" : "interior", p, known);
}

void ash_misuse_double_free(const char *call, const void *p)
{
	char known[160];

	if (!describe(known, sizeof(known), p))
		ash_format(known, sizeof(known), "no object is there any more");
	stop("%s: double free of %p (%s)", call, p, known);
}

void ash_misuse_size(const char *call, const void *p, size_t freed_as, size_t allocated_as)
{
	stop("%s: wrong size for %p (freed as %zu bytes, allocated as %zu)", call, p, freed_as, allocated_as);
}

void ash_misuse_written(const char *call, const void *p, size_t offset)
{
	char known[160];

	if (!describe(known, sizeof(known), p))
		ash_format(known, sizeof(known), "no object is there any more");
	stop("%s: write after free in %p (%zu bytes from its start; %s)", call, p, offset, known);
}

void ash_misuse_overflow(const char *call, const void *p, size_t size, size_t offset)
{
	stop("%s: overflow past the end of %p (allocated as %zu bytes, written at offset %zu)", call, p, size, offset);
}
