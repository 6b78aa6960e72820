/* SPDX-License-Identifier: MIT
 *
 * What memkind does to serve kinds of memory: a row of arenas for each kind with
 * hooks that map, bump or refuse, one tcache for each thread and kind, and ids
 * that it computes instead of keeping. If this fails, memory of one kind is
 * found in another, or a kind made later gets arenas that it does not own.
 */
#define _GNU_SOURCE
#include "contract.h"

#include <pthread.h>

#define ARENAS 8
#define GRANULE ((size_t)2 << 20)

struct kind {
	unsigned first, tcache;
	char *base, *next, *end; /* a fixed area, or nothing */
	size_t mapped;
};

static struct kind *kinds[4097];

static void *map_aligned(void *at, size_t size, size_t alignment)
{
	char *p = mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (at && p != at) {
		munmap(p, size);
		return NULL;
	}
	if ((uintptr_t)p % alignment == 0)
		return p;
	munmap(p, size);
	p = mmap(NULL, size + alignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	char *aligned = (char *)(((uintptr_t)p + alignment - 1) & ~(alignment - 1));
	if (aligned > p)
		munmap(p, (size_t)(aligned - p));
	munmap(aligned + size, (size_t)(p + alignment - aligned));
	return aligned;
}

static void *kind_alloc(struct extent_hooks *table, void *at, size_t size, size_t alignment, bool *zero, bool *commit,
			unsigned arena)
{
	struct kind *kind = kinds[arena];
	if (!kind)
		DIE("memory for arena %u, which is no kind's", arena);
	void *p = map_aligned(at, size, alignment);
	if (p) {
		__atomic_fetch_add(&kind->mapped, size, __ATOMIC_RELAXED);
		*zero = *commit = true;
	}
	return p;
}

static bool kind_dalloc(struct extent_hooks *table, void *p, size_t size, bool committed, unsigned arena)
{
	return true; /* never unmapped */
}

static bool kind_commit(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length, unsigned arena)
{
	return false;
}

static bool kind_decommit(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length,
			  unsigned arena)
{
	return true;
}

static bool kind_purge(struct extent_hooks *table, void *p, size_t size, size_t offset, size_t length, unsigned arena)
{
	return madvise((char *)p + offset, length, MADV_DONTNEED) != 0;
}

static bool kind_split(struct extent_hooks *table, void *p, size_t size, size_t a, size_t b, bool committed,
		       unsigned arena)
{
	return false;
}

static bool kind_merge(struct extent_hooks *table, void *a, size_t a_size, void *b, size_t b_size, bool committed,
		       unsigned arena)
{
	return false;
}

static struct extent_hooks kind_hooks = {kind_alloc, kind_dalloc, NULL,       kind_commit, kind_decommit,
					 kind_purge, NULL,        kind_split, kind_merge};

/* A fixed area: a piece off its end for each call, nothing at a wanted place, nothing back. */
static void *fixed_alloc(struct extent_hooks *table, void *at, size_t size, size_t alignment, bool *zero, bool *commit,
			 unsigned arena)
{
	struct kind *kind = kinds[arena];
	if (at || !kind)
		return NULL;
	char *p = (char *)(((uintptr_t)kind->next + alignment - 1) & ~(alignment - 1));
	if (size > (size_t)(kind->end - p) || p > kind->end)
		return NULL;
	kind->next = p + size;
	*zero = *commit = true;
	return p;
}

static struct extent_hooks fixed_hooks = {fixed_alloc, kind_dalloc, NULL,       kind_commit, kind_decommit,
					  kind_purge,  NULL,        kind_split, kind_merge};

/* A file in memory: pieces are mapped off its end, and holes punched into it. */
static int file = -1;
static off_t file_end;

static void *file_alloc(struct extent_hooks *table, void *at, size_t size, size_t alignment, bool *zero, bool *commit,
			unsigned arena)
{
	if (at || alignment > GRANULE)
		return NULL;
	off_t offset = (file_end + (off_t)GRANULE - 1) & ~((off_t)GRANULE - 1);
	if (ftruncate(file, offset + (off_t)size) != 0)
		return NULL;
	char *p = mmap(NULL, size + GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	char *aligned = (char *)(((uintptr_t)p + GRANULE - 1) & ~(GRANULE - 1));
	if (mmap(aligned, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, offset) == MAP_FAILED)
		return NULL;
	file_end = offset + (off_t)size;
	*zero = *commit = true;
	return aligned;
}

static bool file_dalloc(struct extent_hooks *table, void *p, size_t size, bool committed, unsigned arena)
{
	return madvise(p, size, MADV_REMOVE) != 0 || munmap(p, size) != 0;
}

static void file_destroy(struct extent_hooks *table, void *p, size_t size, bool committed, unsigned arena)
{
	if (munmap(p, size) != 0)
		DIE("munmap: errno %d", errno);
}

static struct extent_hooks file_hooks = {file_alloc, file_dalloc, file_destroy, kind_commit, kind_decommit,
					 kind_purge, NULL,        kind_split,   kind_merge};

static void create_kind(struct kind *kind, struct extent_hooks *hooks)
{
	memset(kind, 0, sizeof(*kind));
	for (unsigned i = 0; i < ARENAS; i++) {
		unsigned id = arena_create(NULL);
		if (i == 0)
			kind->first = id;
		ctl_write(NAME("arena.%u.extent_hooks", id), &hooks, sizeof(hooks));
		kinds[id] = kind;
	}
	kind->tcache = ctl_unsigned("tcache.create");
}

/* The ids of a new kind are computed: first, first + 1, ... They are in sequence unless others were recycled. */
static void check_contiguous(struct kind *kind)
{
	for (unsigned i = 0; i < ARENAS; i++)
		CHECK_CASE(kinds[kind->first + i] == kind, "arena %u is not the kind's", kind->first + i);
	CHECK(kind->first + ARENAS < 0xffe);
}

static void destroy_kind(struct kind *kind)
{
	ctl_write("tcache.destroy", &kind->tcache, sizeof(kind->tcache));
	/* From the last to the first, so that a new kind gets them from the first to the last. */
	for (unsigned i = ARENAS; i-- > 0;) {
		ctl_do(NAME("arena.%u.destroy", kind->first + i));
		kinds[kind->first + i] = NULL;
	}
}

static void *kind_malloc(struct kind *kind, unsigned i, size_t size)
{
	return mallocx(size, MALLOCX_ARENA(kind->first + i % ARENAS) | MALLOCX_TCACHE(kind->tcache));
}

static void use_kind(struct kind *kind)
{
	static unsigned char *p[2000];
	for (unsigned i = 0; i < 2000; i++) {
		size_t size = (size_t)(i % 97) * 61 + 1;
		p[i] = kind_malloc(kind, i, size);
		if (!p[i])
			DIE("no memory of this kind");
		memset(p[i], (int)i, size);
	}
	for (unsigned i = 0; i < 2000; i++) {
		size_t size = (size_t)(i % 97) * 61 + 1;
		unsigned arena = arena_of(p[i]);
		CHECK_CASE(arena >= kind->first && arena < kind->first + ARENAS, "arena %u is not of kind %u", arena,
			   kind->first);
		CHECK(filled_with(p[i], (unsigned char)i, size));
		if (i % 3 == 0)
			p[i] = rallocx(p[i], size * 2,
				       MALLOCX_ARENA(kind->first + i % ARENAS) | MALLOCX_TCACHE(kind->tcache));
		CHECK(p[i] && filled_with(p[i], (unsigned char)i, size));
	}
	for (unsigned i = 0; i < 2000; i++)
		dallocx(p[i], MALLOCX_TCACHE(kind->tcache));
	void *large = mallocx(5 << 20, MALLOCX_ARENA(kind->first) | MALLOCX_TCACHE_NONE);
	CHECK(large && arena_of(large) == kind->first);
	dallocx(large, MALLOCX_TCACHE_NONE);
}

static void kinds_keep_apart(void)
{
	static struct kind a, b;
	create_kind(&a, &kind_hooks);
	create_kind(&b, &kind_hooks);
	check_contiguous(&a);
	check_contiguous(&b);
	use_kind(&a);
	use_kind(&b);
	CHECK(a.mapped > 0 && b.mapped > 0);
	destroy_kind(&b);
	use_kind(&a);
	destroy_kind(&a);
}

static void a_later_kind_gets_the_same_ids(void)
{
	static struct kind kind;
	create_kind(&kind, &kind_hooks);
	unsigned first = kind.first;
	use_kind(&kind);
	destroy_kind(&kind);
	create_kind(&kind, &kind_hooks);
	CHECK_EQUAL(kind.first, first);
	check_contiguous(&kind);
	use_kind(&kind);
	destroy_kind(&kind);
}

static void ids_come_back_last_destroyed_first(void)
{
	unsigned id[4];
	for (int i = 0; i < 4; i++)
		id[i] = arena_create(NULL);
	for (int i = 0; i < 4; i++)
		ctl_do(NAME("arena.%u.destroy", id[i]));
	for (int i = 3; i >= 0; i--)
		CHECK_EQUAL(arena_create(NULL), id[i]);
	for (int i = 3; i >= 0; i--)
		ctl_do(NAME("arena.%u.destroy", id[i]));
}

static void a_fixed_area_is_used_and_never_left(void)
{
	static struct kind kind;
	size_t size = 32 * GRANULE;
	char *area = map_aligned(NULL, size, GRANULE);
	memset(&kind, 0, sizeof(kind));
	kind.base = kind.next = area, kind.end = area + size;
	unsigned id = arena_create(NULL);
	kinds[id] = &kind;
	struct extent_hooks *hooks = &fixed_hooks;
	ctl_write(NAME("arena.%u.extent_hooks", id), &hooks, sizeof(hooks));
	unsigned got = 0;
	static char *p[4000];
	for (int round = 0; round < 3; round++) {
		for (got = 0; got < 4000; got++) {
			p[got] = mallocx(20000, MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE);
			if (!p[got])
				break;
			CHECK(p[got] >= area && p[got] + 20000 <= area + size);
			memset(p[got], (int)got, 20000);
		}
		CHECK_CASE(got > 600 && got < 4000, "round %d: %u objects", round, got);
		for (unsigned i = 0; i < got; i++) {
			CHECK(filled_with(p[i], (unsigned char)i, 20000));
			dallocx(p[i], MALLOCX_TCACHE_NONE);
		}
	}
	ctl_do(NAME("arena.%u.destroy", id));
	kinds[id] = NULL;
	memset(area, 0, size); /* still there, and ours */
	munmap(area, size);
}

static void a_file_serves_and_is_given_back(void)
{
	file = memfd_create("kind", 0);
	CHECK(file >= 0);
	unsigned id = arena_create(NULL);
	struct extent_hooks *hooks = &file_hooks;
	ctl_write(NAME("arena.%u.extent_hooks", id), &hooks, sizeof(hooks));
	ssize_t at_once = 0;
	ctl_write(NAME("arena.%u.dirty_decay_ms", id), &at_once, sizeof(at_once));
	char *p[50];
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 50; i++) {
			p[i] = mallocx((size_t)i * 20000 + 1, MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE);
			memset(p[i], i, (size_t)i * 20000 + 1);
		}
		for (int i = 0; i < 50; i++) {
			CHECK(filled_with(p[i], (unsigned char)i, (size_t)i * 20000 + 1));
			dallocx(p[i], MALLOCX_TCACHE_NONE);
		}
	}
	CHECK(file_end > 0);
	ctl_do(NAME("arena.%u.destroy", id));
	close(file);
}

