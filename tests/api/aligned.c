/* SPDX-License-Identifier: MIT
 *
 * posix_memalign, aligned_alloc, memalign, valloc, pvalloc — if this fails,
 * direct I/O, SIMD code and databases get memory at the wrong address, or an
 * error that they do not see.
 */
#include "entry.h"
#include "pattern.h"

#define GIB ((size_t)1 << 30)
#define LARGEST largest(GIB)

/* memalign's shape for the one that is not. */
static void *by_posix_memalign(size_t alignment, size_t size)
{
	void *p = NULL;
	if (alignment < 8)
		return api.malloc(size);
	return api.posix_memalign(&p, alignment, size) == 0 ? p : NULL;
}

static void check_one(size_t alignment, size_t size, const char *name, void *(*call)(size_t, size_t))
{
	unsigned char *p = call(alignment, size);
	CHECK_CASE(p && (uintptr_t)p % alignment == 0, "%s(%zu, %zu) gave %p", name, alignment, size, (void *)p);
	if (!p)
		return;
	size_t usable = api.malloc_usable_size(p);
	CHECK_CASE(usable >= size, "%s(%zu, %zu), usable %zu", name, alignment, size, usable);
	if (usable <= (1u << 20)) {
		memset(p, 0x5c, usable);
		CHECK(bytes_are(p, usable, 0x5c));
	} else {
		p[0] = p[usable / 2] = p[usable - 1] = 1;
	}
	api.free(p);
}

static void check_all(size_t alignment, size_t size)
{
	check_one(alignment, size, "posix_memalign", by_posix_memalign);
	check_one(alignment, size, "aligned_alloc", api.aligned_alloc);
	check_one(alignment, size, "memalign", api.memalign);
}

static void every_power_of_two_up_to_a_gibibyte_is_an_alignment(void)
{
	for (size_t alignment = 1; alignment <= LARGEST; alignment *= 2) {
		const size_t sizes[] = {1,
					7,
					24,
					100,
					1000,
					4096,
					5000,
					32768,
					40000,
					alignment - 1,
					alignment,
					alignment + 1,
					alignment * 3};
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			check_all(alignment, sizes[i]);
	}
}

static void a_request_of_zero_bytes_is_aligned_too(void)
{
	for (size_t alignment = 8; is_ashlar && alignment <= LARGEST; alignment *= 2)
		check_all(alignment, 0);
	void *a = api.aligned_alloc(64, 0), *b = api.aligned_alloc(64, 0);
	CHECK(a && b && a != b);
	api.free(a);
	api.free(b);
}

static void many_aligned_objects_do_not_overlap(void)
{
	enum { N = 400 };
	unsigned char *p[N];
	for (size_t alignment = 16; alignment <= 65536; alignment *= 2) {
		for (unsigned i = 0; i < N; i++) {
			p[i] = api.aligned_alloc(alignment, 50 + i);
			CHECK_CASE(p[i] && (uintptr_t)p[i] % alignment == 0, "alignment %zu", alignment);
			pattern_fill(p[i], 50 + i, i);
		}
		for (unsigned i = 0; i < N; i++) {
			CHECK_CASE(pattern_intact(p[i], 50 + i, i), "alignment %zu, object %u", alignment, i);
			api.free(p[i]);
		}
	}
}

static void sizes_need_not_be_multiples_of_the_alignment(void)
{
	void *p = api.aligned_alloc(256, 3);
	CHECK(p && (uintptr_t)p % 256 == 0);
	api.free(p);
}

static void posix_memalign_refuses_what_is_no_alignment_and_changes_nothing(void)
{
	const size_t bad[] = {0,
			      1,
			      2,
			      3,
			      4,
			      6,
			      7,
			      9,
			      12,
			      24,
			      48,
			      100,
			      4095,
			      4097,
			      12288,
			      SIZE_MAX,
			      SIZE_MAX - 7,
			      ((size_t)1 << 63) + 8};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		void *out = &out;
		errno = 4242;
		int error = api.posix_memalign(&out, bad[i], 64);
		CHECK_CASE(error == EINVAL && out == &out && errno == 4242, "alignment %zu: rc %d, errno %d", bad[i],
			   error, errno);
	}
}

static void posix_memalign_without_memory_changes_nothing(void)
{
	const size_t impossible[] = {PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096, SIZE_MAX - 63,
				     SIZE_MAX,    (size_t)1 << 50};
	for (size_t i = 0; is_ashlar && i < sizeof(impossible) / sizeof(impossible[0]); i++) {
		for (size_t alignment = 8; alignment; alignment *= 8) {
			void *out = &out;
			errno = 4242;
			int error = api.posix_memalign(&out, alignment, impossible[i]);
			CHECK_CASE(error == ENOMEM && out == &out && errno == 4242, "(%#zx, %#zx): rc %d, errno %d",
				   alignment, impossible[i], error, errno);
		}
	}
}

static void an_alignment_beyond_the_address_space_gives_no_memory(void)
{
	for (size_t alignment = (size_t)1 << 48; is_ashlar && alignment; alignment *= 2) {
		void *out = &out;
		CHECK(api.posix_memalign(&out, alignment, 1) == ENOMEM && out == &out);
		errno = 0;
		CHECK_CASE(!api.aligned_alloc(alignment, 1) && errno == ENOMEM, "aligned_alloc(%#zx), errno %d",
			   alignment, errno);
		errno = 0;
		CHECK_CASE(!api.memalign(alignment, 1) && errno == ENOMEM, "memalign(%#zx), errno %d", alignment,
			   errno);
	}
}

