/* SPDX-License-Identifier: MIT
 *
 * borrow — threads whose caches are taken out of their hands all the time. If
 * this fails, what a thread has in hand in the middle of malloc, free or realloc
 * goes to someone else when the helper thread or malloc_trim empties caches.
 *
 *   borrow --threads=N --operations=N [--forks=N]
 *
 * Each thread fills objects, resizes them from class to class, checks and frees
 * them; the trimmer (trimmer.h) borrows meanwhile; the main thread forks, and
 * each child works on with what it has.
 */
#include "entry.h"
#include <stdatomic.h>
#include <sys/wait.h>
#include "pattern.h"
#include "trimmer.h"

enum { SIZES = 9, HELD = 16 };

static const size_t sizes[SIZES] = {24, 20000, 100, 32000, 300, 9000, 2000, 4096, 1100};
static unsigned threads_wanted = 4, operations = 40000, forks;
static atomic_uint running;

struct held {
	uint32_t *words;
	size_t n;
	uint32_t mark;
};

static void fill(struct held *held, size_t from)
{
	for (size_t i = from; i < held->n; i++)
		held->words[i] = held->mark + (uint32_t)i;
}

static void check(const struct held *held, const char *when)
{
	for (size_t i = 0; i < held->n; i++) {
		if (held->words[i] != held->mark + (uint32_t)i)
			DIE("word %zu of %zu at %p is %u, should be %u %s", i, held->n, (void *)held->words,
			    held->words[i], held->mark + (uint32_t)i, when);
	}
}

static void renew(struct held *held, uint32_t mark, unsigned pick)
{
	if (held->words)
		check(held, "before it is freed");
	api.free(held->words);
	held->n = sizes[pick % SIZES] / sizeof(uint32_t);
	held->mark = mark;
	held->words = api.malloc(held->n * sizeof(uint32_t));
	if (!held->words)
		DIE("malloc fails");
	fill(held, 0);
}

static void resize(struct held *held, unsigned pick)
{
	size_t before = held->n, n = sizes[pick % SIZES] / sizeof(uint32_t);

	held->words = api.realloc(held->words, n * sizeof(uint32_t));
	if (!held->words)
		DIE("realloc fails");
	held->n = n < before ? n : before;
	check(held, "after realloc");
	held->n = n;
	if (n > before)
		fill(held, before);
}

static void work(uint32_t thread, unsigned n)
{
	struct held held[HELD] = {{NULL, 0, 0}};
	uint64_t random = thread;

	for (unsigned i = 0; i < n; i++) {
		uint64_t drawn = random_next(&random);
		struct held *h = &held[drawn % HELD];
		unsigned pick = (unsigned)(drawn >> 20);

		if (!h->words || drawn >> 10 & 1)
			renew(h, thread << 24 | i << 8, pick);
		else
			resize(h, pick);
	}
	for (unsigned i = 0; i < HELD; i++) {
		if (held[i].words)
			check(&held[i], "at the end");
		api.free(held[i].words);
	}
}

static void *run(void *thread)
{
	work((uint32_t)(uintptr_t)thread, operations);
	running--;
	return NULL;
}

static void child(void)
{
	pid_t pid = fork();
	int status = -1;

	if (pid < 0)
		DIE("fork fails");
	if (pid == 0) {
		alarm(60);
		work(200, 500);
		trim(0);
		_exit(api.ashlar_structure_check() != 0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		DIE("a child ended with status %#x", status);
}

static unsigned number(const char *text)
{
	return (unsigned)strtoul(text, NULL, 0);
}

int main(int argc, char **argv)
{
	pthread_t threads[64];

	alarm(1800);
	entry_load();
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--threads=", 10) == 0)
			threads_wanted = number(argv[i] + 10);
		else if (strncmp(argv[i], "--operations=", 13) == 0)
			operations = number(argv[i] + 13);
		else if (strncmp(argv[i], "--forks=", 8) == 0)
			forks = number(argv[i] + 8);
		else
			DIE("unknown argument %s", argv[i]);
	}
	if (threads_wanted < 1 || threads_wanted > 64)
		DIE("1 to 64 threads");
	running = threads_wanted;
	trimmer_start();
	for (unsigned i = 0; i < threads_wanted; i++) {
		if (pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)(i + 1)) != 0)
			DIE("pthread_create fails");
	}
	for (unsigned i = 0; i < forks && running; i++)
		child();
	for (unsigned i = 0; i < threads_wanted; i++)
		pthread_join(threads[i], NULL);
	trimmer_stop();
	if (api.ashlar_structure_check() != 0)
		DIE("broken structures");
	return 0;
}