static void creation_takes_its_metadata_from_the_kind_or_not(void)
{
	static struct kind kind;
	unsigned next = arena_create(NULL), id = 0;
	ctl_do(NAME("arena.%u.destroy", next));
	kinds[next] = &kind;
	for (int use = 0; use < 2; use++) {
		memset(&kind, 0, sizeof(kind));
		struct arena_config config = {&kind_hooks, use};
		size_t length = sizeof(id);
		CHECK_EQUAL(mallctl("experimental.arenas_create_ext", &id, &length, &config, sizeof(config)), 0);
		CHECK_EQUAL(id, next);
		CHECK_CASE((kind.mapped > 0) == use, "%zu bytes mapped", kind.mapped);
		CHECK_EQUAL(kind.mapped % GRANULE, 0);
		dallocx(mallocx(100, MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE), MALLOCX_TCACHE_NONE);
		CHECK(kind.mapped > 0);
		ctl_do(NAME("arena.%u.destroy", id));
	}
	kinds[next] = NULL;
}

static void statistics_of_a_kind_are_summed_over_its_arenas(void)
{
	static struct kind kind;
	create_kind(&kind, &kind_hooks);
	static void *p[800];
	for (unsigned i = 0; i < 800; i++)
		p[i] = mallocx(10000, MALLOCX_ARENA(kind.first + i % ARENAS) | MALLOCX_TCACHE_NONE);
	refresh();
	size_t allocated = 0, active = 0, resident = 0;
	for (unsigned i = kind.first; i < kind.first + ARENAS; i++) {
		CHECK(ctl_bool(NAME("arena.%u.initialized", i)));
		allocated += ctl_size(NAME("stats.arenas.%u.small.allocated", i)) +
			     ctl_size(NAME("stats.arenas.%u.large.allocated", i));
		active += ctl_size(NAME("stats.arenas.%u.pactive", i)) * 4096;
		resident += ctl_size(NAME("stats.arenas.%u.resident", i));
	}
	CHECK_EQUAL(allocated, 800 * nallocx(10000, 0));
	CHECK(allocated <= active && active <= resident);
	for (unsigned i = 0; i < 800; i++)
		dallocx(p[i], MALLOCX_TCACHE_NONE);
	ssize_t never = -1;
	ctl_write(NAME("arena.%u.dirty_decay_ms", kind.first), &never, sizeof(never));
	CHECK_EQUAL(ctl_ssize(NAME("arena.%u.dirty_decay_ms", kind.first)), -1);
	destroy_kind(&kind);
	bool on = true, off = false;
	ctl_write("background_thread", &on, sizeof(on));
	CHECK(ctl_size("max_background_threads") >= 1);
	ctl_write("background_thread", &off, sizeof(off));
}

