/* SPDX-License-Identifier: MIT
 *
 * The functions with flags. If this fails, a program that calls mallocx and its
 * family (BIND, Traffic Server, the Rust crates) gets memory of the wrong size
 * or alignment, loses bytes when it resizes, or asks for the impossible and is
 * given a pointer.
 */
#include "contract.h"

#include <pthread.h>

#define LARGE ((size_t)256 << 10) /* large in each library's classes */

static void an_impossible_size_is_null_whatever_the_flags(void)
{
	const size_t sizes[] = {LARGE_MAX + 1, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096, SIZE_MAX};
	const int flags[] =
		{0, MALLOCX_ALIGN(32), MALLOCX_ALIGN(4096), MALLOCX_LG_ALIGN(62), MALLOCX_ZERO, MALLOCX_TCACHE_NONE};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t j = 0; j < sizeof(flags) / sizeof(flags[0]); j++) {
			CHECK_CASE(mallocx(sizes[i], flags[j]) == NULL, "mallocx(%zx, %x)", sizes[i], flags[j]);
			CHECK_CASE(nallocx(sizes[i], flags[j]) == 0, "nallocx(%zx, %x)", sizes[i], flags[j]);
		}
	CHECK(mallocx(1, MALLOCX_LG_ALIGN(63)) == NULL);
	CHECK(nallocx(1, MALLOCX_LG_ALIGN(63)) == 0);
}

static void more_than_the_address_space_is_null(void)
{
	/* Legal sizes, and more than the machine can address. */
	for (int lg = 47; lg < 63; lg++) {
		CHECK_CASE(mallocx((size_t)1 << lg, 0) == NULL, "2^%d bytes", lg);
		CHECK_CASE(mallocx(((size_t)1 << lg) - 8192, MALLOCX_ZERO) == NULL, "less than 2^%d bytes", lg);
		CHECK_CASE(nallocx((size_t)1 << lg, 0) == (size_t)1 << lg || lg == 62, "2^%d bytes", lg);
	}
	void *p = mallocx(4096, 0);
	CHECK(p != NULL);
	dallocx(p, 0);
}

static void check_one(size_t size, int flags, size_t alignment)
{
	size_t promised = nallocx(size, flags);
	unsigned char *p = mallocx(size, flags);
	CHECK_CASE(p && promised >= size, "mallocx(%zu, %x)", size, flags);
	if (!p)
		return;
	CHECK_CASE(sallocx(p, 0) == promised, "mallocx(%zu, %x): %zu usable, nallocx promised %zu", size, flags,
		   sallocx(p, 0), promised);
	CHECK_CASE(malloc_usable_size(p) == promised, "malloc_usable_size after mallocx(%zu, %x)", size, flags);
	CHECK_CASE((uintptr_t)p % alignment == 0, "mallocx(%zu, %x) is %p", size, flags, (void *)p);
	if (flags & MALLOCX_ZERO)
		CHECK_CASE(filled_with(p, 0, promised), "mallocx(%zu, %x) is not zero", size, flags);
	memset(p, 0x5c, promised);
	dallocx(p, flags & (0xfff << 8));
}

static void each_size_has_the_size_nallocx_promises(void)
{
	for (size_t size = 1; size <= (size_t)8 << 20; size += 1 + size / 9)
		for (int zero = 0; zero < 2; zero++)
			for (int cache = 0; cache < 2; cache++)
				check_one(size, (zero ? MALLOCX_ZERO : 0) | (cache ? 0 : MALLOCX_TCACHE_NONE),
					  size < 9 ? 8 : 16);
}

static void each_alignment_is_kept(void)
{
	for (int lg = 0; lg <= 22; lg++) {
		size_t alignment = (size_t)1 << lg;
		const size_t sizes[] = {1, 7, alignment / 2 + 1, alignment, alignment + 1, 3 * alignment - 1, 100000};
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			check_one(sizes[i], MALLOCX_LG_ALIGN(lg), alignment);
			check_one(sizes[i], MALLOCX_ALIGN(alignment) | MALLOCX_ZERO, alignment);
			check_one(sizes[i], MALLOCX_ALIGN(alignment) | MALLOCX_TCACHE_NONE, alignment);
		}
	}
}

