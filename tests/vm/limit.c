/* SPDX-License-Identifier: MIT
 *
 * The machine has strict accounting (vm.overcommit_memory=2): the kernel refuses memory beyond a limit instead of
 * killing someone later. If this fails, a program under such a limit dies or loses data where it should see NULL.
 */
#include "fact.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

/* An allocated object: a list, so that nothing else needs memory. */
struct block {
	struct block *next;
	size_t serial;
};

static size_t room; /* what the system could still commit at the start */

static bool null_with_enomem(void *p)
{
	return p == NULL && errno == ENOMEM;
}

static size_t uncommitted(void)
{
	size_t limit = fact_number_in("/proc/meminfo", "CommitLimit:") * KIB;
	size_t used = fact_number_in("/proc/meminfo", "Committed_AS:") * KIB;

	return limit > used ? limit - used : 0;
}

/* Takes objects until malloc refuses; *n is their number. */
static struct block *take_until_null(size_t size, size_t *n)
{
	struct block *list = NULL;

	for (*n = 0;; ++*n) {
		struct block *b;

		errno = 0;
		b = malloc(size);
		if (!b)
			return list;
		b->next = list;
		b->serial = *n;
		list = b;
	}
}

static bool intact(const struct block *list, size_t n)
{
	for (; list; list = list->next)
		if (list->serial != --n)
			return false;
	return n == 0;
}

static void free_all(struct block *list)
{
	while (list) {
		struct block *next = list->next;

		free(list);
		list = next;
	}
}

static void requests_larger_than_the_machine_are_refused(void)
{
	size_t too_much = 4096 * MIB;
	char *kept = malloc(100);
	void *out = kept;

	strcpy(kept, "kept");
	errno = 0;
	fact(null_with_enomem(malloc(too_much)), "malloc of 4 GiB is NULL with ENOMEM");
	errno = 0;
	fact(null_with_enomem(calloc(too_much / 16, 16)), "calloc of 4 GiB is NULL with ENOMEM");
	errno = 0;
	fact(null_with_enomem(aligned_alloc(4096, too_much)), "aligned_alloc of 4 GiB is NULL with ENOMEM");
	errno = 0;
	fact(null_with_enomem(realloc(kept, too_much)), "realloc to 4 GiB is NULL with ENOMEM");
	fact(strcmp(kept, "kept") == 0, "what realloc could not move is as it was");
	errno = 7;
	fact(posix_memalign(&out, 64, too_much) == ENOMEM && out == kept && errno == 7,
	     "posix_memalign of 4 GiB returns ENOMEM and leaves its result and errno alone");
	free(kept);
}

/* What was refused must not stay behind as tables, reservations or regions. */
static void refusals_cost_nothing(void)
{
	size_t mapped = fact_number_in("/proc/self/status", "VmSize:"), left;

	for (int i = 0; i < 50; i++)
		if (malloc((size_t)(2 + i % 3) * 1024 * MIB))
			fact(false, "malloc of 2 to 4 GiB is NULL");
	left = uncommitted();
	fact(left + 4 * MIB > room,
	     "refused requests take little of the %zu KiB that the system can commit (left: %zu)", room / KIB,
	     left / KIB);
	fact(fact_number_in("/proc/self/status", "VmSize:") <= mapped, "the 50th takes no address space");
}

/* Every call that may be refused, while all memory is taken. */
static void calls_at_the_limit(struct block *list)
{
	size_t serial = list->serial;
	void *out = NULL;
	void *p;

	errno = 0;
	fact(null_with_enomem(calloc(64, MIB)), "at the limit calloc is NULL with ENOMEM");
	errno = 0;
	fact(null_with_enomem(realloc(list, 64 * MIB)) && list->serial == serial,
	     "at the limit realloc is NULL with ENOMEM and the object is as it was");
	fact(posix_memalign(&out, 4096, 64 * MIB) == ENOMEM && out == NULL,
	     "at the limit posix_memalign returns ENOMEM");
	p = list->next;
	list->next = list->next->next;
	errno = 5;
	free(p);
	fact(errno == 5, "at the limit free keeps errno");
	p = malloc(sizeof(struct block));
	fact(p || errno == ENOMEM, "after one free at the limit malloc gives memory or NULL with ENOMEM");
	free(p);
}

static void fork_at_the_limit(void)
{
	int status = 0;
	pid_t child = fork();

	if (child < 0) {
		fact(errno == ENOMEM, "at the limit fork is refused with ENOMEM");
		return;
	}
	if (child == 0) {
		free(malloc(100));
		_exit(0);
	}
	fact(waitpid(child, &status, 0) == child && status == 0, "at the limit a forked child can allocate and exit");
}

static void until_null(size_t size, void (*at_the_limit)(struct block *))
{
	size_t n;
	struct block *list = take_until_null(size, &n);
	int error = errno;

	fact(error == ENOMEM, "objects of %zu bytes: after %zu the next is NULL with ENOMEM", size, n);
	fact(n * size >= room / 2, "they hold %zu KiB, at least half of the %zu KiB that were free at first",
	     n * size / KIB, room / KIB);
	fact(list && intact(list, n), "all of them have their content");
	if (list && at_the_limit)
		at_the_limit(list);
	free_all(list);
}

static void small_objects_at_the_limit(struct block *list)
{
	calls_at_the_limit(list);
	fork_at_the_limit();
}

/* A thread that first allocates when there is nothing left, and again when there is. It is started while there is. */
static pthread_barrier_t step;

static void *late_thread(void *unused)
{
	void *p;
	bool ok;

	pthread_barrier_wait(&step);
	errno = 0;
	p = malloc(1000);
	ok = p || errno == ENOMEM;
	free(p);
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
	p = malloc(1000);
	ok = ok && p;
	free(p);
	return (void *)(uintptr_t)ok;
}

static void release_the_late_thread(struct block *list)
{
	pthread_barrier_wait(&step);
	pthread_barrier_wait(&step);
}

int main(void)
{
	pthread_t late;
	void *p, *late_was_well = NULL;

	fact_begin(300);
	fact(fact_number_in("/proc/sys/vm/overcommit_memory", "") == 2, "vm.overcommit_memory is 2");
	pthread_barrier_init(&step, NULL, 2);
	if (!fact(pthread_create(&late, NULL, late_thread, NULL) == 0, "a thread starts"))
		return 1;
	room = uncommitted();
	requests_larger_than_the_machine_are_refused();
	refusals_cost_nothing();
	until_null(256, small_objects_at_the_limit);
	until_null(3000, release_the_late_thread);
	until_null(100000, NULL);
	until_null(4 * MIB, NULL);
	pthread_barrier_wait(&step);
	pthread_join(late, &late_was_well);
	fact(late_was_well, "a thread's first malloc at the limit gives memory or ENOMEM, a later one memory");
	p = calloc(1, 8 * MIB);
	fact(p != NULL, "after all this calloc of 8 MiB works");
	free(p);
	return fact_end();
}