static struct kind shared_kind;

static void *thread_of_a_kind(void *unused)
{
	unsigned tcache = ctl_unsigned("tcache.create");
	for (unsigned i = 0; i < 5000; i++) {
		unsigned arena = shared_kind.first + i % ARENAS;
		void *p = mallocx(i % 3000 + 1, MALLOCX_ARENA(arena) | MALLOCX_TCACHE(tcache));
		if (!p)
			DIE("mallocx");
		memset(p, 1, i % 3000 + 1);
		dallocx(p, i % 2 ? MALLOCX_TCACHE(tcache) : MALLOCX_TCACHE_NONE);
	}
	ctl_write("tcache.destroy", &tcache, sizeof(tcache));
	return unused;
}

static void threads_share_the_arenas_of_a_kind(void)
{
	create_kind(&shared_kind, &kind_hooks);
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, thread_of_a_kind, NULL) != 0)
			DIE("pthread_create");
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	destroy_kind(&shared_kind);
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	static const struct test tests[] = {
		TEST(kinds_keep_apart),
		TEST(a_later_kind_gets_the_same_ids),
		TEST(ids_come_back_last_destroyed_first),
		TEST(a_fixed_area_is_used_and_never_left),
		TEST(a_file_serves_and_is_given_back),
		TEST(creation_takes_its_metadata_from_the_kind_or_not),
		TEST(statistics_of_a_kind_are_summed_over_its_arenas),
		TEST(threads_share_the_arenas_of_a_kind),
	};
	return RUN_TESTS(tests);
}
