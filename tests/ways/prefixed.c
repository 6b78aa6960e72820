/* SPDX-License-Identifier: MIT
 *
 * Three heaps in one program: malloc's, and those of the archives with the
 * prefixes _rjem_ and jemk_. Each reads its own variable and knows its own
 * objects only. If this fails, a Rust program with C libraries in it, or memkind
 * beside a preloaded ashlar, mixes heaps up.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAP(prefix) \
	void *prefix##malloc(size_t size); \
	void *prefix##realloc(void *p, size_t size); \
	void prefix##free(void *p); \
	void *prefix##mallocx(size_t size, int flags); \
	void prefix##dallocx(void *p, int flags); \
	int prefix##mallctl(const char *name, void *old, size_t *old_len, void *value, size_t len); \
	extern const char *prefix##malloc_conf; \
	extern void (*prefix##malloc_message)(void *, const char *);
HEAP()
HEAP(_rjem_)
HEAP(jemk_)
int jemk_arenalookupx(const void *p);
int jemk_check_reallocatex(const void *p);

struct heap {
	const char *name;
	void *(*allocate)(size_t);
	void *(*resize)(void *, size_t);
	void (*release)(void *);
	int (*ctl)(const char *, void *, size_t *, void *, size_t);
	ssize_t decay;
};
#define FUNCTIONS(prefix) prefix##malloc, prefix##realloc, prefix##free, prefix##mallctl
static const struct heap heaps[] = {{"", FUNCTIONS(), 33},
				    {"_rjem_", FUNCTIONS(_rjem_), 11},
				    {"jemk_", FUNCTIONS(jemk_), 22}};
#define HEAPS 3
/* As Rust crates define it: it wins over nothing else here. */
const char *_rjem_malloc_conf = "narenas:2";

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "prefixed.c:%d: %s\n", __LINE__, #condition); \
			_exit(1); \
		} \
	} while (0)

static size_t read_size(const struct heap *heap, const char *name)
{
	size_t value = 0, size = sizeof(value);
	uint64_t epoch = 1;

	CHECK(heap->ctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) == 0);
	CHECK(heap->ctl(name, &value, &size, NULL, 0) == 0);
	return value;
}

static void each_reads_its_own_variable(void)
{
	unsigned narenas;
	size_t size = sizeof(narenas);

	for (unsigned i = 0; i < HEAPS; i++)
		CHECK((ssize_t)read_size(&heaps[i], "opt.dirty_decay_ms") == heaps[i].decay);
	CHECK(_rjem_mallctl("opt.narenas", &narenas, &size, NULL, 0) == 0 && narenas == 2);
}

static void *work(void *unused)
{
	void *objects[HEAPS][500];

	for (unsigned i = 0; i < HEAPS * 500; i++) {
		const struct heap *heap = &heaps[i % HEAPS];
		size_t n = i * 37 % 70000 + 1;
		char *p = heap->resize(heap->allocate(n), n + 100);

		CHECK(p);
		memset(p, (int)i, n + 100);
		objects[i % HEAPS][i / HEAPS] = p;
	}
	for (unsigned i = 0; i < HEAPS * 500; i++) {
		unsigned char *p = objects[i % HEAPS][i / HEAPS];

		CHECK(*p == (unsigned char)i);
		heaps[i % HEAPS].release(p);
	}
	return unused;
}

static void all_serve_threads_and_children(void)
{
	pthread_t threads[4];
	int status;
	pid_t child;

	for (unsigned i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
	child = fork();
	if (child == 0) {
		work(NULL);
		_exit(0);
	}
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void each_counts_its_own_objects(void)
{
	size_t before[HEAPS];
	void *p[HEAPS];

	for (unsigned i = 0; i < HEAPS; i++)
		before[i] = read_size(&heaps[i], "stats.allocated");
	for (unsigned i = 0; i < HEAPS; i++)
		p[i] = heaps[i].allocate(1000000 * (i + 1));
	for (unsigned i = 0; i < HEAPS; i++) {
		size_t more = read_size(&heaps[i], "stats.allocated") - before[i];

		CHECK(more >= 1000000 * (i + 1) && more < 1000000 * (i + 1) + 100000);
		heaps[i].release(p[i]);
	}
}

static void memkind_finds_the_arena(void)
{
	unsigned arena;
	size_t size = sizeof(arena);
	void *p, *foreign = _rjem_malloc(100);

	CHECK(jemk_mallctl("arenas.create", &arena, &size, NULL, 0) == 0);
	p = jemk_mallocx(100, (int)((arena + 1) << 20) | 0x100);
	CHECK(jemk_arenalookupx(p) == (int)arena);
	CHECK(jemk_arenalookupx(foreign) == -1);
	jemk_dallocx(p, 0x100);
	_rjem_free(foreign);
}

/* Of many slabs, most objects go: what is left in a sparse one is worth a copy, what is in a full one is not. */
static void memkind_learns_what_is_worth_a_copy(void)
{
	enum { N = 4000, SPARSE = N / 2 };
	static void *p[N];
	unsigned worth = 0;

	for (unsigned i = 0; i < N; i++)
		p[i] = jemk_malloc(1024);
	for (unsigned i = 0; i < SPARSE; i++) {
		if (i % 16 != 7)
			jemk_free(p[i]);
	}
	CHECK(jemk_mallctl("thread.tcache.flush", NULL, NULL, NULL, 0) == 0);
	for (unsigned i = 7; i < SPARSE; i += 16)
		worth += jemk_check_reallocatex(p[i]) == 0;
	CHECK(worth > SPARSE / 16 / 2);
	for (unsigned i = SPARSE + 100; i < N - 100; i++)
		CHECK(jemk_check_reallocatex(p[i]) == 1);
	CHECK(jemk_check_reallocatex(NULL) == 1);
}

static size_t told;

static void tell(void *opaque, const char *text)
{
	told += strlen(text);
}

/* Its own, since the names are. */
static void each_has_its_own_malloc_message(void)
{
	_rjem_malloc_message = tell;
	CHECK(malloc_message == NULL && jemk_malloc_message == NULL && malloc_conf == NULL);
}

int main(void)
{
	each_reads_its_own_variable();
	all_serve_threads_and_children();
	each_counts_its_own_objects();
	memkind_finds_the_arena();
	memkind_learns_what_is_worth_a_copy();
	each_has_its_own_malloc_message();
	return 0;
}