static void many_aligned_objects_never_overlap(void)
{
	enum { N = 4 };
	for (size_t alignment = 8; alignment <= ((size_t)1 << 20); alignment *= 2)
		for (size_t size = 1; size < 3 * alignment && size < ((size_t)1 << 20); size += (alignment >> 1) | 1) {
			unsigned char *p[N];
			for (int i = 0; i < N; i++) {
				p[i] = mallocx(size, MALLOCX_ALIGN(alignment) | MALLOCX_ZERO);
				if (!p[i])
					DIE("mallocx(%zu) at alignment %zu", size, alignment);
				CHECK_CASE(filled_with(p[i], 0, size > 4096 ? 4096 : size), "size %zu alignment %zu",
					   size, alignment);
				memset(p[i], i + 1, size > 4096 ? 4096 : size);
			}
			for (int i = 0; i < N; i++) {
				CHECK_CASE(filled_with(p[i], (unsigned char)(i + 1), size > 4096 ? 4096 : size),
					   "size %zu alignment %zu", size, alignment);
				sdallocx(p[i], size, MALLOCX_ALIGN(alignment));
			}
		}
}

static void nallocx_allocates_nothing(void)
{
	uint64_t before = ctl_u64("thread.allocated");
	for (size_t size = 1; size < ((size_t)1 << 40); size *= 3)
		CHECK(nallocx(size, 0) >= size);
	CHECK_EQUAL(ctl_u64("thread.allocated"), before);
}

static void rallocx_keeps_the_bytes_both_ways(void)
{
	size_t size = 10000;
	unsigned char *p = mallocx(size, 0);
	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(i * 7);
	for (int turn = 0; turn < 60; turn++) {
		size_t next = (size_t)1 + (size_t)(turn * 7919) % 300000;
		size_t common = size < next ? size : next;
		unsigned char *q = rallocx(p, next, 0);
		if (!q)
			DIE("rallocx(%zu)", next);
		for (size_t i = 0; i < common; i++)
			if (q[i] != (unsigned char)(i * 7))
				DIE("byte %zu is lost between %zu and %zu bytes", i, size, next);
		for (size_t i = common; i < next; i++)
			q[i] = (unsigned char)(i * 7);
		CHECK_EQUAL(sallocx(q, 0), nallocx(next, 0));
		p = q, size = next;
	}
	dallocx(p, 0);
}

static void rallocx_zeroes_what_it_adds(void)
{
	for (size_t size = 1; size < LARGE; size = size * 2 + 1) {
		unsigned char *p = mallocx(size, MALLOCX_ZERO);
		size_t old = sallocx(p, 0);
		CHECK(filled_with(p, 0, old));
		memset(p, 0xa7, old);
		for (int turn = 0; turn < 4; turn++) {
			size_t next = old + old / 2 + 1;
			p = rallocx(p, next, MALLOCX_ZERO);
			if (!p)
				DIE("rallocx(%zu)", next);
			size_t now = sallocx(p, 0);
			CHECK_CASE(filled_with(p, 0xa7, old), "%zu bytes are kept", old);
			CHECK_CASE(filled_with(p + old, 0, now - old), "%zu to %zu bytes: what is added is zero", old,
				   now);
			memset(p, 0xa7, now);
			old = now;
		}
		dallocx(p, 0);
	}
}

static void rallocx_keeps_or_raises_the_alignment(void)
{
	void *p = mallocx(100, 0);
	for (int lg = 0; lg <= 20; lg++) {
		p = rallocx(p, 100 + (size_t)lg * 1000, MALLOCX_LG_ALIGN(lg));
		CHECK_CASE(p && (uintptr_t)p % ((size_t)1 << lg) == 0, "alignment 2^%d: %p", lg, p);
		memset(p, lg, sallocx(p, 0));
	}
	dallocx(p, 0);
}

static void rallocx_of_too_much_leaves_the_object(void)
{
	const size_t sizes[] = {LARGE_MAX + 1, (size_t)PTRDIFF_MAX + 1, SIZE_MAX};
	unsigned char *p = mallocx(100, 0);
	memset(p, 0x33, 100);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		errno = 0;
		CHECK(rallocx(p, sizes[i], 0) == NULL);
		CHECK_EQUAL(errno, DIFFERENCE(errno_of_a_failed_resize) ? ENOMEM : 0);
		CHECK(rallocx(p, sizes[i], MALLOCX_ALIGN(1024)) == NULL);
		errno = 0;
		CHECK(realloc(p, sizes[i]) == NULL);
		CHECK_EQUAL(errno, DIFFERENCE(errno_of_a_failed_resize) ? ENOMEM : 0);
	}
	CHECK(filled_with(p, 0x33, 100));
	dallocx(p, 0);
}

/* What xallocx promises at every size: it moves nothing, it tells the size that is usable now, and old bytes stay. */
static size_t resize_in_place(unsigned char *p, size_t size, size_t extra)
{
	size_t before = sallocx(p, 0);
	p[0] = 0x21, p[before - 1] = 0x22;
	size_t after = xallocx(p, size, extra, 0);
	CHECK_CASE(sallocx(p, 0) == after, "xallocx(%zu, %zu) says %zu, sallocx %zu", size, extra, after,
		   sallocx(p, 0));
	CHECK(p[0] == 0x21);
	if (after >= before && before > 1)
		CHECK(p[before - 1] == 0x22);
	if (after < before)
		CHECK_CASE(after >= size, "xallocx(%zu, %zu) of %zu gave %zu", size, extra, before, after);
	if (after > before)
		CHECK_CASE(after <= nallocx(size + extra, 0), "xallocx(%zu, %zu) of %zu gave %zu", size, extra, before,
			   after);
	memset(p, 0x44, after);
	return after;
}

