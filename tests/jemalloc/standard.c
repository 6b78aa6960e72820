/* SPDX-License-Identifier: MIT
 *
 * The standard functions as jemalloc answers them: sizes of zero, sizes that no
 * machine has, alignments that are none, and what becomes of errno. If this
 * fails, a program moved here from jemalloc meets a different malloc in its
 * error paths, where nobody looks until it is late.
 */
#include "contract.h"

#include <dlfcn.h>

static const size_t impossible[] = {LARGE_MAX + 1, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096, SIZE_MAX};
#define N_IMPOSSIBLE (sizeof(impossible) / sizeof(impossible[0]))

/* The call answers NULL and leaves this in errno. */
#define CHECK_FAILS(call, error) \
	do { \
		errno = 0; \
		CHECK((call) == NULL); \
		CHECK_EQUAL(errno, error); \
	} while (0)

static void nothing_asked_is_a_pointer_of_its_own(void)
{
	void *a = malloc(0), *b = malloc(0), *c = calloc(0, 8), *d = calloc(8, 0), *e = realloc(NULL, 0);
	void *all[] = {a, b, c, d, e};
	for (int i = 0; i < 5; i++) {
		CHECK(all[i] != NULL);
		CHECK_EQUAL(malloc_usable_size(all[i]), 8);
		for (int j = 0; j < i; j++)
			CHECK(all[i] != all[j]);
	}
	for (int i = 0; i < 5; i++)
		free(all[i]);
}

static void tiny_objects_are_8_aligned_and_the_rest_16(void)
{
	for (size_t size = 1; size < 100000; size += 1 + size / 5)
		for (int i = 0; i < 5; i++) {
			void *p = malloc(size), *q = calloc(1, size), *r = realloc(NULL, size);
			uintptr_t both = (uintptr_t)p | (uintptr_t)q | (uintptr_t)r;
			CHECK_CASE(both % (size <= 8 ? 8 : 16) == 0, "%zu bytes: %p %p %p", size, p, q, r);
			free(p), free(q), free(r);
		}
}

static void the_usable_size_is_what_nallocx_says(void)
{
	for (size_t size = 1; size < ((size_t)8 << 20); size += 1 + size / 50) {
		void *p = malloc(size);
		size_t usable = malloc_usable_size(p);
		CHECK_CASE(usable == nallocx(size, 0) && usable == sallocx(p, 0) && usable >= size,
			   "%zu bytes: %zu usable", size, usable);
		memset(p, 1, usable);
		CHECK_EQUAL(malloc_usable_size(p), usable);
		free(p);
	}
	CHECK_EQUAL(malloc_usable_size(NULL), 0);
}

static void too_much_is_null_and_enomem(void)
{
	for (size_t i = 0; i < N_IMPOSSIBLE; i++) {
		CHECK_FAILS(malloc(impossible[i]), ENOMEM);
		CHECK_FAILS(calloc(1, impossible[i]), ENOMEM);
		CHECK_FAILS(calloc(impossible[i], 2), ENOMEM);
		CHECK_FAILS(realloc(NULL, impossible[i]), ENOMEM);
		CHECK_FAILS(aligned_alloc(64, impossible[i]), ENOMEM);
		CHECK_FAILS(memalign(64, impossible[i]), DIFFERENCE(errno_of_memalign) ? ENOMEM : 0);
		CHECK_FAILS(valloc(impossible[i]), DIFFERENCE(errno_of_memalign) ? ENOMEM : 0);
	}
	volatile size_t half = SIZE_MAX / 2, root = (size_t)1 << 32; /* compilers warn of what they can see */
	CHECK_FAILS(calloc(half, 3), ENOMEM);
	CHECK_FAILS(calloc(root, root), ENOMEM);
}

static void realloc_that_cannot_leaves_the_object(void)
{
	for (size_t i = 0; i < N_IMPOSSIBLE; i++) {
		unsigned char *p = malloc(50);
		memset(p, 9, 50);
		CHECK_FAILS(realloc(p, impossible[i]), DIFFERENCE(errno_of_a_failed_resize) ? ENOMEM : 0);
		CHECK(filled_with(p, 9, 50));
		free(p);
	}
}

static void realloc_to_zero_frees_and_counts(void)
{
	refresh();
	size_t before = ctl_size("stats.zero_reallocs");
	for (int i = 0; i < 3; i++) {
		void *p = malloc(100);
		errno = 0;
		CHECK(realloc(p, 0) == NULL);
		CHECK_EQUAL(errno, 0);
	}
	refresh();
	CHECK_EQUAL(ctl_size("stats.zero_reallocs"), before + 3);
}

