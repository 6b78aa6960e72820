/* SPDX-License-Identifier: MIT
 *
 * realloc and reallocarray — if this fails, growing buffers lose what they
 * hold, or a failed call frees what the program still uses.
 *
 * The option zero_realloc decides what realloc(p, 0) does: the test is run once
 * for each of its values and reads the value from MALLOC_CONF.
 */
#include "entry.h"
#include <signal.h>
#include "pattern.h"

static void realloc_of_null_is_malloc(void)
{
	void *a = api.realloc(NULL, 0), *b = api.realloc(NULL, 1000), *c = api.reallocarray(NULL, 10, 100);
	CHECK(a && b && c && a != b && b != c);
	CHECK(api.malloc_usable_size(b) >= 1000 && api.malloc_usable_size(c) >= 1000);
	CHECK(!usable_is_slot() || api.malloc_usable_size(a) == 8);
	api.free(a);
	api.free(b);
	api.free(c);
}

static const size_t sizes_to_free[] = {1, 8, 100, 5000, 32768, 32769, 100000, 8u << 20};

static void realloc_to_zero_frees_and_gives_null(void)
{
	if (option_is("zero_realloc:alloc") || option_is("zero_realloc:abort"))
		return;
	for (size_t i = 0; i < sizeof(sizes_to_free) / sizeof(sizes_to_free[0]); i++) {
		size_t before = is_ashlar ? stats_in_use() : 0;
		void *p = api.malloc(sizes_to_free[i]), *q = api.malloc(sizes_to_free[i]);
		errno = 4242;
		CHECK_CASE(api.realloc(p, 0) == NULL && errno == 4242, "%zu bytes, errno %d", sizes_to_free[i], errno);
		CHECK_CASE(api.reallocarray(q, 0, 8) == NULL && errno == 4242, "%zu bytes, errno %d", sizes_to_free[i],
			   errno);
		CHECK(!is_ashlar || stats_in_use() == before);
	}
}

static void with_zero_realloc_alloc_realloc_to_zero_gives_a_pointer(void)
{
	if (!option_is("zero_realloc:alloc"))
		return;
	for (size_t i = 0; i < sizeof(sizes_to_free) / sizeof(sizes_to_free[0]); i++) {
		size_t before = stats_in_use();
		void *p = api.realloc(api.malloc(sizes_to_free[i]), 0);
		CHECK_CASE(p && api.malloc_usable_size(p) == 8, "%zu bytes", sizes_to_free[i]);
		api.free(p);
		CHECK_EQUAL(stats_in_use(), before);
	}
}

static void shrink_to_nothing(void)
{
	void *p = api.realloc(api.malloc(100), 0);
	say("realloc returned %p\n", p);
}

static void with_zero_realloc_abort_realloc_to_zero_ends_the_program_with_one_line(void)
{
	struct outcome out;
	if (!option_is("zero_realloc:abort"))
		return;
	run_in_child(shrink_to_nothing, &out);
	CHECK_EQUAL(out.signal, SIGABRT);
	CHECK_CASE(is_one_line_of_ashlar(&out, "realloc"), "it wrote: %s", out.text);
}

/* Grows or shrinks one object along a list of sizes, looking at its contents after each step. */
static void check_chain(const size_t *sizes, size_t n, const char *name)
{
	unsigned char *p = api.malloc(sizes[0]);
	pattern_fill(p, sizes[0], 0);
	for (size_t i = 1; i < n; i++) {
		size_t kept = sizes[i] < sizes[i - 1] ? sizes[i] : sizes[i - 1];
		p = api.realloc(p, sizes[i]);
		CHECK_CASE(p && api.malloc_usable_size(p) >= sizes[i], "%s: %zu to %zu bytes", name, sizes[i - 1],
			   sizes[i]);
		CHECK_CASE((uintptr_t)p % (sizes[i] <= 8 ? 8 : 16) == 0, "%s: realloc gave %p", name, (void *)p);
		CHECK_CASE(pattern_kept(p, kept, sizes[i - 1], i - 1), "%s: %zu to %zu bytes", name, sizes[i - 1],
			   sizes[i]);
		pattern_fill(p, sizes[i], i);
	}
	api.free(p);
}

static void growing_keeps_what_was_there(void)
{
	static size_t sizes[4096];
	size_t n = 0;
	for (size_t size = 1; size < 3000; size++)
		sizes[n++] = size;
	for (size_t size = 3000; size < largest(64u << 20); size += size / 13)
		sizes[n++] = size;
	check_chain(sizes, n, "growing");
	n = 0;
	for (size_t size = 1; size <= largest(256u << 20); size *= 2)
		sizes[n++] = size;
	check_chain(sizes, n, "doubling");
}

static void shrinking_keeps_the_beginning(void)
{
	static size_t sizes[4096];
	size_t n = 0;
	for (size_t size = largest(64u << 20); size > 3000; size -= size / 13)
		sizes[n++] = size;
	for (size_t size = 3000; size >= 1; size--)
		sizes[n++] = size;
	check_chain(sizes, n, "shrinking");
	n = 0;
	for (size_t size = largest(256u << 20); size >= 1; size /= 2)
		sizes[n++] = size;
	check_chain(sizes, n, "halving");
}

static void jumping_between_small_and_large_keeps_contents(void)
{
	static const size_t sizes[] = {16, 40000,     24,    1u << 20, 32768, 32769, 32768,    5u << 20,
				       8,  32u << 20, 65536, 1,        4096,  4097,  33u << 20};
	check_chain(sizes, sizeof(sizes) / sizeof(sizes[0]), "jumping");
}

