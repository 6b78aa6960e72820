/* SPDX-License-Identifier: MIT
 *
 * Arenas whose memory comes through the program's own functions. If this fails,
 * Traffic Server's buffers return to core files, memkind's kinds get memory of
 * the wrong kind, and a program that counts its mappings counts wrong.
 */
#include "contract.h"

#include <pthread.h>

#define LARGE ((size_t)1 << 20)

/* Counts of calls, and what the hooks refuse; each hook passes the rest to the default table, naming arena 0. */
static struct extent_hooks *defaults;
static struct {
	unsigned alloc, dalloc, destroy, commit, decommit, decommitted, lazy, forced, split, merge;
} calls;
static struct {
	bool dalloc, decommit, lazy, forced, split, merge;
} refuse;
static struct extent_hooks *expected_table;
static size_t bytes_asked;
static bool wrong_table, wrong_arguments, allocating_hook;
static unsigned expected_arena;
static pthread_t expected_thread;
static bool wrong_thread;

static void look_at(struct extent_hooks *table, void *p, size_t size, unsigned arena)
{
	wrong_table |= table != expected_table;
	wrong_arguments |= (uintptr_t)p % 4096 != 0 || size % 4096 != 0 || size == 0 || arena != expected_arena;
}

static void *hook_alloc(struct extent_hooks *table, void *at, size_t size, size_t alignment, bool *zero, bool *commit,
			unsigned arena)
{
	look_at(table, at, size, arena);
	wrong_arguments |= alignment < 4096 || (alignment & (alignment - 1)) != 0;
	wrong_thread |= !pthread_equal(pthread_self(), expected_thread);
	calls.alloc++;
	bytes_asked += size;
	if (allocating_hook)
		free(malloc(100));
	bool zero_asked = *zero;
	unsigned char *p = defaults->alloc(defaults, at, size, alignment, zero, commit, 0);
	wrong_arguments |= p && (uintptr_t)p % alignment != 0;
	wrong_arguments |= p && at && p != at;
	if (p && zero_asked)
		wrong_arguments |= !*zero || p[0] != 0 || p[size - 1] != 0;
	return p;
}

static bool hook_dalloc(struct extent_hooks *table, void *p, size_t size, bool committed, unsigned arena)
{
	look_at(table, p, size, arena);
	calls.dalloc++;
	return refuse.dalloc || defaults->dalloc(defaults, p, size, committed, 0);
}

static void hook_destroy(struct extent_hooks *table, void *p, size_t size, bool committed, unsigned arena)
{
	look_at(table, p, size, arena);
	calls.destroy++;
	defaults->destroy(defaults, p, size, committed, 0);
}

static void look_at_part(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length, unsigned arena)
{
	look_at(table, p, size, arena);
	wrong_arguments |= offset % 4096 != 0 || length % 4096 != 0 || length == 0 || offset + length > size;
}

static bool hook_commit(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length, unsigned arena)
{
	look_at_part(table, p, size, offset, length, arena);
	bool refused = defaults->commit(defaults, p, size, offset, length, 0);
	calls.commit += !refused;
	return refused;
}

static bool hook_decommit(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length,
			  unsigned arena)
{
	look_at_part(table, p, size, offset, length, arena);
	calls.decommit++;
	bool refused = refuse.decommit || defaults->decommit(defaults, p, size, offset, length, 0);
	calls.decommitted += !refused;
	return refused;
}

static bool hook_lazy(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length, unsigned arena)
{
	look_at_part(table, p, size, offset, length, arena);
	calls.lazy++;
	return refuse.lazy || !defaults->purge_lazy || defaults->purge_lazy(defaults, p, size, offset, length, 0);
}

static bool hook_forced(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length, unsigned arena)
{
	look_at_part(table, p, size, offset, length, arena);
	calls.forced++;
	return refuse.forced || !defaults->purge_forced || defaults->purge_forced(defaults, p, size, offset, length, 0);
}

static bool hook_split(struct extent_hooks *table, void *p, size_t size, size_t a, size_t b, bool committed,
		       unsigned arena)
{
	look_at(table, p, size, arena);
	wrong_arguments |= a == 0 || b == 0 || a + b != size || a % 4096 != 0;
	calls.split++;
	return refuse.split || defaults->split(defaults, p, size, a, b, committed, 0);
}

static bool hook_merge(struct extent_hooks *table, void *a, size_t a_size, void *b, size_t b_size, bool committed,
		       unsigned arena)
{
	look_at(table, a, a_size, arena);
	wrong_arguments |= (char *)a + a_size != (char *)b || b_size == 0;
	calls.merge++;
	return refuse.merge || defaults->merge(defaults, a, a_size, b, b_size, committed, 0);
}