static void realloc_keeps_the_bytes(void)
{
	unsigned char *p = NULL;
	size_t held = 0;
	for (int turn = 0; turn < 200; turn++) {
		size_t size = 1 + (size_t)(turn * 4241) % 90000, common = held < size ? held : size;
		p = realloc(p, size);
		if (!p)
			DIE("realloc(%zu)", size);
		CHECK_CASE(filled_with(p, 0x6d, common), "%zu to %zu bytes", held, size);
		memset(p, 0x6d, size);
		held = size;
	}
	free(p);
}

static void calloc_is_zero_over_the_usable_size(void)
{
	for (size_t size = 1; size < ((size_t)4 << 20); size = size * 2 + 1)
		for (int i = 0; i < 4; i++) {
			unsigned char *p = calloc(size, 1);
			CHECK_CASE(filled_with(p, 0, malloc_usable_size(p)), "calloc(%zu)", size);
			memset(p, 0xff, malloc_usable_size(p));
			free(p);
		}
}

static void aligned_alloc_takes_only_powers_of_two(void)
{
	const size_t bad[] = {0, 3, 5, 12, 24, 100, 4097, ((size_t)1 << 40) + 8};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_FAILS(aligned_alloc(bad[i], 64), EINVAL);
	for (size_t alignment = 1; alignment <= ((size_t)1 << 24); alignment *= 2) {
		const size_t sizes[] = {0, 1, alignment - 1, alignment, alignment + 1, 3 * alignment, 100};
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			void *p = aligned_alloc(alignment, sizes[i]);
			CHECK_CASE(p && (uintptr_t)p % alignment == 0, "aligned_alloc(%zu, %zu) is %p", alignment,
				   sizes[i], p);
			free(p);
		}
	}
}

static void aligned_alloc_beyond_the_address_space_is_enomem(void)
{
	volatile size_t huge = (size_t)1 << 62, most = SIZE_MAX - 15;
	CHECK_FAILS(aligned_alloc(2 * huge, 1), ENOMEM);
	CHECK_FAILS(aligned_alloc(huge, huge + 1), ENOMEM);
	CHECK_FAILS(aligned_alloc(16, most), ENOMEM);
	CHECK_FAILS(aligned_alloc(huge, LARGE_MAX), ENOMEM);
}

static void posix_memalign_writes_only_what_it_made(void)
{
	const size_t bad[] = {0, 1, 2, 4, 9, 24, 100, ((size_t)1 << 40) + 8};
	void *mark = &mark, *out = mark;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		errno = 0;
		CHECK_EQUAL(posix_memalign(&out, bad[i], 64), EINVAL);
		CHECK(out == mark && errno == 0);
	}
	for (size_t i = 0; i < N_IMPOSSIBLE; i++) {
		errno = 0;
		CHECK_EQUAL(posix_memalign(&out, 64, impossible[i]), ENOMEM);
		CHECK(out == mark && errno == 0);
	}
	CHECK_EQUAL(posix_memalign(&out, (size_t)1 << 63, 1), ENOMEM);
	CHECK(out == mark);
	for (size_t alignment = 8; alignment <= ((size_t)1 << 24); alignment *= 2)
		for (size_t size = 0; size <= 3 * alignment && size < ((size_t)1 << 20); size += alignment / 2 + 1) {
			CHECK_EQUAL(posix_memalign(&out, alignment, size), 0);
			CHECK_CASE((uintptr_t)out % alignment == 0, "posix_memalign(%zu, %zu) is %p", alignment, size,
				   out);
			free(out);
		}
}

static void memalign_of_nothing_is_aligned(void)
{
	/* Debian's version forgets the alignment here, so that only the pointer is sure. */
	for (size_t alignment = 16; alignment <= 4096; alignment *= 2) {
		void *p[8];
		for (int i = 0; i < 8; i++) {
			p[i] = memalign(alignment, 0);
			CHECK(p[i] != NULL);
			if (DIFFERENCE(memalign_of_nothing))
				CHECK_CASE((uintptr_t)p[i] % alignment == 0, "memalign(%zu, 0) is %p", alignment, p[i]);
		}
		for (int i = 0; i < 8; i++)
			free(p[i]);
	}
}