static void the_usable_part_beyond_the_request_is_kept_too(void)
{
	for (size_t size = 1; size <= 200000; size += size / 3 + 1) {
		unsigned char *p = api.malloc(size);
		size_t usable = api.malloc_usable_size(p);
		pattern_fill(p, usable, size);
		p = api.realloc(p, usable * 3 + 1);
		CHECK_CASE(pattern_kept(p, usable, usable, size), "malloc(%zu), usable %zu", size, usable);
		api.free(p);
	}
}

static void many_growing_objects_side_by_side_keep_apart(void)
{
	enum { N = 64 };
	unsigned char *p[N] = {NULL};
	size_t size[N] = {0};
	for (unsigned round = 0; round < 60; round++) {
		for (unsigned i = 0; i < N; i++) {
			size_t grown = size[i] + size[i] / 3 + 1 + i;
			p[i] = api.realloc(p[i], grown);
			CHECK_CASE(p[i] && pattern_kept(p[i], size[i], size[i], i), "object %u, round %u", i, round);
			pattern_fill(p[i], grown, i);
			size[i] = grown < (2u << 20) ? grown : 1;
		}
	}
	for (unsigned i = 0; i < N; i++)
		api.free(p[i]);
}

static void an_aligned_object_can_be_reallocated(void)
{
	for (size_t align = 16; align <= (4u << 20); align *= 4) {
		unsigned char *p = api.memalign(align, align + 100);
		pattern_fill(p, align + 100, align);
		p = api.realloc(p, align * 2 + 5000);
		CHECK_CASE(p && pattern_kept(p, align + 100, align + 100, align), "alignment %zu", align);
		api.free(p);
	}
}

static void a_refused_growth_leaves_the_object_as_it_was(void)
{
	static const size_t sizes[] = {1, 16, 5000, 100000, 5u << 20};
	static const size_t impossible[] = {PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096, SIZE_MAX,
					    (size_t)1 << 50};
	for (size_t i = 0; i < 25 && is_ashlar; i++) {
		size_t size = sizes[i / 5], too_much = impossible[i % 5];
		void *p = api.malloc(size);
		size_t usable = api.malloc_usable_size(p);
		pattern_fill(p, usable, i);
		errno = 0;
		CHECK_CASE(!api.realloc(p, too_much) && errno == ENOMEM, "realloc(%zu bytes, %#zx), errno %d", size,
			   too_much, errno);
		errno = 0;
		CHECK_CASE(!api.reallocarray(p, 1, too_much) && errno == ENOMEM, "reallocarray to %#zx, errno %d",
			   too_much, errno);
		CHECK(api.malloc_usable_size(p) == usable && pattern_intact(p, usable, i));
		api.free(p);
	}
}

static void a_product_that_overflows_leaves_the_object_as_it_was(void)
{
	const size_t factors[][2] = {
		{SIZE_MAX / 2 + 1, 2}, {2, SIZE_MAX / 2 + 1}, {SIZE_MAX, SIZE_MAX}, {(size_t)1 << 32, (size_t)1 << 32},
		{SIZE_MAX / 3 + 1, 3},
	};
	for (size_t i = 0; i < sizeof(factors) / sizeof(factors[0]); i++) {
		void *p = api.malloc(64);
		pattern_fill(p, 64, i);
		errno = 0;
		CHECK_CASE(!api.reallocarray(p, factors[i][0], factors[i][1]) && errno == ENOMEM, "case %zu, errno %d",
			   i, errno);
		errno = 0;
		CHECK_CASE(!api.reallocarray(NULL, factors[i][0], factors[i][1]) && errno == ENOMEM,
			   "case %zu, errno %d", i, errno);
		CHECK(pattern_intact(p, 64, i));
		api.free(p);
	}
}

static void success_leaves_errno_alone(void)
{
	void *p = NULL;
	for (size_t size = 1; size <= largest(256u << 20); size *= 2) {
		errno = 4242;
		p = api.realloc(p, size);
		CHECK_CASE(p && errno == 4242, "realloc to %zu set errno to %d", size, errno);
	}
	for (size_t size = largest(256u << 20); size >= 1; size /= 2) {
		errno = 4242;
		p = api.realloc(p, size);
		CHECK_CASE(p && errno == 4242, "realloc to %zu set errno to %d", size, errno);
	}
	api.free(p);
}

int main(void)
{
	static const struct test tests[] = {
		TEST(realloc_of_null_is_malloc),
		TEST(realloc_to_zero_frees_and_gives_null),
		TEST(with_zero_realloc_alloc_realloc_to_zero_gives_a_pointer),
		TEST(with_zero_realloc_abort_realloc_to_zero_ends_the_program_with_one_line),
		TEST(growing_keeps_what_was_there),
		TEST(shrinking_keeps_the_beginning),
		TEST(jumping_between_small_and_large_keeps_contents),
		TEST(the_usable_part_beyond_the_request_is_kept_too),
		TEST(many_growing_objects_side_by_side_keep_apart),
		TEST(an_aligned_object_can_be_reallocated),
		TEST(a_refused_growth_leaves_the_object_as_it_was),
		TEST(a_product_that_overflows_leaves_the_object_as_it_was),
		TEST(success_leaves_errno_alone),
	};
	entry_load();
	return RUN_TESTS(tests);
}