static const struct extent_hooks all_hooks = {hook_alloc, hook_dalloc, hook_destroy, hook_commit, hook_decommit,
					      hook_lazy,  hook_forced, hook_split,   hook_merge};

/* An arena with this table, from its creation or set afterwards. */
static unsigned hooked_arena(struct extent_hooks *table, bool at_creation)
{
	memset(&calls, 0, sizeof(calls));
	memset(&refuse, 0, sizeof(refuse));
	bytes_asked = 0;
	expected_table = table;
	expected_arena = ctl_unsigned("arenas.narenas");
	expected_thread = pthread_self();
	wrong_table = wrong_arguments = wrong_thread = allocating_hook = false;
	unsigned id = arena_create(at_creation ? table : NULL);
	if (id != expected_arena) /* a recycled one: its creation has been called with its own number */
		wrong_arguments = false, expected_arena = id;
	if (!at_creation) {
		struct extent_hooks *old = NULL;
		size_t length = sizeof(old);
		CHECK_EQUAL(mallctl(NAME("arena.%u.extent_hooks", id), &old, &length, &table, sizeof(table)), 0);
		CHECK(old == defaults);
	}
	CHECK(ctl_pointer(NAME("arena.%u.extent_hooks", id)) == table);
	return id;
}

static void check_hooks(void)
{
	CHECK(!wrong_table && !wrong_arguments && !wrong_thread);
}

static void default_hooks_are_nine_functions_or_null(void)
{
	CHECK(defaults && defaults->alloc);
	CHECK(ctl_unsigned("opt.narenas") == 1 || ctl_pointer("arena.1.extent_hooks") == defaults);
	unsigned id = arena_create(NULL);
	CHECK(ctl_pointer(NAME("arena.%u.extent_hooks", id)) == defaults);
	ctl_do(NAME("arena.%u.destroy", id));
}

static void default_hooks_work_with_a_foreign_table_and_index(void)
{
	struct extent_hooks mine = all_hooks;
	bool zero = true, commit = true;
	unsigned char *p = mine.alloc == hook_alloc ? defaults->alloc(&mine, NULL, LARGE, 2 << 20, &zero, &commit, 0)
						    : NULL;
	CHECK(p && (uintptr_t)p % (2 << 20) == 0 && zero && commit);
	CHECK(filled_with(p, 0, LARGE));
	memset(p, 1, LARGE);
	if (defaults->split)
		CHECK(!defaults->split(&mine, p, LARGE, LARGE / 2, LARGE / 2, true, 0));
	if (defaults->purge_forced && !defaults->purge_forced(&mine, p, LARGE, 4096, 8192, 0))
		CHECK(p[0] == 1 && filled_with(p + 4096, 0, 8192) && p[4096 + 8192] == 1);
	if (defaults->purge_lazy)
		defaults->purge_lazy(&mine, p, LARGE, 0, 4096, 0);
	if (defaults->merge)
		CHECK(!defaults->merge(&mine, p, LARGE / 2, p + LARGE / 2, LARGE / 2, true, 0));
	/* Refused or not, nobody else uses the range after this. */
	if (defaults->dalloc && defaults->dalloc(&mine, p, LARGE, true, 0))
		munmap(p, LARGE);
	bool none = false;
	void *same = defaults->alloc(&mine, (void *)&none, LARGE, 4096, &none, &none, 0);
	CHECK(same == NULL || same == (void *)&none);
}

static void use(unsigned id)
{
	int flags = MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE;
	void *p[200];
	for (int i = 0; i < 200; i++) {
		p[i] = mallocx((size_t)(i * i * 7 + 1), flags);
		memset(p[i], i, (size_t)(i * i * 7 + 1));
	}
	for (int i = 0; i < 200; i++) {
		CHECK(filled_with(p[i], (unsigned char)i, (size_t)(i * i * 7 + 1)));
		CHECK_EQUAL(arena_of(p[i]), id);
		dallocx(p[i], MALLOCX_TCACHE_NONE);
	}
}

static void memory_comes_through_the_table(void)
{
	for (int at_creation = 0; at_creation < 2; at_creation++) {
		struct extent_hooks table = all_hooks;
		unsigned id = hooked_arena(&table, at_creation);
		unsigned created = calls.alloc;
		CHECK_CASE(at_creation ? created >= 1 : created == 0, "%u calls for the arena's own memory", created);
		use(id);
		CHECK(calls.alloc > created);
		check_hooks();
		ctl_do(NAME("arena.%u.destroy", id));
		CHECK(calls.destroy + calls.dalloc > 0);
		check_hooks();
	}
}

