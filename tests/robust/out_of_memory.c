/* SPDX-License-Identifier: MIT
 *
 * If this fails, a program that runs out of memory crashes, hangs, gets too
 * little of what there is, or cannot go on after it has freed.
 *
 * out_of_memory LIMIT_MIB [fill]: memory is taken until there is none. The limit
 * was set by the caller; with "fill", the program fills its address space itself.
 * Objects are never written, except the word that links them: the limit is one of
 * address space or data, not of what the machine has.
 */
#include <malloc.h>
#include <sys/mman.h>

#include "check.h"

static size_t limit;

struct link {
	struct link *next;
};

static size_t take_until_none(struct link **list, size_t size)
{
	size_t n = 0;

	for (;;) {
		errno = 0;
		struct link *p = malloc(size);
		if (p == NULL)
			break;
		p->next = *list;
		*list = p;
		n++;
		CHECK(n * size <= 2 * limit);
	}
	CHECK(errno == ENOMEM);
	return n;
}

static void drop_all(struct link **list)
{
	while (*list != NULL) {
		struct link *next = (*list)->next;

		free(*list);
		*list = next;
	}
}

/* While nothing is left of `size`, every entry point says so and changes nothing. */
static void refused_everywhere(size_t size, struct link *live)
{
	void *out = &out;
	struct link *next = live->next;

	errno = 0;
	CHECK(calloc(1, size) == NULL && errno == ENOMEM);
	errno = 0;
	CHECK(realloc(live, size) == NULL && errno == ENOMEM && live->next == next);
	errno = 0;
	CHECK(aligned_alloc(64, size) == NULL && errno == ENOMEM);
	CHECK(posix_memalign(&out, 64, size) == ENOMEM && out == &out);
	errno = 0;
	CHECK(memalign(4096, size) == NULL && errno == ENOMEM);
}

/* Sizes whose count of objects stays small enough for a test, from the limit. */
static void run_out(size_t size)
{
	struct link *list = NULL;
	size_t n = take_until_none(&list, size), again;

	printf("%zu objects of %zu bytes: %zu MiB\n", n, size, n * size >> 20);
	CHECK(n * size >= limit / 4);
	refused_everywhere(limit / 2, list);
	drop_all(&list);
	again = take_until_none(&list, size);
	CHECK(again >= n - n / 8);
	drop_all(&list);
}

static void fill_address_space(void)
{
	for (size_t size = (size_t)1 << 46; size >= 4096; size /= 2)
		while (mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED)
			;
}

/* Address space is full: what malloc still gives comes from what it held. */
static void full(void)
{
	struct link *list = NULL, *big = NULL;

	use_every_size();
	void *room = mmap(NULL, limit, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(room != MAP_FAILED);
	fill_address_space();
	for (size_t size = 16; size <= 65536; size *= 16) {
		size_t n = 0;

		while (n * size < limit / 4 && (big = malloc(size)) != NULL) {
			big->next = list;
			list = big;
			n++;
		}
		CHECK(big != NULL || errno == ENOMEM);
	}
	errno = 0;
	CHECK(malloc((size_t)1 << 40) == NULL && errno == ENOMEM);
	drop_all(&list);
	CHECK(munmap(room, limit) == 0);
	use_every_size();
}

int main(int argc, char **argv)
{
	watchdog(60);
	limit = (size_t)atoi(argv[1]) << 20;
	if (argc > 2) {
		full();
		return puts("done") < 0;
	}
	if (limit <= (size_t)256 << 20)
		run_out(64);
	run_out(limit >> 14);
	run_out(limit >> 16 > 32768 ? limit >> 16 : 40000);
	run_out(limit / 50);
	use_every_size();
	return puts("done") < 0;
}
