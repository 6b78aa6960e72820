/* SPDX-License-Identifier: MIT
 *
 * pool — objects of one size beside malloc, as servers write it for their hot structures: free objects are linked
 * through their first word, each thread has a list of its own, and what one thread has too much goes to the others in
 * lots.
 * Known from: the free lists of Apache Traffic Server (ProxyAllocator); other servers and game engines have the like.
 *
 * Objects never go back to malloc before pool_end(), which is the price of such lists.
 */
#ifndef ASHLAR_BENCH_POOL_H
#define ASHLAR_BENCH_POOL_H

#include "bench/harness.h"

#define POOL_LOT 128 /* objects that move between a thread and the others at a time */

struct pool_object {
	struct pool_object *next;
	struct pool_object *next_lot; /* in the first object of a lot */
};

struct pool {
	pthread_mutex_t lock;
	struct pool_object *lots; /* lock: free objects, POOL_LOT of them in each lot */
	size_t size;              /* const */
};

/* A thread's own: at most two lots. */
struct pool_list {
	struct pool_object *first;
	unsigned count;
};

static struct pool_object *pool_lot_new(size_t size)
{
	struct pool_object *lot = NULL;

	for (int i = 0; i < POOL_LOT; i++) {
		struct pool_object *o = bench_used(malloc(size), 1);

		o->next = lot;
		lot = o;
	}
	return lot;
}

static __attribute__((noinline)) void pool_refill(struct pool *pool, struct pool_list *list)
{
	pthread_mutex_lock(&pool->lock);
	list->first = pool->lots;
	if (pool->lots != NULL)
		pool->lots = pool->lots->next_lot;
	pthread_mutex_unlock(&pool->lock);
	if (list->first == NULL)
		list->first = pool_lot_new(pool->size);
	list->count = POOL_LOT;
}

static __attribute__((noinline)) void pool_spill(struct pool *pool, struct pool_list *list)
{
	struct pool_object *lot = list->first, *end = lot;

	for (int i = 1; i < POOL_LOT; i++)
		end = end->next;
	list->first = end->next;
	list->count -= POOL_LOT;
	end->next = NULL;
	pthread_mutex_lock(&pool->lock);
	lot->next_lot = pool->lots;
	pool->lots = lot;
	pthread_mutex_unlock(&pool->lock);
}

static inline void *pool_take(struct pool *pool, struct pool_list *list)
{
	if (__builtin_expect(list->count == 0, 0))
		pool_refill(pool, list);

	struct pool_object *o = list->first;

	list->first = o->next;
	list->count--;
	return o;
}

static inline void pool_give(struct pool *pool, struct pool_list *list, void *p)
{
	struct pool_object *o = p;

	if (__builtin_expect(list->count == 2 * POOL_LOT, 0))
		pool_spill(pool, list);
	o->next = list->first;
	list->first = o;
	list->count++;
}

static inline void pool_free_chain(struct pool_object *o)
{
	for (struct pool_object *next; o != NULL; o = next) {
		next = o->next;
		free(o);
	}
}

static inline void pool_list_end(struct pool_list *list)
{
	pool_free_chain(list->first);
	*list = (struct pool_list){0};
}

static inline void pool_end(struct pool *pool)
{
	for (struct pool_object *lot = pool->lots, *next; lot != NULL; lot = next) {
		next = lot->next_lot;
		pool_free_chain(lot);
	}
	pool->lots = NULL;
}

#endif
