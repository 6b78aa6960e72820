/* SPDX-License-Identifier: MIT
 *
 * If this fails, a correct program is accused of a heap error, or the checks
 * change what it reads from its own memory.
 *
 * right NAME runs one use of the heap that is allowed. It prints nothing.
 */
#include <malloc.h>
#include <sys/wait.h>

#include "bug.h"

void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t alignment, size_t size);
void *_Znwm(size_t size);
void *_ZnamSt11align_val_t(size_t size, size_t alignment);
void _ZdlPvm(void *p, size_t size);
void _ZdaPvmSt11align_val_t(void *p, size_t size, size_t alignment);

#define REQUIRE(what) ((what) ? (void)0 : stop(#what))

static const size_t sizes[] = {0,     1,     7,     8,      9,       15,      16,     17,    24,    63,
			       64,    65,    100,   128,    255,     256,     257,    500,   1000,  1024,
			       1025,  2048,  4095,  4096,   4097,    10000,   16384,  20000, 32767, 32768,
			       32769, 40000, 65536, 100000, 1048576, 1048577, 5000000};
#define NSIZES (sizeof sizes / sizeof sizes[0])

static unsigned char *fill(unsigned char *p, size_t n, unsigned char seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(seed + i);
	return p;
}

static bool holds(const unsigned char *p, size_t n, unsigned char seed)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != (unsigned char)(seed + i))
			return false;
	return true;
}

static void whole_usable_size(void)
{
	for (unsigned round = 0; round < 3; round++) {
		unsigned char *p[NSIZES];

		for (size_t i = 0; i < NSIZES; i++) {
			p[i] = must(malloc(sizes[i]));
			fill(p[i], malloc_usable_size(p[i]), (unsigned char)i);
		}
		for (size_t i = 0; i < NSIZES; i++) {
			REQUIRE(malloc_usable_size(p[i]) >= sizes[i]);
			REQUIRE(holds(p[i], malloc_usable_size(p[i]), (unsigned char)i));
			free(p[i]);
		}
	}
}

/* A program may ask once and write later, also after growing into the slack. */
static void usable_size_then_realloc(void)
{
	for (size_t i = 1; i < NSIZES; i++) {
		unsigned char *p = must(malloc(sizes[i]));
		size_t usable = malloc_usable_size(p);

		fill(p, usable, 3);
		p = must(realloc(p, usable));
		REQUIRE(holds(p, usable, 3));
		p = must(realloc(p, usable + 1));
		REQUIRE(holds(p, usable, 3));
		free(p);
	}
}

static void realloc_every_way(void)
{
	for (size_t i = 0; i < NSIZES; i++)
		for (size_t j = 0; j < NSIZES; j++) {
			unsigned char *p = fill(must(malloc(sizes[i])), sizes[i], 9);
			size_t kept = sizes[i] < sizes[j] ? sizes[i] : sizes[j];

			if (sizes[j] == 0) {
				REQUIRE(realloc(p, 0) == NULL);
				continue;
			}
			p = must(realloc(p, sizes[j]));
			REQUIRE(holds(p, kept, 9));
			fill(p, sizes[j], 77);
			free(p);
		}
}

static void grow_byte_by_byte(void)
{
	unsigned char *p = NULL;

	for (size_t n = 1; n < 5000; n++) {
		p = must(realloc(p, n));
		p[n - 1] = (unsigned char)(n - 1);
	}
	REQUIRE(holds(p, 4999, 0));
	for (size_t n = 4998; n > 0; n--)
		p = must(realloc(p, n));
	free(p);
}

static void aligned_objects(void)
{
	for (size_t alignment = 8; alignment <= 4 << 20; alignment *= 2)
		for (size_t i = 0; i < NSIZES; i++) {
			unsigned char *p = must(memalign(alignment, sizes[i]));
			void *q = NULL;

			REQUIRE((uintptr_t)p % alignment == 0);
			fill(p, malloc_usable_size(p), 5);
			REQUIRE(posix_memalign(&q, alignment, sizes[i]) == 0 && (uintptr_t)q % alignment == 0);
			fill(q, sizes[i], 6);
			p = must(realloc(p, sizes[i] + 100));
			REQUIRE(holds(p, sizes[i], 5));
			free(p);
			free_aligned_sized(q, alignment, sizes[i]);
		}
}

static void zeroed_objects(void)
{
	for (unsigned round = 0; round < 4; round++)
		for (size_t i = 0; i < NSIZES; i++) {
			unsigned char *p = must(calloc(sizes[i], 1));

			for (size_t n = 0; n < sizes[i]; n++)
				REQUIRE(p[n] == 0);
			memset(p, 0xff, sizes[i]);
			free(p);
		}
}

static void zero_sizes(void)
{
	for (unsigned i = 0; i < 500; i++) {
		void *p[] = {malloc(0),        calloc(0, 8),         calloc(8, 0),
			     realloc(NULL, 0), aligned_alloc(64, 0), memalign(4096, 0)};

		for (size_t j = 0; j < sizeof p / sizeof p[0]; j++)
			for (size_t k = 0; k < j; k++)
				REQUIRE(p[j] != NULL && p[j] != p[k]);
		for (size_t j = 0; j < sizeof p / sizeof p[0]; j++)
			free(p[j]);
		free(NULL);
		free_sized(NULL, 100);
	}
}

