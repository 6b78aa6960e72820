/* SPDX-License-Identifier: MIT
 *
 * If the page map were wrong, free would push objects of one class into another,
 * or fault. In both of its forms, with a system that refuses now and then, it is
 * compared with an array: each byte is what was last written there, and 0 before.
 *
 * The module is compiled into this file, so that each input begins with a new map.
 */
#include <string.h>

#include "fuzz.h"

#include "base/os.h"

/* How many more requests the system grants. */
static unsigned granted;
static bool limited;

static bool is_granted(void)
{
	if (!granted)
		return false;
	granted--;
	return true;
}

static bool fuzz_commit(void *p, size_t size)
{
	return is_granted() && ash_os_commit(p, size);
}

static void *fuzz_map_at(uintptr_t hint, size_t size)
{
	return is_granted() ? ash_os_map_at(hint, size) : NULL;
}

static size_t fuzz_address_limit(void)
{
	return limited ? (size_t)2 << 30 : SIZE_MAX;
}

#define ash_os_commit fuzz_commit
#define ash_os_map_at fuzz_map_at
#define ash_os_address_limit fuzz_address_limit
#include "arena/pagemap.c"

/* Windows of the address space, granules around a border of two pieces each. */
enum { WINDOWS = 6, WIDTH = 64, FOR_EVER = 1 << 30 };

static struct {
	uintptr_t base;
	bool covered[2]; /* its lower half, its upper half */
	uint8_t cls[WIDTH];
} window[WINDOWS];

static void windows_begin(void)
{
	uintptr_t top = (uintptr_t)pieces << PIECE_SHIFT, piece = (uintptr_t)1 << PIECE_SHIFT;

	memset(window, 0, sizeof(window));
	for (unsigned w = 0; w < WINDOWS; w++)
		window[w].base = round_down(top / WINDOWS * (w + 1) - piece, piece) - WIDTH / 2 * GRANULE;
	/* The last piece and, refused, what lies behind it. */
	window[WINDOWS - 1].base = top - WIDTH / 2 * GRANULE;
}

/* Covers the pieces that some granules lie in. */
static void cover(struct input *in, unsigned w)
{
	size_t g = input_byte(in) % WIDTH, n = 1 + input_byte(in) % (WIDTH - g);
	size_t first = g / (WIDTH / 2), last = (g + n - 1) / (WIDTH / 2);
	bool beyond = w == WINDOWS - 1 && last == 1;
	bool ok = ash_pagemap_cover(window[w].base + g * GRANULE, n * GRANULE);

	HOLDS(!(ok && beyond));
	HOLDS(ok || beyond || !granted);
	for (size_t half = first; ok && half <= last; half++)
		window[w].covered[half] = true;
}

static void set(struct input *in, unsigned w)
{
	size_t g = input_byte(in) % WIDTH, n = 1 + input_byte(in) % (WIDTH - g), last = g + n - 1;
	unsigned cls = input_byte(in) % SIZE_CLASS_COUNT;

	if (!window[w].covered[g / (WIDTH / 2)] || !window[w].covered[last / (WIDTH / 2)])
		return;
	ash_pagemap_set(window[w].base + g * GRANULE, n, cls);
	memset(window[w].cls + g, (int)cls, n);
}

static void compare(unsigned w)
{
	for (size_t g = 0; g < WIDTH; g++) {
		uintptr_t p = window[w].base + g * GRANULE;

		if (!window[w].covered[g / (WIDTH / 2)])
			continue;
		HOLDS(pagemap_class((void *)p) == window[w].cls[g]);
		HOLDS(pagemap_class((void *)(p + GRANULE - 1)) == window[w].cls[g]);
	}
}

static void nowhere(struct input *in)
{
	uintptr_t base = input_word(in);
	size_t size = input_word(in);

	/* What ends beyond the address space, or wraps around, is refused. */
	if (size && (base + size < base || (base + size - 1) >> PIECE_SHIFT >= pieces))
		HOLDS(!ash_pagemap_cover(base, size));
}

/* As before start-up. */
static void forget(void)
{
	memset(covered, 0, sizeof(covered));
	sparse = false;
	ash_pagemap = no_classes;
}

static void unmap_all(void)
{
	if (!sparse)
		ash_os_unmap(ash_pagemap, pieces * PIECE_BYTES);
	for (size_t piece = 0; sparse && piece < pieces; piece++) {
		if (!covered[piece / 64])
			piece += 63;
		else if (covered[piece / 64] >> (piece % 64) & 1)
			ash_os_unmap(ash_pagemap + piece * PIECE_BYTES, PIECE_BYTES);
	}
	forget();
}

static void operate(struct input *in)
{
	while (input_left(in)) {
		unsigned op = input_byte(in), w = op / 8 % WINDOWS;

		if (op % 8 < 3)
			cover(in, w);
		else if (op % 8 < 6)
			set(in, w);
		else if (op % 8 == 6)
			granted = input_byte(in) % 2 ? FOR_EVER : input_byte(in) % 4;
		else
			nowhere(in);
		compare(w);
	}
	for (unsigned w = 0; w < WINDOWS; w++)
		compare(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	unsigned first = input_byte(&in);

	ash_os_init();
	limited = first & 1;
	granted = first & 2 ? FOR_EVER : first >> 2;
	if (!ash_pagemap_init()) {
		HOLDS(ash_pagemap == no_classes && pagemap_class(NULL) == 0);
		forget();
		return 0;
	}
	HOLDS(pagemap_class(NULL) == 0);
	windows_begin();
	operate(&in);
	unmap_all();
	return 0;
}
