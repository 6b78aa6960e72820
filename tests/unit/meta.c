/* SPDX-License-Identifier: MIT
 *
 * If metadata were wrong, ashlar's structures would overlap, or lie where a
 * stray write of the program reaches them.
 */
#include "unit.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/meta.h"
#include "base/os.h"

static struct meta meta = META_INITIALIZER;

static void pieces_are_zero_aligned_and_apart(void **state)
{
	char *last = NULL;

	(void)state;
	for (size_t align = 8; align <= 512; align *= 2) {
		for (size_t size = 1; size < 2000; size += 333) {
			char *p = ash_meta_alloc(&meta, size, align);

			assert_non_null(p);
			assert_int_equal((uintptr_t)p % align, 0);
			assert_true(!last || p > last);
			for (size_t i = 0; i < size; i++)
				assert_int_equal(p[i], 0);
			memset(p, 0xff, size);
			last = p + size - 1;
		}
	}
}

static void a_piece_larger_than_a_reservation_gets_its_own(void **state)
{
	char *p = ash_meta_alloc(&meta, (size_t)100 << 20, 64);

	(void)state;
	assert_non_null(p);
	p[0] = p[((size_t)100 << 20) - 1] = 1;
}

/* A write to an inaccessible page faults; write(2) of one says EFAULT instead. */
static bool is_accessible(const char *p)
{
	int pipes[2];
	bool ok;

	assert_int_equal(pipe(pipes), 0);
	ok = write(pipes[1], p, 1) == 1;
	close(pipes[0]);
	close(pipes[1]);
	return ok;
}

static void pages_around_a_reservation_are_inaccessible(void **state)
{
	(void)state;
	assert_true(is_accessible((char *)meta.next - 1));
	assert_false(is_accessible((char *)meta.end - 1));
	assert_false(is_accessible((char *)meta.end - ash_page_size));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_zero_aligned_and_apart),
		cmocka_unit_test(a_piece_larger_than_a_reservation_gets_its_own),
		cmocka_unit_test(pages_around_a_reservation_are_inaccessible),
	};

	return cmocka_run_group_tests_name("meta", tests, NULL, NULL);
}