static void xallocx_to_the_same_size_changes_nothing(void)
{
	for (size_t size = 1; size < ((size_t)4 << 20); size = size * 3 + 5) {
		void *p = mallocx(size, 0);
		size_t usable = sallocx(p, 0);
		CHECK_EQUAL(xallocx(p, usable, 0, 0), usable);
		CHECK_EQUAL(xallocx(p, size, usable - size, 0), usable);
		dallocx(p, 0);
	}
}

static void xallocx_never_changes_a_small_object(void)
{
	for (size_t size = 8; size <= 4096; size *= 2) {
		unsigned char *p = mallocx(size, 0);
		size_t usable = sallocx(p, 0);
		const size_t asked[] = {1, size / 2, size, usable + 1, 4 * size, LARGE, LARGE_MAX};
		for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
			CHECK_EQUAL(resize_in_place(p, asked[i], 0), usable);
			CHECK_EQUAL(resize_in_place(p, asked[i], 100), usable);
		}
		dallocx(p, 0);
	}
}

static void xallocx_shrinks_a_large_object_and_grows_it_back(void)
{
	/* An arena of its own: nobody else can take what the object gives up. */
	unsigned arena = arena_create(NULL);
	int flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;
	unsigned char *p = mallocx(4 * LARGE, flags);
	size_t four = nallocx(4 * LARGE, 0), two = nallocx(2 * LARGE, 0), three = nallocx(3 * LARGE, 0);
	CHECK_EQUAL(resize_in_place(p, four, 0), four);
	CHECK_EQUAL(resize_in_place(p, two, 0), two);
	CHECK_EQUAL(resize_in_place(p, three, 0), three);
	CHECK_EQUAL(resize_in_place(p, two, 0), two);
	CHECK_EQUAL(resize_in_place(p, two, four - two), four);
	CHECK_EQUAL(resize_in_place(p, two, three - two), three);
	CHECK_EQUAL(resize_in_place(p, two, 0), two);
	dallocx(p, flags);
	ctl_do(NAME("arena.%u.destroy", arena));
}

static void xallocx_of_too_much_is_clamped_or_refused(void)
{
	unsigned char *p = mallocx(LARGE, 0);
	size_t usable = sallocx(p, 0);
	CHECK_EQUAL(resize_in_place(p, LARGE_MAX + 1, 0), usable);
	CHECK_EQUAL(xallocx(p, SIZE_MAX, 0, 0), usable);
	CHECK_EQUAL(xallocx(p, LARGE_MAX, 1, 0), usable);
	/* size + extra overflows: extra is cut, and the object grows as far as it can, or stays. */
	CHECK(xallocx(p, usable, SIZE_MAX, 0) >= usable);
	CHECK(xallocx(p, usable, LARGE_MAX, 0) >= usable);
	CHECK_EQUAL(sallocx(p, 0), xallocx(p, sallocx(p, 0), 0, 0));
	dallocx(p, 0);
}

static void xallocx_zeroes_what_it_adds(void)
{
	unsigned arena = arena_create(NULL);
	int flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;
	size_t full = nallocx(16 * LARGE, 0), small = nallocx(LARGE, 0);
	unsigned char *p = mallocx(full, flags);
	memset(p, 0x77, full);
	CHECK_EQUAL(xallocx(p, small, 0, flags | MALLOCX_ZERO), small);
	CHECK(filled_with(p, 0x77, small));
	for (size_t size = small + 4096; size <= full; size += 7 * LARGE / 4) {
		size_t old = sallocx(p, 0), now = xallocx(p, size, 0, flags | MALLOCX_ZERO);
		CHECK_EQUAL(now, nallocx(size, 0));
		CHECK_CASE(filled_with(p + old, 0, now - old), "%zu to %zu bytes", old, now);
		CHECK(filled_with(p, 0x77, old));
		memset(p, 0x77, now);
	}
	dallocx(p, flags);
	ctl_do(NAME("arena.%u.destroy", arena));
}