static void aligned_alloc_refuses_what_is_no_power_of_two(void)
{
	const size_t bad[] = {0, 3, 6, 24, 100, 4095, 4097, SIZE_MAX};
	for (size_t i = 0; is_ashlar && i < sizeof(bad) / sizeof(bad[0]); i++) {
		errno = 0;
		void *p = api.aligned_alloc(bad[i], 64);
		CHECK_CASE(!p && errno == EINVAL, "aligned_alloc(%zu, 64) gave %p, errno %d", bad[i], p, errno);
	}
}

static void memalign_rounds_an_alignment_up_to_a_power_of_two(void)
{
	const size_t cases[][2] = {{0, 16},  {1, 16},    {3, 16},      {17, 32},     {24, 32},
				   {33, 64}, {100, 128}, {3000, 4096}, {5000, 8192}, {70000, 131072}};
	for (size_t i = 0; is_ashlar && i < sizeof(cases) / sizeof(cases[0]); i++) {
		void *p = api.memalign(cases[i][0], 100);
		CHECK_CASE(p && (uintptr_t)p % cases[i][1] == 0, "memalign(%zu, 100) gave %p", cases[i][0], p);
		api.free(p);
	}
}

static void memory_that_does_not_exist_is_null_with_enomem(void)
{
	const size_t impossible[] = {PTRDIFF_MAX,     (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 8192,
				     SIZE_MAX - 4095, SIZE_MAX - 100,          SIZE_MAX};
	for (size_t i = 0; is_ashlar && i < sizeof(impossible) / sizeof(impossible[0]); i++) {
		size_t size = impossible[i];
		errno = 0;
		CHECK_CASE(!api.aligned_alloc(64, size) && errno == ENOMEM, "aligned_alloc(64, %#zx), errno %d", size,
			   errno);
		errno = 0;
		CHECK_CASE(!api.memalign(4096, size) && errno == ENOMEM, "memalign(4096, %#zx), errno %d", size, errno);
		errno = 0;
		CHECK_CASE(!api.valloc(size) && errno == ENOMEM, "valloc(%#zx), errno %d", size, errno);
		errno = 0;
		CHECK_CASE(!api.pvalloc(size) && errno == ENOMEM, "pvalloc(%#zx), errno %d", size, errno);
	}
}

static void valloc_and_pvalloc_give_whole_pages(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	for (size_t size = 1; size <= (1u << 20); size = size * 2 + 1) {
		unsigned char *p = api.valloc(size), *q = api.pvalloc(size);
		CHECK_CASE(p && (uintptr_t)p % page == 0 && api.malloc_usable_size(p) >= size, "valloc(%zu)", size);
		CHECK_CASE(q && (uintptr_t)q % page == 0, "pvalloc(%zu)", size);
		size_t rounded = (size + page - 1) / page * page;
		CHECK_CASE(api.malloc_usable_size(q) >= rounded, "pvalloc(%zu), usable %zu", size,
			   api.malloc_usable_size(q));
		memset(p, 1, size);
		memset(q, 2, rounded);
		CHECK(bytes_are(p, size, 1) && bytes_are(q, rounded, 2));
		api.free(p);
		api.free(q);
	}
}

static void valloc_and_pvalloc_of_zero_bytes_give_pointers_of_their_own(void)
{
	void *a = api.valloc(0), *b = api.valloc(0), *c = api.pvalloc(0), *d = api.pvalloc(0);
	CHECK(a && b && c && d && a != b && b != c && c != d && a != d);
	api.free(a);
	api.free(b);
	api.free(c);
	api.free(d);
}

static void success_leaves_errno_alone(void)
{
	for (size_t alignment = 8; alignment <= LARGEST; alignment *= 2) {
		errno = 4242;
		void *a = by_posix_memalign(alignment, 100), *b = api.aligned_alloc(alignment, 100),
		     *c = api.memalign(alignment, 100);
		CHECK_CASE(a && b && c && errno == 4242, "alignment %zu, errno %d", alignment, errno);
		api.free(a);
		api.free(b);
		api.free(c);
	}
}

int main(void)
{
	static const struct test tests[] = {
		TEST(every_power_of_two_up_to_a_gibibyte_is_an_alignment),
		TEST(a_request_of_zero_bytes_is_aligned_too),
		TEST(many_aligned_objects_do_not_overlap),
		TEST(sizes_need_not_be_multiples_of_the_alignment),
		TEST(posix_memalign_refuses_what_is_no_alignment_and_changes_nothing),
		TEST(posix_memalign_without_memory_changes_nothing),
		TEST(an_alignment_beyond_the_address_space_gives_no_memory),
		TEST(aligned_alloc_refuses_what_is_no_power_of_two),
		TEST(memalign_rounds_an_alignment_up_to_a_power_of_two),
		TEST(memory_that_does_not_exist_is_null_with_enomem),
		TEST(valloc_and_pvalloc_give_whole_pages),
		TEST(valloc_and_pvalloc_of_zero_bytes_give_pointers_of_their_own),
		TEST(success_leaves_errno_alone),
	};
	entry_load();
	return RUN_TESTS(tests);
}