static void the_table_is_kept_by_address_and_read_at_each_call(void)
{
	struct extent_hooks table = all_hooks, *pointer = &table;
	table.alloc = defaults->alloc;
	unsigned id = hooked_arena(&table, false);
	int flags = MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE;
	void *p = mallocx(3 * LARGE, flags);
	CHECK_EQUAL(calls.alloc, 0);
	table.alloc = hook_alloc; /* no call of ours tells the library */
	void *q = mallocx(64 * LARGE, flags);
	CHECK(calls.alloc > 0);
	dallocx(p, flags);
	dallocx(q, flags);
	check_hooks();
	struct extent_hooks *old = NULL;
	size_t length = sizeof(old);
	CHECK_EQUAL(mallctl(NAME("arena.%u.extent_hooks", id), &old, &length, &defaults, sizeof(defaults)), 0);
	CHECK(old == pointer);
	CHECK(ctl_pointer(NAME("arena.%u.extent_hooks", id)) == defaults);
	ctl_do(NAME("arena.%u.destroy", id));
}

static void metadata_uses_the_hooks_only_if_told(void)
{
	for (int told = 0; told < 2; told++) {
		struct extent_hooks table = all_hooks;
		struct arena_config config = {&table, told};
		memset(&calls, 0, sizeof(calls));
		expected_table = &table;
		wrong_table = wrong_arguments = wrong_thread = false;
		unsigned id = 0;
		size_t length = sizeof(id);
		CHECK_EQUAL(mallctl("experimental.arenas_create_ext", &id, &length, &config, sizeof(config)), 0);
		CHECK_CASE(told ? calls.alloc > 0 : calls.alloc == 0, "told %d: %u calls", told, calls.alloc);
		expected_arena = id, wrong_arguments = false;
		unsigned before = calls.alloc;
		void *p = mallocx(42, MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE);
		CHECK(p && calls.alloc > before);
		CHECK_EQUAL(arena_of(p), id);
		dallocx(p, MALLOCX_TCACHE_NONE);
		check_hooks();
		ctl_do(NAME("arena.%u.destroy", id));
	}
}

static void what_dalloc_refuses_is_decommitted_or_purged(void)
{
	struct extent_hooks table = all_hooks;
	unsigned id = hooked_arena(&table, true);
	int flags = MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE;
	refuse.dalloc = refuse.decommit = true;
	size_t two = nallocx(2 * LARGE, 0), one = nallocx(LARGE, 0);
	ctl_do(NAME("arena.%u.purge", id));
	memset(&calls, 0, sizeof(calls));
	unsigned char *p = mallocx(two, flags);
	CHECK(p && calls.alloc > 0);
	memset(p, 1, two);
	memset(&calls, 0, sizeof(calls));
	CHECK_EQUAL(xallocx(p, one, 0, flags), one);
	ctl_do(NAME("arena.%u.purge", id));
	CHECK(calls.dalloc > 0 && calls.decommit > 0 && calls.lazy + calls.forced > 0);
	CHECK(calls.split > 0);
	dallocx(p, flags);
	check_hooks();
	ctl_do(NAME("arena.%u.destroy", id));
}

static void what_was_decommitted_is_committed_before_it_is_used(void)
{
	struct extent_hooks table = all_hooks;
	unsigned id = hooked_arena(&table, true);
	int flags = MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE;
	refuse.dalloc = true;
	size_t two = nallocx(2 * LARGE, 0), one = nallocx(LARGE, 0);
	unsigned char *p = mallocx(two, flags);
	memset(p, 1, two);
	memset(&calls, 0, sizeof(calls));
	CHECK_EQUAL(xallocx(p, one, 0, flags), one);
	ctl_do(NAME("arena.%u.purge", id));
	CHECK(calls.split > 0);
	CHECK_EQUAL(xallocx(p, two, 0, flags), two);
	CHECK(filled_with(p, 1, one));
	memset(p, 2, two);
	CHECK_EQUAL(calls.commit, calls.decommitted);
	CHECK(calls.merge > 0);
	dallocx(p, flags);
	check_hooks();
	ctl_do(NAME("arena.%u.destroy", id));
}

static void null_members_mean_refused(void)
{
	struct extent_hooks table = {0};
	table.alloc = hook_alloc;
	unsigned id = hooked_arena(&table, false);
	use(id);
	ctl_do(NAME("arena.%u.purge", id));
	use(id);
	check_hooks();
	ctl_do(NAME("arena.%u.reset", id));
	use(id);
	/* Each use needs 20 MB, and nothing can be cut: whole ranges are taken, but none of terabytes. */
	CHECK_CASE(bytes_asked < (size_t)2 << 30, "%zu MiB asked", bytes_asked >> 20);
	ctl_do(NAME("arena.%u.destroy", id));
}

