/* SPDX-License-Identifier: MIT
 *
 * free, free_sized, free_aligned_sized — if this fails, cleaning up changes
 * errno under a program's hands, or memory does not come back.
 *
 * Run also with dirty_decay_ms:0, where each large free calls the kernel.
 */
#include "entry.h"
#include "pattern.h"

static void freeing_null_does_nothing(void)
{
	errno = 4242;
	api.free(NULL);
	api.free_sized(NULL, 0);
	api.free_sized(NULL, 100);
	api.free_aligned_sized(NULL, 64, 100);
	CHECK_EQUAL(errno, 4242);
}

static void free_keeps_errno_at_every_size(void)
{
	for (size_t size = 1; size <= largest(512u << 20); size *= 2) {
		unsigned char *p = api.malloc(size), *q = api.malloc(size);
		memset(p, 1, size < (64u << 20) ? size : 4096);
		memset(q, 1, size < (64u << 20) ? size : 4096);
		errno = 4242;
		api.free(p);
		CHECK_CASE(errno == 4242, "free of %zu bytes set errno to %d", size, errno);
		api.free_sized(q, size);
		CHECK_CASE(errno == 4242, "free_sized of %zu bytes set errno to %d", size, errno);
	}
}

static void free_keeps_errno_when_caches_and_slabs_empty(void)
{
	enum { N = 20000 };
	static void *p[N];
	for (size_t size = 16; size <= 4096; size *= 4) {
		for (unsigned i = 0; i < N; i++)
			p[i] = memset(api.malloc(size), 1, size);
		errno = 4242;
		for (unsigned i = 0; i < N; i++)
			api.free(p[i]);
		CHECK_CASE(errno == 4242, "freeing %d objects of %zu bytes set errno to %d", N, size, errno);
	}
}

static void free_sized_takes_the_size_that_was_asked_for(void)
{
	size_t before = is_ashlar ? stats_in_use() : 0;
	for (size_t size = 0; size <= 70000; size += size < 4200 ? 1 : 509) {
		api.free_sized(memset(api.malloc(size), 1, size), size);
		api.free_sized(api.calloc(1, size), size);
		api.free_sized(api.realloc(api.malloc(1), size ? size : 1), size ? size : 1);
	}
	for (size_t size = 70000; size <= (64u << 20); size += size / 3)
		api.free_sized(api.malloc(size), size);
	CHECK(!is_ashlar || stats_in_use() == before);
}

static void free_sized_takes_any_size_up_to_the_usable_one(void)
{
	size_t before = is_ashlar ? stats_in_use() : 0;
	for (size_t size = 0; size <= 200000; size += size / 5 + 1) {
		void *p = api.malloc(size), *q = api.malloc(size);
		api.free_sized(p, api.malloc_usable_size(p));
		api.free_sized(q, size + (api.malloc_usable_size(q) - size) / 2);
	}
	CHECK(!is_ashlar || stats_in_use() == before);
}

static void free_aligned_sized_takes_alignment_and_size(void)
{
	size_t before = is_ashlar ? stats_in_use() : 0;
	for (size_t alignment = 1; alignment <= (4u << 20); alignment *= 2) {
		for (size_t size = 1; size <= 300000; size += size / 2 + 1) {
			void *p = api.aligned_alloc(alignment, size);
			CHECK_CASE(p && (uintptr_t)p % alignment == 0, "aligned_alloc(%zu, %zu)", alignment, size);
			errno = 4242;
			api.free_aligned_sized(p, alignment, size);
			CHECK_EQUAL(errno, 4242);
		}
	}
	CHECK(!is_ashlar || stats_in_use() == before);
}

static void what_is_freed_is_used_again(void)
{
	for (size_t size = 16; is_ashlar && size <= (32u << 20); size *= 4) {
		struct ashlar_stats first, last;
		for (unsigned i = 0; i < 4; i++)
			api.free(memset(api.malloc(size), 1, size));
		api.ashlar_stats(&first, sizeof(first));
		for (unsigned i = 0; i < (size > 65536 ? 50 : 1000); i++)
			api.free(api.malloc(size));
		api.ashlar_stats(&last, sizeof(last));
		CHECK_CASE(last.in_use == first.in_use && last.held <= first.held + 10 * size,
			   "size %zu: in use %zu then %zu, held %zu then %zu", size, first.in_use, last.in_use,
			   first.held, last.held);
	}
}

int main(void)
{
	static const struct test tests[] = {
		TEST(freeing_null_does_nothing),
		TEST(free_keeps_errno_at_every_size),
		TEST(free_keeps_errno_when_caches_and_slabs_empty),
		TEST(free_sized_takes_the_size_that_was_asked_for),
		TEST(free_sized_takes_any_size_up_to_the_usable_one),
		TEST(free_aligned_sized_takes_alignment_and_size),
		TEST(what_is_freed_is_used_again),
	};
	entry_load();
	return RUN_TESTS(tests);
}
