/* SPDX-License-Identifier: MIT
 *
 * If this fails, the allocator does not work in the surroundings that the test
 * made for it: a limit, a refused system call, a foreign tool, another preload.
 *
 * work [ROUNDS]: four threads use objects of all sizes, hand some to each other,
 * grow and shrink others, keep errno over free, then the heap shrinks to nothing
 * and grows again. Prints "done" at the end. With 0 rounds the threads go on
 * until SIGTERM.
 */
#include <signal.h>

#include "check.h"

#define THREADS 4
#define SLOTS 300

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	void *p;
	size_t n;
} shared[SLOTS];
static unsigned rounds = 3000;
static volatile sig_atomic_t told_to_end;

static void end(int sig)
{
	told_to_end = sig;
}

static void exchange(unsigned slot, void **p, size_t *n)
{
	pthread_mutex_lock(&lock);
	void *other = shared[slot].p;
	size_t other_n = shared[slot].n;
	shared[slot].p = *p;
	shared[slot].n = *n;
	pthread_mutex_unlock(&lock);
	*p = other;
	*n = other_n;
}

static void *grow(void *p, size_t n, size_t to)
{
	unsigned char first = n > 0 ? *(unsigned char *)p : 0;

	check_mark(p, n);
	p = must(realloc(p, to));
	CHECK(n == 0 || *(unsigned char *)p == first);
	return mark(p, to);
}

static void check_zeroed(size_t n)
{
	unsigned char *p = must(calloc(n, 1));

	for (size_t i = 0; i < n; i++)
		CHECK(p[i] == 0);
	memset(p, 0xff, n);
	errno = 4711;
	free(p);
	CHECK(errno == 4711);
}

static void check_aligned(size_t alignment, size_t n)
{
	void *p = NULL;

	CHECK(posix_memalign(&p, alignment, n) == 0 && (uintptr_t)p % alignment == 0);
	memset(p, 0x77, n);
	free(p);
}

static void *worker(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg * 2654435761u;

	for (unsigned i = 0; rounds == 0 ? !told_to_end : i < rounds; i++) {
		seed = seed * 1664525u + 1013904223u;
		size_t n = every_size[(seed >> 8) % (i % 64 == 0 ? EVERY_SIZE : EVERY_SIZE - 8)];
		void *p = take(n);

		if (seed >> 28 == 0) {
			p = grow(p, n, n * 3 + 1);
			n = n * 3 + 1;
		}
		exchange((seed >> 12) % SLOTS, &p, &n);
		if (p != NULL)
			drop(p, n);
		if (i % 50 == 0)
			check_zeroed(1 + (seed >> 14) % 60000);
		if (i % 70 == 0)
			check_aligned((size_t)8 << (seed >> 20) % 15, 1 + (seed >> 10) % 9000);
	}
	return NULL;
}

static void grow_and_shrink_whole_heap(void)
{
	enum { N = 64 };
	void *p[N];

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < N; i++)
			p[i] = take((size_t)256 << 10);
		for (unsigned i = 0; i < N; i++)
			drop(p[i], (size_t)256 << 10);
		check_zeroed(8 << 20);
		usleep(1000);
	}
}

int main(int argc, char **argv)
{
	pthread_t thread[THREADS];

	watchdog(100);
	CHECK(signal(SIGTERM, end) != SIG_ERR);
	if (argc > 1)
		rounds = (unsigned)atoi(argv[1]);
	for (uintptr_t i = 0; i < THREADS; i++)
		thread[i] = start(worker, (void *)(i + 1));
	for (unsigned i = 0; i < THREADS; i++)
		join(thread[i]);
	for (unsigned i = 0; i < SLOTS; i++)
		if (shared[i].p != NULL)
			drop(shared[i].p, shared[i].n);
	grow_and_shrink_whole_heap();
	return puts("done") < 0;
}
