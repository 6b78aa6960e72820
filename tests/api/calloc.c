/* SPDX-License-Identifier: MIT
 *
 * calloc — if this fails, programs read what others left behind in memory that
 * they were promised as zero, or write beyond a product that wrapped around.
 */
#include "entry.h"
#include "pattern.h"

static void zero_elements_are_answered_by_a_pointer_of_their_own(void)
{
	void *a = api.calloc(0, 16), *b = api.calloc(16, 0), *c = api.calloc(0, 0), *d = api.calloc(0, SIZE_MAX);
	CHECK(a && b && c && d);
	CHECK(a != b && b != c && c != d && a != c && a != d && b != d);
	CHECK(!usable_is_slot() || api.malloc_usable_size(a) == 8);
	api.free(a);
	api.free(b);
	api.free(c);
	api.free(d);
}

/* Dirties n objects of this size, frees them, and takes n back by calloc. */
static void check_reuse(size_t size, unsigned n)
{
	void *p[64];
	for (unsigned i = 0; i < n; i++) {
		p[i] = api.malloc(size);
		memset(p[i], 0xff, api.malloc_usable_size(p[i]));
	}
	for (unsigned i = 0; i < n; i++)
		api.free(p[i]);
	for (unsigned i = 0; i < n; i++) {
		p[i] = api.calloc(i % 2 ? 1 : size, i % 2 ? size : 1);
		size_t promised = is_ashlar ? api.malloc_usable_size(p[i]) : size;
		CHECK_CASE(p[i] && bytes_are(p[i], promised, 0), "calloc of %zu bytes after dirtying", size);
	}
	for (unsigned i = 0; i < n; i++)
		api.free(p[i]);
}

static void reused_memory_is_zero_over_its_whole_usable_size(void)
{
	for (size_t size = 1; size <= 1024; size += 3)
		check_reuse(size, 64);
	for (size_t size = 1024; size <= 65536; size += size / 8)
		check_reuse(size, 32);
	for (size_t size = 65536; size <= largest(64u << 20); size *= 2)
		check_reuse(size + 5000, size > (4u << 20) ? 2 : 8);
}

static void memory_dirtied_at_another_size_is_zero_too(void)
{
	for (size_t size = 64; size <= (8u << 20); size *= 4) {
		void *large = api.malloc(size * 4);
		memset(large, 0xdd, size * 4);
		api.free(large);
		check_reuse(size - 1, 4);
		check_reuse(size, 4);
	}
}

static void a_large_object_that_shrank_leaves_no_dirt_behind(void)
{
	unsigned char *p = api.malloc(16u << 20);
	memset(p, 0xcc, 16u << 20);
	p = api.realloc(p, 1u << 20);
	unsigned char *q = api.calloc(1, 15u << 20), *r = api.calloc(15u << 20, 1);
	CHECK(p && q && bytes_are(q, 15u << 20, 0));
	CHECK(r && bytes_are(r, 15u << 20, 0));
	api.free(p);
	api.free(q);
	api.free(r);
}

static void a_product_that_overflows_gives_null_and_enomem(void)
{
	const size_t factors[][2] = {
		{SIZE_MAX / 2 + 1, 2},
		{2, SIZE_MAX / 2 + 1},
		{SIZE_MAX, 2},
		{2, SIZE_MAX},
		{SIZE_MAX, SIZE_MAX},
		{(size_t)1 << 32, (size_t)1 << 32},
		{((size_t)1 << 32) + 1, (size_t)1 << 32},
		{SIZE_MAX / 3 + 1, 3},
		{SIZE_MAX, 1},
		{1, SIZE_MAX},
		{PTRDIFF_MAX, 1},
		{(size_t)1 << 31, (size_t)1 << 32},
		{SIZE_MAX / 16 + 2, 16},
	};
	for (size_t i = 0; i < sizeof(factors) / sizeof(factors[0]); i++) {
		errno = 0;
		void *p = api.calloc(factors[i][0], factors[i][1]);
		CHECK_CASE(!p && errno == ENOMEM, "calloc(%#zx, %#zx) gave %p, errno %d", factors[i][0], factors[i][1],
			   p, errno);
	}
}

static void objects_are_aligned_as_mallocs_are(void)
{
	for (size_t size = 1; size <= 100000; size += size < 512 ? 1 : 1001) {
		void *p = api.calloc(1, size);
		CHECK_CASE(p && (uintptr_t)p % (size <= 8 ? 8 : 16) == 0, "calloc(1, %zu) gave %p", size, p);
		CHECK(api.malloc_usable_size(p) >= size);
		api.free(p);
	}
}

static void success_leaves_errno_alone(void)
{
	for (size_t size = 1; size <= (64u << 20); size *= 2) {
		errno = 4242;
		void *p = api.calloc(size, 1);
		CHECK_CASE(p && errno == 4242, "calloc(%zu, 1) set errno to %d", size, errno);
		api.free(p);
	}
}

int main(void)
{
	static const struct test tests[] = {
		TEST(zero_elements_are_answered_by_a_pointer_of_their_own),
		TEST(reused_memory_is_zero_over_its_whole_usable_size),
		TEST(memory_dirtied_at_another_size_is_zero_too),
		TEST(a_large_object_that_shrank_leaves_no_dirt_behind),
		TEST(a_product_that_overflows_gives_null_and_enomem),
		TEST(objects_are_aligned_as_mallocs_are),
		TEST(success_leaves_errno_alone),
	};
	entry_load();
	return RUN_TESTS(tests);
}
