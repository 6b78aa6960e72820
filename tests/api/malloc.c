/* SPDX-License-Identifier: MIT
 *
 * malloc and malloc_usable_size — if this fails, the first thing that every
 * program asks of an allocator is wrong: memory that is its own, aligned,
 * long enough, all of it writable, and NULL with ENOMEM when there is none.
 */
#include "entry.h"
#include <sys/mman.h>
#include "pattern.h"

/* What malloc_usable_size says of a request: 8, steps of 16 to 256, four steps a doubling to 32 KiB, then pages. */
static size_t expected_usable(size_t size)
{
	if (size <= 8)
		return 8;
	if (size <= 256)
		return (size + 15) & ~(size_t)15;
	if (size > 32768)
		return (size + 4095) & ~(size_t)4095;
	size_t step = (size_t)1 << (61 - __builtin_clzll(size - 1));
	return (size + step - 1) & ~(step - 1);
}

static void the_programs_own_malloc_is_the_library_under_test(void)
{
	void *(*volatile mine)(size_t) = malloc;
	void (*volatile mine_free)(void *) = free;
	CHECK(mine == api.malloc);
	CHECK(mine_free == api.free);
}

static void a_request_of_zero_bytes_is_answered_by_a_pointer_of_its_own(void)
{
	void *a = api.malloc(0), *b = api.malloc(0);
	CHECK(a && b && a != b);
	CHECK(!usable_is_slot() || api.malloc_usable_size(a) == 8);
	api.free(a);
	api.free(b);
}

static void the_usable_size_of_every_small_request_is_its_class(void)
{
	for (size_t size = 0; is_ashlar && size <= 70000; size++) {
		void *p = api.malloc(size);
		CHECK_CASE(p && api.malloc_usable_size(p) == expected_usable(size), "malloc(%zu) gave %zu", size,
			   api.malloc_usable_size(p));
		api.free(p);
	}
}

static void the_usable_size_of_large_requests_ends_at_a_page(void)
{
	for (size_t size = 65536; is_ashlar && size <= (size_t)1 << 32; size *= 2) {
		for (size_t near = size - 1; near <= size + 1; near++) {
			void *p = api.malloc(near);
			CHECK_CASE(p && api.malloc_usable_size(p) == expected_usable(near), "malloc(%zu)", near);
			api.free(p);
		}
	}
}

static void the_usable_size_of_null_is_zero(void)
{
	CHECK_EQUAL(api.malloc_usable_size(NULL), 0);
}

static void every_request_is_aligned_to_16_and_the_tiny_ones_to_8(void)
{
	for (size_t size = 0; size <= 40000; size += size < 1024 ? 1 : 37) {
		void *p[5];
		for (int i = 0; i < 5; i++) {
			p[i] = api.malloc(size);
			CHECK_CASE((uintptr_t)p[i] % (size <= 8 ? 8 : 16) == 0, "malloc(%zu) gave %p", size, p[i]);
		}
		for (int i = 0; i < 5; i++)
			api.free(p[i]);
	}
}

static void check_writable(size_t size)
{
	void *p = api.malloc(size), *q = api.malloc(size);
	CHECK_CASE(p && q, "malloc(%zu)", size);
	if (!p || !q)
		return;
	size_t usable = api.malloc_usable_size(p), usable_q = api.malloc_usable_size(q);
	CHECK(usable >= size && usable_q >= size);
	memset(p, 0x11, usable);
	memset(q, 0xee, usable_q);
	CHECK_CASE(bytes_are(p, usable, 0x11) && bytes_are(q, usable_q, 0xee), "malloc(%zu)", size);
	api.free(p);
	api.free(q);
}

static void every_usable_byte_is_the_programs(void)
{
	for (size_t size = 0; size <= 2048; size++)
		check_writable(size);
	for (size_t size = 2048; size <= (32u << 20); size += size / 4) {
		check_writable(size - 1);
		check_writable(size);
		check_writable(size + 1);
	}
}

static void many_objects_of_one_class_do_not_overlap(void)
{
	enum { N = 5000 };
	static unsigned char *p[N];
	for (size_t size = 1; size <= 2048; size = size * 3 + 1) {
		for (unsigned i = 0; i < N; i++) {
			p[i] = api.malloc(size);
			pattern_fill(p[i], size, i);
		}
		unsigned wrong = 0;
		for (unsigned i = 0; i < N; i++) {
			wrong += !pattern_intact(p[i], size, i);
			api.free(p[i]);
		}
		CHECK_CASE(wrong == 0, "%u objects of %zu bytes were overwritten", wrong, size);
	}
}

static void a_gigabyte_and_more_is_given_sparsely(void)
{
	for (size_t size = (size_t)1 << 30; size <= (size_t)1 << 34; size *= 2) {
		unsigned char *p = api.malloc(size);
		if (!p) { /* a machine that has less memory than this and does not overcommit it */
			CHECK_CASE(errno == ENOMEM && size > (size_t)1 << 30, "malloc(%zu)", size);
			return;
		}
		p[0] = p[size / 2] = p[size - 1] = 77;
		CHECK(p[0] == 77 && p[size - 1] == 77);
		api.free(p);
	}
}

static void an_impossible_request_gives_null_and_enomem(void)
{
	const size_t impossible[] = {
		PTRDIFF_MAX,
		(size_t)PTRDIFF_MAX + 1,
		(size_t)PTRDIFF_MAX + 4096,
		SIZE_MAX / 4 * 3,
		SIZE_MAX - 65536,
		SIZE_MAX - 16384,
		SIZE_MAX - 8192,
		SIZE_MAX - 4096,
		SIZE_MAX - 4095,
		SIZE_MAX - 64,
		SIZE_MAX - 15,
		SIZE_MAX - 7,
		SIZE_MAX - 1,
		SIZE_MAX,
		(size_t)0x7000000000000000,
		(size_t)1 << 62,
		(size_t)1 << 56,
		(size_t)1 << 50,
		(size_t)1 << 48,
	};
	for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
		errno = 0;
		void *p = api.malloc(impossible[i]);
		CHECK_CASE(!p && errno == ENOMEM, "malloc(%#zx) gave %p, errno %d", impossible[i], p, errno);
	}
	/* and the program lives on */
	void *p = api.malloc(100);
	CHECK(p != NULL);
	api.free(p);
}

static void success_leaves_errno_alone(void)
{
	for (size_t size = 0; size <= (256u << 20); size = size * 2 + 1) {
		errno = 4242;
		void *p = api.malloc(size);
		CHECK_CASE(p && errno == 4242, "malloc(%zu) set errno to %d", size, errno);
		api.free(p);
	}
}

int main(void)
{
	static const struct test tests[] = {
		TEST(the_programs_own_malloc_is_the_library_under_test),
		TEST(a_request_of_zero_bytes_is_answered_by_a_pointer_of_its_own),
		TEST(the_usable_size_of_every_small_request_is_its_class),
		TEST(the_usable_size_of_large_requests_ends_at_a_page),
		TEST(the_usable_size_of_null_is_zero),
		TEST(every_request_is_aligned_to_16_and_the_tiny_ones_to_8),
		TEST(every_usable_byte_is_the_programs),
		TEST(many_objects_of_one_class_do_not_overlap),
		TEST(a_gigabyte_and_more_is_given_sparsely),
		TEST(an_impossible_request_gives_null_and_enomem),
		TEST(success_leaves_errno_alone),
	};
	entry_load();
	return RUN_TESTS(tests);
}