static void sdallocx_takes_any_size_between_request_and_usable(void)
{
	for (size_t size = 1; size < ((size_t)1 << 20); size = size * 2 + 3)
		for (int lg = 0; lg <= 16; lg += 4) {
			int flags = MALLOCX_LG_ALIGN(lg);
			sdallocx(mallocx(size, flags), size, flags);
			sdallocx(mallocx(size, flags), nallocx(size, flags), flags);
			void *p = mallocx(size, flags | MALLOCX_TCACHE_NONE);
			sdallocx(p, size, flags | MALLOCX_TCACHE_NONE);
		}
}

static void *use_an_arena_of_its_own(void *unused)
{
	unsigned arena = arena_create(NULL);
	for (int i = 0; i < 100; i++) {
		void *p = mallocx((size_t)(i * 37 + 1), MALLOCX_ARENA(arena));
		void *q = mallocx((size_t)(i * 3700 + 1), MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
		CHECK(p && q);
		CHECK_EQUAL(arena_of(q), arena);
		dallocx(p, 0);
		dallocx(q, MALLOCX_TCACHE_NONE);
	}
	return unused;
}

static void threads_use_arenas_that_they_create(void)
{
	pthread_t threads[10];
	for (int i = 0; i < 10; i++)
		if (pthread_create(&threads[i], NULL, use_an_arena_of_its_own, NULL) != 0)
			DIE("pthread_create");
	for (int i = 0; i < 10; i++)
		pthread_join(threads[i], NULL);
}

static void an_explicit_tcache_gives_back_what_it_was_given(void)
{
	unsigned id = 0, arena = arena_create(NULL);
	size_t length = sizeof(id);
	CHECK_EQUAL(mallctl("tcache.create", &id, &length, NULL, 0), 0);
	int flags = MALLOCX_TCACHE(id) | MALLOCX_ARENA(arena);
	void *p = mallocx(64, flags);
	CHECK_EQUAL(arena_of(p), arena);
	dallocx(p, MALLOCX_TCACHE(id));
	void *q = mallocx(64, flags);
	CHECK(p == q);
	dallocx(q, MALLOCX_TCACHE(id));
	ctl_write("tcache.flush", &id, sizeof(id));
	void *r = mallocx(64, flags);
	CHECK(r != NULL);
	dallocx(r, MALLOCX_TCACHE(id));
	ctl_write("tcache.destroy", &id, sizeof(id));
	ctl_do(NAME("arena.%u.destroy", arena));
}

static void use_a_dead_tcache(void)
{
	dallocx(mallocx(8, MALLOCX_TCACHE(1234)), MALLOCX_TCACHE(1234));
}

static void a_dead_tcache_id_ends_the_program_with_a_line(void)
{
	struct outcome out;
	run_in_child(use_a_dead_tcache, &out);
	CHECK_EQUAL(out.signal, SIGABRT);
	CHECK_CASE(strstr(out.text, "invalid tcache id (1234)."), "%s", out.text);
	CHECK_CASE(strncmp(out.text, named_jemalloc ? "<jemalloc>: " : "ashlar: ", named_jemalloc ? 12 : 8) == 0, "%s",
		   out.text);
}

static void flags_that_free_do_not_care_about_the_arena(void)
{
	unsigned arena = arena_create(NULL);
	void *p = mallocx(100, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
	dallocx(p, MALLOCX_ARENA(0) | MALLOCX_TCACHE_NONE);
	void *q = malloc(100);
	dallocx(q, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
	void *r = mallocx(100, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
	free(r);
	ctl_do("thread.tcache.flush"); /* free() may have kept an object of the arena */
	ctl_do(NAME("arena.%u.destroy", arena));
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	static const struct test tests[] = {
		TEST(an_impossible_size_is_null_whatever_the_flags),
		TEST(more_than_the_address_space_is_null),
		TEST(each_size_has_the_size_nallocx_promises),
		TEST(each_alignment_is_kept),
		TEST(many_aligned_objects_never_overlap),
		TEST(nallocx_allocates_nothing),
		TEST(rallocx_keeps_the_bytes_both_ways),
		TEST(rallocx_zeroes_what_it_adds),
		TEST(rallocx_keeps_or_raises_the_alignment),
		TEST(rallocx_of_too_much_leaves_the_object),
		TEST(xallocx_to_the_same_size_changes_nothing),
		TEST(xallocx_never_changes_a_small_object),
		TEST(xallocx_shrinks_a_large_object_and_grows_it_back),
		TEST(xallocx_of_too_much_is_clamped_or_refused),
		TEST(xallocx_zeroes_what_it_adds),
		TEST(sdallocx_takes_any_size_between_request_and_usable),
		TEST(threads_use_arenas_that_they_create),
		TEST(an_explicit_tcache_gives_back_what_it_was_given),
		TEST(a_dead_tcache_id_ends_the_program_with_a_line),
		TEST(flags_that_free_do_not_care_about_the_arena),
	};
	return RUN_TESTS(tests);
}