static void everything_refused_still_works(void)
{
	struct extent_hooks table = all_hooks;
	unsigned id = hooked_arena(&table, true);
	memset(&refuse, 1, sizeof(refuse));
	ssize_t at_once = 0;
	ctl_write(NAME("arena.%u.dirty_decay_ms", id), &at_once, sizeof(at_once));
	for (int i = 0; i < 5; i++)
		use(id);
	check_hooks();
	ctl_do(NAME("arena.%u.destroy", id));
}

static void *no_memory(struct extent_hooks *table, void *at, size_t size, size_t alignment, bool *zero, bool *commit,
		       unsigned arena)
{
	calls.alloc++;
	return NULL;
}

static void a_hook_without_memory_makes_malloc_fail(void)
{
	struct extent_hooks table = all_hooks;
	table.alloc = no_memory;
	unsigned id = hooked_arena(&table, false);
	int flags = MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE;
	CHECK(mallocx(64 * LARGE, flags) == NULL);
	CHECK(calls.alloc > 0);
	table.alloc = hook_alloc;
	void *p = mallocx(64 * LARGE, flags);
	CHECK(p != NULL);
	dallocx(p, flags);
	ctl_do(NAME("arena.%u.destroy", id));
	struct extent_hooks none = all_hooks, *pointer = &none;
	none.alloc = no_memory;
	unsigned got = 0, before = ctl_unsigned("arenas.narenas");
	size_t length = sizeof(got);
	CHECK_EQUAL(mallctl("arenas.create", &got, &length, &pointer, sizeof(pointer)), EAGAIN);
	CHECK(ctl_unsigned("arenas.narenas") <= before + 1);
}

static void a_hook_may_allocate(void)
{
	struct extent_hooks table = all_hooks;
	unsigned id = hooked_arena(&table, false);
	allocating_hook = true;
	use(id);
	CHECK(calls.alloc > 0);
	check_hooks();
	ctl_do(NAME("arena.%u.destroy", id));
}

