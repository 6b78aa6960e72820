/* SPDX-License-Identifier: MIT
 *
 * If bitmap ranges were wrong, granules would be lost or handed out twice.
 * Every answer is compared with the same question asked bit by bit.
 */
#include "unit.h"

#include "base/bitmap.h"

#define BITS 256

static void fill(uint64_t *map, unsigned seed)
{
	for (unsigned i = 0; i < BITS / 64; i++) {
		seed = seed * 1103515245u + 12345u;
		map[i] = ((uint64_t)seed << 32) ^ (seed * 2654435761u);
		map[i] &= seed & 0x10000 ? ~(uint64_t)0 : (uint64_t)seed << 20;
	}
}

static size_t count_slowly(const uint64_t *map, size_t i, size_t n)
{
	size_t count = 0;

	for (size_t k = i; k < i + n; k++)
		count += bitmap_test(map, k);
	return count;
}

static void count_and_all_agree_with_single_bits(void **state)
{
	uint64_t map[BITS / 64];

	(void)state;
	for (unsigned seed = 0; seed < 20; seed++) {
		fill(map, seed);
		for (size_t i = 0; i < BITS; i += 7) {
			for (size_t n = 0; i + n <= BITS; n += 5) {
				assert_int_equal(bitmap_count(map, i, n), count_slowly(map, i, n));
				assert_int_equal(bitmap_all(map, i, n), count_slowly(map, i, n) == n);
			}
		}
	}
}

static void set_and_clear_change_their_range_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < BITS; i += 9) {
		for (size_t n = 0; i + n <= BITS; n += 11) {
			uint64_t map[BITS / 64] = {0};

			bitmap_set(map, i, n);
			assert_int_equal(count_slowly(map, 0, BITS), n);
			assert_int_equal(count_slowly(map, i, n), n);
			memset(map, 0xff, sizeof(map));
			bitmap_clear(map, i, n);
			assert_int_equal(count_slowly(map, 0, BITS), BITS - n);
			assert_int_equal(count_slowly(map, i, n), 0);
		}
	}
}

static void next_and_run_find_what_single_bits_say(void **state)
{
	uint64_t map[BITS / 64];

	(void)state;
	for (unsigned seed = 0; seed < 50; seed++) {
		fill(map, seed);
		for (size_t i = 0; i <= BITS; i++) {
			size_t set = i, clear = i, n, start;

			while (set < BITS && !bitmap_test(map, set))
				set++;
			while (clear < BITS && bitmap_test(map, clear))
				clear++;
			assert_int_equal(bitmap_next(map, i, BITS, true), set);
			assert_int_equal(bitmap_next(map, i, BITS, false), clear);
			start = bitmap_run(map, i, BITS, &n);
			assert_int_equal(start, set);
			assert_int_equal(count_slowly(map, start, n), n);
			assert_true(start + n == BITS || !bitmap_test(map, start + n));
		}
	}
}

static void a_search_ends_where_it_is_told(void **state)
{
	uint64_t map[2] = {0, ~(uint64_t)0};
	size_t n;

	(void)state;
	assert_int_equal(bitmap_next(map, 0, 50, true), 50);
	assert_int_equal(bitmap_run(map, 0, 70, &n), 64);
	assert_int_equal(n, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(count_and_all_agree_with_single_bits),
		cmocka_unit_test(set_and_clear_change_their_range_alone),
		cmocka_unit_test(next_and_run_find_what_single_bits_say),
		cmocka_unit_test(a_search_ends_where_it_is_told),
	};

	return cmocka_run_group_tests_name("bitmap", tests, NULL, NULL);
}
