/* SPDX-License-Identifier: MIT
 *
 * Documents in a multi-threaded program: each thread builds trees (nodes, vectors of children, names), keeps a few
 * hundred, drops old ones whole, and now and then passes one to whichever thread comes next, which frees it.
 * Known from: the idea of mimalloc's mstress, an object graph that moves between threads.
 */
#include "bench/harness.h"

#include <stdatomic.h>

#define KEPT 300
#define SHARED 64
#define STEPS 2000

struct node {
	char *name;
	struct node **children;
	unsigned count;
};

static struct node *_Atomic shared[SHARED];

static void drop(struct node *n)
{
	if (n == NULL)
		return;
	for (unsigned i = 0; i < n->count; i++)
		drop(n->children[i]);
	free(n->children);
	free(n->name);
	free(n);
}

static struct node *build(struct bench_random *r, unsigned depth)
{
	struct node *n = bench_malloc(sizeof *n);
	unsigned count = depth == 0 ? 0 : (unsigned)bench_between(r, 0, 6);

	n->name = bench_malloc(bench_skewed(r, 8, 5));
	n->count = count;
	n->children = count == 0 ? NULL : bench_malloc(count * sizeof(struct node *));
	for (unsigned i = 0; i < count; i++)
		n->children[i] = build(r, depth - 1);
	return n;
}

static void author(void *seed, unsigned thread)
{
	struct node *kept[KEPT] = {0};
	struct bench_random r = bench_seed(*(uint64_t *)seed * 1000 + thread);

	for (int i = 0; i < STEPS; i++) {
		struct node **place = &kept[bench_between(&r, 0, KEPT - 1)];

		drop(*place);
		*place = build(&r, 3);
		if (bench_between(&r, 0, 3) ==
		    0) /* acquire: the tree was another thread's; release: it becomes another's */
			*place = atomic_exchange(&shared[bench_between(&r, 0, SHARED - 1)], *place);
	}
	for (int i = 0; i < KEPT; i++)
		drop(kept[i]);
}

static void object_graph(struct bench *b)
{
	uint64_t seed = 0;

	while (bench_next(b)) {
		bench_parallel(bench_threads(b), author, &seed);
		seed++;
	}
	for (int i = 0; i < SHARED; i++)
		drop(atomic_exchange(&shared[i], NULL));
	bench_operations(b, (double)STEPS * bench_threads(b));
}

BENCH_WORKLOAD(contend, object_graph, .run = object_graph, .iterations = 10, .quick = 1, .threads = 4);