static void *misaligned(struct extent_hooks *table, void *at, size_t size, size_t alignment, bool *zero, bool *commit,
			unsigned arena)
{
	/* As little alignment as allowed: a multiple of what was asked, and of nothing more. */
	if (at)
		return NULL;
	char *p = mmap(NULL, size + 2 * alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	uintptr_t base = ((uintptr_t)p + 2 * alignment - 1) & ~(2 * alignment - 1);
	*zero = *commit = true;
	return (void *)(base + (base == (uintptr_t)p ? alignment : (size_t)-alignment));
}

static void memory_that_is_barely_aligned_serves(void)
{
	struct extent_hooks table = {0};
	table.alloc = misaligned;
	unsigned id = hooked_arena(&table, false);
	use(id);
	int flags = MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE;
	for (int lg = 0; lg < 22; lg++) {
		void *p = mallocx(5000, flags | MALLOCX_LG_ALIGN(lg));
		CHECK_CASE(p && (uintptr_t)p % ((size_t)1 << lg) == 0, "alignment 2^%d: %p", lg, p);
		dallocx(p, flags);
	}
	ctl_do(NAME("arena.%u.destroy", id));
}

static void *dirty_memory(struct extent_hooks *table, void *at, size_t size, size_t alignment, bool *zero, bool *commit,
			  unsigned arena)
{
	bool want = *zero;
	void *p = defaults->alloc(defaults, at, size, alignment, zero, commit, 0);
	if (p && !want) {
		memset(p, 0xd1, size);
		*zero = false;
	}
	return p;
}

static void zero_is_zero_over_dirty_memory(void)
{
	struct extent_hooks table = {0};
	table.alloc = dirty_memory;
	unsigned id = hooked_arena(&table, false);
	int flags = MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE | MALLOCX_ZERO;
	for (size_t size = 1; size < 4 * LARGE; size = size * 2 + 1) {
		unsigned char *p = mallocx(size, flags);
		CHECK_CASE(filled_with(p, 0, sallocx(p, 0)), "%zu bytes", size);
		memset(p, 0xd2, size);
		dallocx(p, flags);
	}
	ctl_do(NAME("arena.%u.destroy", id));
}

static struct range {
	char *p;
	size_t size;
} ranges[256];
static unsigned n_ranges;

static void *record(struct extent_hooks *table, void *at, size_t size, size_t alignment, bool *zero, bool *commit,
		    unsigned arena)
{
	void *p = defaults->alloc(defaults, at, size, alignment, zero, commit, 0);
	if (p && n_ranges < 256)
		ranges[n_ranges++] = (struct range){p, size};
	return p;
}

static void objects_lie_in_what_the_hooks_gave(void)
{
	struct extent_hooks table = {0};
	table.alloc = record;
	n_ranges = 0;
	unsigned id = hooked_arena(&table, false);
	for (size_t size = 1; size < 8 * LARGE; size = size * 3 + 1) {
		char *p = mallocx(size, MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE);
		bool inside = false;
		for (unsigned i = 0; i < n_ranges; i++)
			inside |= p >= ranges[i].p && p + sallocx(p, 0) <= ranges[i].p + ranges[i].size;
		CHECK_CASE(inside, "%zu bytes at %p", size, (void *)p);
	}
	char *other[100];
	for (int i = 0; i < 100; i++) {
		other[i] = malloc((size_t)i * 1000);
		for (unsigned j = 0; j < n_ranges; j++)
			CHECK(other[i] < ranges[j].p || other[i] >= ranges[j].p + ranges[j].size);
	}
	for (int i = 0; i < 100; i++)
		free(other[i]);
	ctl_do(NAME("arena.%u.destroy", id));
}

static void *free_elsewhere(void *p)
{
	dallocx(p, MALLOCX_TCACHE_NONE);
	return NULL;
}

static void another_thread_frees_without_asking_for_memory(void)
{
	struct extent_hooks table = all_hooks;
	unsigned id = hooked_arena(&table, true);
	for (int i = 0; i < 20; i++) {
		void *p = mallocx((size_t)i * 30000 + 1, MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE);
		pthread_t thread;
		if (pthread_create(&thread, NULL, free_elsewhere, p) != 0)
			DIE("pthread_create");
		pthread_join(thread, NULL);
	}
	check_hooks(); /* among them: alloc was never called by another thread */
	ctl_do(NAME("arena.%u.destroy", id));
}

static void an_automatic_arena_takes_hooks(void)
{
	/* As the last test: the process's first arenas keep what they were given. */
	struct extent_hooks table = all_hooks, *pointer = &table, *old = NULL;
	size_t length = sizeof(old);
	memset(&calls, 0, sizeof(calls));
	CHECK_EQUAL(mallctl("arena.0.extent_hooks", &old, &length, &pointer, sizeof(pointer)), 0);
	CHECK(old == defaults);
	CHECK(ctl_pointer("arena.0.extent_hooks") == pointer);
	free(malloc(100));
	CHECK_EQUAL(mallctl("arena.0.extent_hooks", &old, &length, &defaults, sizeof(defaults)), 0);
	CHECK(old == pointer);
	CHECK(ctl_pointer("arena.0.extent_hooks") == defaults);
}

static void errors_of_the_name(void)
{
	struct extent_hooks table = all_hooks, *pointer = &table, *none = NULL;
	CHECK_EQUAL(ctl_error("arena.4096.extent_hooks", 8), EFAULT);
	CHECK_EQUAL(ctl_try_write("arena.0.extent_hooks", &pointer, 4), EINVAL);
	CHECK_EQUAL(ctl_error("arena.4000.extent_hooks", 8), ENOENT);
	CHECK(ctl_pointer("arena.0.extent_hooks") == defaults);
	CHECK(none == NULL);
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	defaults = ctl_pointer("arena.0.extent_hooks");
	static const struct test tests[] = {
		TEST(default_hooks_are_nine_functions_or_null),
		TEST(default_hooks_work_with_a_foreign_table_and_index),
		TEST(errors_of_the_name),
		TEST(memory_comes_through_the_table),
		TEST(the_table_is_kept_by_address_and_read_at_each_call),
		TEST(metadata_uses_the_hooks_only_if_told),
		TEST(what_dalloc_refuses_is_decommitted_or_purged),
		TEST(what_was_decommitted_is_committed_before_it_is_used),
		TEST(null_members_mean_refused),
		TEST(everything_refused_still_works),
		TEST(a_hook_without_memory_makes_malloc_fail),
		TEST(a_hook_may_allocate),
		TEST(memory_that_is_barely_aligned_serves),
		TEST(zero_is_zero_over_dirty_memory),
		TEST(objects_lie_in_what_the_hooks_gave),
		TEST(another_thread_frees_without_asking_for_memory),
		TEST(an_automatic_arena_takes_hooks),
	};
	return RUN_TESTS(tests);
}
