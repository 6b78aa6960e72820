/* SPDX-License-Identifier: MIT
 *
 * What Traffic Server's allocator does so that I/O buffers stay out of core
 * files: a thread makes an arena, reads its hooks, puts its own in front of
 * `alloc`, and frees from any thread. If this fails, buffers are dumped again,
 * or memory that should be dumped is missing from the core.
 */
#include "contract.h"

#include <pthread.h>

#define BUFFER ((size_t)32768)
#define MANY 200

/* As there: the table and the saved function are the thread's own, and end with it. */
static __thread struct extent_hooks table;
static __thread void *(*saved_alloc)(struct extent_hooks *, void *, size_t, size_t, bool *, bool *, unsigned);
static __thread int arena_flags;

static void *alloc_without_dump(struct extent_hooks *hooks, void *at, size_t size, size_t alignment, bool *zero,
				bool *commit, unsigned arena)
{
	if (!saved_alloc)
		DIE("alloc is called by a thread that set no hooks");
	void *p = saved_alloc(hooks, at, size, alignment, zero, commit, arena);
	if (p && madvise(p, size, MADV_DONTDUMP) != 0)
		DIE("MADV_DONTDUMP: errno %d", errno);
	return p;
}

static unsigned make_arena(void)
{
	unsigned id = 0;
	size_t length = sizeof(id);
	if (mallctl("arenas.create", &id, &length, NULL, 0) != 0)
		DIE("arenas.create");
	arena_flags = MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE;
	struct extent_hooks *hooks = NULL, *mine = &table;
	length = sizeof(hooks);
	if (mallctl(NAME("arena.%u.extent_hooks", id), &hooks, &length, NULL, 0) != 0)
		DIE("extent_hooks");
	saved_alloc = hooks->alloc;
	table = *hooks;
	table.alloc = alloc_without_dump;
	if (mallctl(NAME("arena.%u.extent_hooks", id), NULL, NULL, &mine, sizeof(mine)) != 0)
		DIE("extent_hooks, set");
	return id;
}

static void *allocate(size_t size, size_t alignment)
{
	void *p = mallocx(size, arena_flags | MALLOCX_ALIGN(alignment));
	if (!p)
		DIE("mallocx");
	return p;
}

/* How many bytes of [p, p + size) the kernel would leave out of a core file. */
static size_t undumped(const char *p, size_t size)
{
	static char line[512];
	FILE *file = fopen("/proc/self/smaps", "r");
	size_t bytes = 0;
	unsigned long from = 0, to = 0;
	if (!file)
		DIE("smaps");
	while (fgets(line, sizeof(line), file)) {
		unsigned long a, b;
		if (sscanf(line, "%lx-%lx ", &a, &b) == 2)
			from = a, to = b;
		if (strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " dd")) {
			uintptr_t low = from > (uintptr_t)p ? from : (uintptr_t)p, high = (uintptr_t)p + size;
			high = to < high ? to : high;
			bytes += high > low ? high - low : 0;
		}
	}
	fclose(file);
	return bytes;
}

static void *left_behind[MANY];
static unsigned their_arena;

static void *work(void *unused)
{
	their_arena = make_arena();
	static __thread char *p[MANY];
	char *ordinary[MANY];
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < MANY; i++) {
			p[i] = allocate(i % 4 ? BUFFER : 2 << 20, i % 2 ? 4096 : 64);
			memset(p[i], i, BUFFER);
			ordinary[i] = memset(malloc(BUFFER), i, BUFFER);
		}
		for (int i = 0; i < MANY; i += 20) {
			size_t size = i % 4 ? BUFFER : 2 << 20;
			CHECK_CASE(undumped(p[i], size) == size, "buffer %d at %p would be dumped", i, (void *)p[i]);
			CHECK_CASE(undumped(ordinary[i], BUFFER) == 0, "ordinary memory at %p would be missing",
				   (void *)ordinary[i]);
		}
		for (int i = 0; i < MANY; i++) {
			CHECK(filled_with(p[i], (unsigned char)i, BUFFER) &&
			      filled_with(ordinary[i], (unsigned char)i, BUFFER));
			free(ordinary[i]);
			if (round < 2)
				dallocx(p[i], MALLOCX_TCACHE_NONE);
			else
				left_behind[i] = p[i];
		}
	}
	return unused;
}

static void in_a_thread(void *(*run)(void *))
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, run, NULL) != 0 || pthread_join(thread, NULL) != 0)
		DIE("pthread_create");
}

static void buffers_stay_out_of_core_files(void)
{
	in_a_thread(work);
}

static void another_thread_frees_after_the_first_has_gone(void)
{
	/* The table of the arena is now a dangling pointer: freeing may not follow it to get memory. */
	for (int i = 0; i < MANY; i++) {
		CHECK_EQUAL(arena_of(left_behind[i]), their_arena);
		dallocx(left_behind[i], MALLOCX_TCACHE_NONE);
	}
}

static void *share(void *unused)
{
	make_arena();
	for (int i = 0; i < 2000; i++) {
		char *p = allocate(BUFFER, 4096);
		p[0] = p[BUFFER - 1] = 1;
		p = __atomic_exchange_n(&left_behind[i % MANY], p, __ATOMIC_ACQ_REL);
		if (p)
			dallocx(p, MALLOCX_TCACHE_NONE);
	}
	return unused;
}

static void buffers_pass_between_threads(void)
{
	pthread_t threads[4];
	memset(left_behind, 0, sizeof(left_behind));
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, share, NULL) != 0)
			DIE("pthread_create");
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static void ordinary_memory_is_never_marked(void)
{
	char *p[MANY];
	for (int i = 0; i < MANY; i++)
		p[i] = memset(malloc((size_t)i * 3000 + 1), 1, (size_t)i * 3000 + 1);
	for (int i = 0; i < MANY; i += 10)
		CHECK_EQUAL(undumped(p[i], (size_t)i * 3000 + 1), 0);
	for (int i = 0; i < MANY; i++)
		free(p[i]);
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	static const struct test tests[] = {
		TEST(buffers_stay_out_of_core_files),  TEST(another_thread_frees_after_the_first_has_gone),
		TEST(ordinary_memory_is_never_marked), TEST(buffers_pass_between_threads),
		TEST(ordinary_memory_is_never_marked),
	};
	return RUN_TESTS(tests);
}