static void memalign_with_no_power_of_two(void)
{
	const size_t odd[] = {3, 24, 100};
	for (size_t i = 0; i < 3; i++) {
		void *p = memalign(odd[i], 64);
		if (DIFFERENCE(memalign_rounds_up_as_glibc)) {
			size_t power = 4;
			while (power < odd[i])
				power *= 2;
			CHECK_CASE(p && (uintptr_t)p % power == 0, "memalign(%zu, 64) is %p", odd[i], p);
		} else {
			CHECK(p == NULL);
		}
		free(p);
	}
}

static void pages_are_page_aligned(void)
{
	for (size_t size = 1; size < 100000; size = size * 3 + 1) {
		void *p = valloc(size);
		CHECK_CASE(p && (uintptr_t)p % 4096 == 0 && malloc_usable_size(p) >= size, "valloc(%zu) is %p", size,
			   p);
		free(p);
		if (DIFFERENCE(newer_functions)) {
			void *q = pvalloc(size);
			CHECK_CASE((uintptr_t)q % 4096 == 0 && malloc_usable_size(q) >= ((size + 4095) & ~(size_t)4095),
				   "pvalloc(%zu)", size);
			free(q);
		}
	}
}

static void sized_frees_take_what_was_asked(void)
{
	if (!DIFFERENCE(newer_functions)) {
		CHECK(!free_sized && !free_aligned_sized);
		return;
	}
	free_sized(NULL, 0);
	free_aligned_sized(NULL, 16, 0);
	for (size_t size = 1; size < 1000000; size = size * 2 + 1) {
		free_sized(malloc(size), size);
		free_aligned_sized(aligned_alloc(256, size), 256, size);
	}
}

static void free_keeps_errno(void)
{
	for (size_t size = 1; size < ((size_t)32 << 20); size = size * 4 + 1) {
		void *p = malloc(size), *q = malloc(size);
		errno = 77;
		free(p);
		CHECK_EQUAL(errno, 77);
		sdallocx(q, size, 0);
		CHECK_EQUAL(errno, 77);
	}
	errno = 77;
	free(NULL);
	CHECK_EQUAL(errno, 77);
}

static void success_keeps_errno(void)
{
	void *p[200];
	errno = 78;
	for (int i = 0; i < 200; i++)
		p[i] = malloc((size_t)i * 5000);
	CHECK_EQUAL(errno, 78);
	for (int i = 0; i < 200; i++)
		p[i] = realloc(p[i], (size_t)i * 9000 + 1);
	CHECK_EQUAL(errno, 78);
	for (int i = 0; i < 200; i++)
		free(p[i]);
	CHECK_EQUAL(errno, 78);
}

static void memory_of_gigabytes_is_address_space_until_it_is_used(void)
{
	unsigned char *p[6];
	for (int i = 0; i < 6; i++) {
		size_t size = (size_t)1 << (30 + i);
		p[i] = malloc(size);
		CHECK_CASE(p[i] && malloc_usable_size(p[i]) >= size, "%zu bytes", size);
		p[i][0] = p[i][size / 2] = p[i][size - 1] = 1;
	}
	for (int i = 0; i < 6; i++)
		free(p[i]);
}

static void glibc_names_that_jemalloc_never_had(void)
{
	/* Programs that enumerate the heap or stop it (Android's names) find none of these and do without. */
	static const char *const none[] = {"malloc_iterate", "malloc_disable", "malloc_enable",
					   "cfree",          "je_malloc",      "allocm"};
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		CHECK_CASE(dlsym(RTLD_DEFAULT, none[i]) == NULL, "%s", none[i]);
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	static const struct test tests[] = {
		TEST(nothing_asked_is_a_pointer_of_its_own),
		TEST(tiny_objects_are_8_aligned_and_the_rest_16),
		TEST(the_usable_size_is_what_nallocx_says),
		TEST(too_much_is_null_and_enomem),
		TEST(realloc_that_cannot_leaves_the_object),
		TEST(realloc_to_zero_frees_and_counts),
		TEST(realloc_keeps_the_bytes),
		TEST(calloc_is_zero_over_the_usable_size),
		TEST(aligned_alloc_takes_only_powers_of_two),
		TEST(aligned_alloc_beyond_the_address_space_is_enomem),
		TEST(posix_memalign_writes_only_what_it_made),
		TEST(memalign_of_nothing_is_aligned),
		TEST(memalign_with_no_power_of_two),
		TEST(pages_are_page_aligned),
		TEST(sized_frees_take_what_was_asked),
		TEST(free_keeps_errno),
		TEST(success_keeps_errno),
		TEST(memory_of_gigabytes_is_address_space_until_it_is_used),
		TEST(glibc_names_that_jemalloc_never_had),
	};
	return RUN_TESTS(tests);
}