static void right_sizes(void)
{
	for (size_t i = 0; i < NSIZES; i++) {
		free_sized(must(malloc(sizes[i])), sizes[i]);
		free_sized(must(calloc(1, sizes[i])), sizes[i]);
		free_sized(must(realloc(malloc(3), sizes[i] + 1)), sizes[i] + 1);
		free_aligned_sized(must(aligned_alloc(256, sizes[i])), 256, sizes[i]);
		_ZdlPvm(must(_Znwm(sizes[i])), sizes[i]);
		_ZdaPvmSt11align_val_t(must(_ZnamSt11align_val_t(sizes[i], 128)), sizes[i], 128);
	}
}

static pthread_barrier_t barrier;
static void *handed[4][1000];

static void *hand_over(void *arg)
{
	size_t self = (uintptr_t)arg, other = (self + 1) % 4;

	for (unsigned round = 0; round < 30; round++) {
		for (size_t i = 0; i < 1000; i++)
			handed[self][i] = fill(must(malloc(sizes[i % 26])), sizes[i % 26], (unsigned char)i);
		pthread_barrier_wait(&barrier);
		for (size_t i = 0; i < 1000; i++) {
			REQUIRE(holds(handed[other][i], sizes[i % 26], (unsigned char)i));
			free(handed[other][i]);
		}
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void frees_across_threads(void)
{
	pthread_t thread[4];

	pthread_barrier_init(&barrier, NULL, 4);
	for (uintptr_t i = 0; i < 4; i++)
		REQUIRE(pthread_create(&thread[i], NULL, hand_over, (void *)i) == 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

static void *free_later(void *p)
{
	for (unsigned i = 0; i < 500; i++)
		free(((void **)p)[i]);
	return NULL;
}

/* Threads that end leave their caches and their quarantine behind. */
static void threads_that_end(void)
{
	for (unsigned round = 0; round < 100; round++) {
		void *p[500];
		pthread_t thread;

		for (unsigned i = 0; i < 500; i++)
			p[i] = fill(must(malloc(sizes[(i + round) % 20])), sizes[(i + round) % 20], 1);
		REQUIRE(pthread_create(&thread, NULL, free_later, p) == 0);
		pthread_join(thread, NULL);
	}
}

static void forked_children(void)
{
	void *p[200];

	for (unsigned i = 0; i < 200; i++)
		p[i] = must(malloc(sizes[i % 30]));
	for (unsigned i = 0; i < 100; i += 2)
		free(p[i]);
	pid_t child = fork();
	REQUIRE(child >= 0);
	for (unsigned i = 1; i < 100; i += 2)
		free(p[i]);
	for (unsigned i = 100; i < 200; i++)
		free(p[i]);
	whole_usable_size();
	if (child == 0)
		_exit(0);
	int status = -1;
	REQUIRE(waitpid(child, &status, 0) == child && status == 0);
}

/* Objects come back after their quarantine and are right again. */
static void long_reuse(void)
{
	static unsigned char *p[2000];

	for (unsigned i = 0; i < 200000; i++) {
		unsigned slot = i * 7919u % 2000;
		size_t n = sizes[(i * 31u) % 30];

		free(p[slot]);
		p[slot] = fill(must(malloc(n)), n, (unsigned char)i);
	}
	for (unsigned i = 0; i < 2000; i++)
		free(p[i]);
}

/* Large objects next to each other, written to their last byte, grown in place. */
static void large_neighbours(void)
{
	unsigned char *p[40];

	for (unsigned round = 0; round < 20; round++) {
		for (size_t i = 0; i < 40; i++)
			p[i] = fill(must(malloc(40000 + 4096 * i)), 40000 + 4096 * i, (unsigned char)i);
		for (size_t i = 0; i < 40; i += 2)
			free(p[i]);
		for (size_t i = 1; i < 40; i += 2) {
			p[i] = must(realloc(p[i], 300000));
			REQUIRE(holds(p[i], 40000 + 4096 * i, (unsigned char)i));
			memset(p[i], 0x77, malloc_usable_size(p[i]));
		}
		for (size_t i = 1; i < 40; i += 2)
			free(p[i]);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} uses[] = {
	{"whole_usable_size", whole_usable_size},
	{"usable_size_then_realloc", usable_size_then_realloc},
	{"realloc_every_way", realloc_every_way},
	{"grow_byte_by_byte", grow_byte_by_byte},
	{"aligned_objects", aligned_objects},
	{"zeroed_objects", zeroed_objects},
	{"zero_sizes", zero_sizes},
	{"right_sizes", right_sizes},
	{"frees_across_threads", frees_across_threads},
	{"threads_that_end", threads_that_end},
	{"forked_children", forked_children},
	{"long_reuse", long_reuse},
	{"large_neighbours", large_neighbours},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++)
		if (strcmp(uses[i].name, argv[argc - 1]) == 0) {
			uses[i].run();
			return 0;
		}
	stop("unknown use");
}
