/* SPDX-License-Identifier: MIT
 *
 * If a range of bits were counted, set or found wrongly, granules would be lost
 * or handed out twice. Every answer is compared with an array of bytes.
 */
#include "fuzz.h"

#include <string.h>

#include "base/bitmap.h"

enum { BITS = 320 };

static uint64_t map[BITS / 64];
static bool model[BITS];

static size_t model_count(size_t i, size_t n)
{
	size_t count = 0;

	for (size_t k = i; k < i + n; k++)
		count += model[k];
	return count;
}

static size_t model_next(size_t i, size_t end, bool set)
{
	while (i < end && model[i] != set)
		i++;
	return i;
}

static void write_bits(size_t i, size_t n, bool set)
{
	if (set)
		bitmap_set(map, i, n);
	else
		bitmap_clear(map, i, n);
	for (size_t k = i; k < i + n; k++)
		model[k] = set;
	for (size_t k = 0; k < BITS; k++)
		HOLDS(bitmap_test(map, k) == model[k]);
}

static void ask_range(size_t i, size_t n)
{
	HOLDS(bitmap_count(map, i, n) == model_count(i, n));
	HOLDS(bitmap_all(map, i, n) == (model_count(i, n) == n));
}

static void ask_search(size_t i, size_t end)
{
	size_t start = model_next(i, end, true), n;

	HOLDS(bitmap_next(map, i, end, true) == start);
	HOLDS(bitmap_next(map, i, end, false) == model_next(i, end, false));
	HOLDS(bitmap_run(map, i, end, &n) == start);
	HOLDS(n == model_next(start, end, false) - start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};

	memset(map, 0, sizeof(map));
	memset(model, 0, sizeof(model));
	while (input_left(&in)) {
		unsigned op = input_byte(&in);
		size_t i = input_short(&in) % (BITS + 1), n = input_short(&in) % (BITS - i + 1);

		if (op % 4 < 2)
			write_bits(i, n, op % 2);
		else if (op % 4 == 2)
			ask_range(i, n);
		else
			ask_search(i, i + n);
	}
	return 0;
}
