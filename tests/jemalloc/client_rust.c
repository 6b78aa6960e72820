/* SPDX-License-Identifier: MIT
 *
 * What the Rust crates do: tikv-jemallocator's calls for a layout, and every key
 * of tikv-jemalloc-ctl with the length of its mib and the size of its value. If
 * this fails, a Rust program aborts in an assertion of its own crate, or frees
 * memory by a size that the library disputes.
 */
#include "contract.h"

static const struct {
	const char *name;
	size_t depth, size;
} keys[] = {
	{"version", 1, 8},
	{"epoch", 1, 8},
	{"background_thread", 1, 1},
	{"max_background_threads", 1, 8},
	{"arenas.narenas", 2, 4},
	{"config.malloc_conf", 2, 8},
	{"opt.abort", 2, 1},
	{"opt.background_thread", 2, 1},
	{"opt.dss", 2, 8},
	{"opt.junk", 2, 8},
	{"opt.lg_prof_interval", 2, 8},
	{"opt.lg_prof_sample", 2, 8},
	{"opt.narenas", 2, 4},
	{"opt.prof", 2, 1},
	{"opt.prof_final", 2, 1},
	{"opt.prof_leak", 2, 1},
	{"opt.tcache", 2, 1},
	{"opt.tcache_max", 2, 8},
	{"opt.zero", 2, 1},
	{"stats.active", 2, 8},
	{"stats.allocated", 2, 8},
	{"stats.mapped", 2, 8},
	{"stats.metadata", 2, 8},
	{"stats.resident", 2, 8},
	{"stats.retained", 2, 8},
	{"thread.allocatedp", 2, 8},
	{"thread.deallocatedp", 2, 8},
	{"thread.tcache.enabled", 3, 1},
	{"arenas.nbins", 2, 4},
	{"arenas.bin.0.size", 4, 8},
	{"arenas.bin.0.nregs", 4, 4},
	{"arenas.lextent.0.size", 4, 8},
	{"arenas.dirty_decay_ms", 2, 8},
	{"arena.0.dss", 3, 8},
};

static void every_key_has_its_depth_and_size(void)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t mib[8], depth = keys[i].depth, length = keys[i].size, deepest = 8;
		uint64_t value = 0;
		if (strstr(keys[i].name, "prof") &&
		    !ctl_bool("config.prof")) { /* read only with the crate's feature `profiling` */
			CHECK_EQUAL(mallctl(keys[i].name, &value, &length, NULL, 0), ENOENT);
			continue;
		}
		CHECK_EQUAL(mallctlnametomib(keys[i].name, mib, &deepest), 0);
		CHECK_CASE(deepest == depth, "%s: depth %zu", keys[i].name, deepest);
		CHECK_EQUAL(mallctlnametomib(keys[i].name, mib, &depth), 0);
		CHECK_CASE(mallctlbymib(mib, depth, &value, &length, NULL, 0) == 0 && length == keys[i].size,
			   "%s: %zu bytes", keys[i].name, length);
	}
}

static void an_epoch_is_advanced_by_its_mib(void)
{
	size_t mib[1], depth = 1, length = 8;
	CHECK_EQUAL(mallctlnametomib("epoch", mib, &depth), 0);
	uint64_t old = 0, new = 1;
	CHECK_EQUAL(mallctlbymib(mib, 1, &old, &length, NULL, 0), 0);
	CHECK_EQUAL(mallctlbymib(mib, 1, NULL, NULL, &new, 8), 0);
	CHECK_EQUAL(mallctlbymib(mib, 1, &new, &length, NULL, 0), 0);
	CHECK_EQUAL(new, old + 1);
	bool on = true, was = true;
	length = 1;
	CHECK_EQUAL(mallctlnametomib("background_thread", mib, &depth), 0);
	CHECK_EQUAL(mallctlbymib(mib, 1, &was, &length, &on, 1), 0);
	CHECK(!was);
	CHECK_EQUAL(mallctlbymib(mib, 1, &on, &length, &was, 1), 0);
	CHECK(on);
}

/* The flags of a layout: none where the alignment comes by itself. */
static int layout(size_t size, size_t alignment)
{
	return alignment <= 16 && alignment <= size ? 0 : MALLOCX_LG_ALIGN(__builtin_ctzl(alignment));
}

static void *rust_alloc(size_t size, size_t alignment)
{
	int flags = layout(size, alignment);
	return flags == 0 ? malloc(size) : mallocx(size, flags);
}

static void *rust_alloc_zeroed(size_t size, size_t alignment)
{
	int flags = layout(size, alignment);
	return flags == 0 ? calloc(1, size) : mallocx(size, flags | MALLOCX_ZERO);
}

static void *rust_realloc(void *p, size_t size, size_t alignment)
{
	int flags = layout(size, alignment);
	return flags == 0 ? realloc(p, size) : rallocx(p, size, flags);
}

static void layouts_come_and_go(void)
{
	for (size_t alignment = 1; alignment <= 65536; alignment *= 2)
		for (size_t size = 1; size < 300000; size = size * 2 + 1) {
			unsigned char *p = rust_alloc(size, alignment), *q = rust_alloc_zeroed(size, alignment);
			CHECK_CASE(((uintptr_t)p | (uintptr_t)q) % alignment == 0, "size %zu, alignment %zu: %p %p",
				   size, alignment, (void *)p, (void *)q);
			CHECK(filled_with(q, 0, size));
			memset(p, 0x3e, size);
			p = rust_realloc(p, size * 2, alignment);
			CHECK_CASE((uintptr_t)p % alignment == 0, "size %zu, alignment %zu: %p", size * 2, alignment,
				   (void *)p);
			CHECK(filled_with(p, 0x3e, size));
			sdallocx(p, size * 2, layout(size * 2, alignment));
			sdallocx(q, size, layout(size, alignment));
		}
}

static void usable_size_and_growth_in_place(void)
{
	for (size_t size = 1; size < 300000; size = size * 2 + 1) {
		void *p = malloc(size);
		CHECK_EQUAL(nallocx(size, 0), malloc_usable_size(p));
		CHECK(xallocx(p, size + 1, 0, 0) >= size);
		sdallocx(p, malloc_usable_size(p), 0);
	}
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	static const struct test tests[] = {
		TEST(every_key_has_its_depth_and_size),
		TEST(an_epoch_is_advanced_by_its_mib),
		TEST(layouts_come_and_go),
		TEST(usable_size_and_growth_in_place),
	};
	return RUN_TESTS(tests);
}
