/* SPDX-License-Identifier: MIT
 *
 * If this breaks, the stress programs of the guests no longer notice an object with two owners or lost content.
 */
#include "worker.h"
#include "random.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 512
#define STRIDE 251 /* bytes between the marks inside an object: a prime, so that marks meet every offset of a line */

struct object {
	size_t size;
	size_t mark;
};

static _Atomic(struct object *) table[SLOTS];

/* Mostly small, some up to 32 KiB, few large: as servers allocate. */
static size_t next_size(struct worker *w)
{
	uint64_t r = random_next(&w->random) >> 8, kind = r % 256;

	r >>= 8;
	if (kind < 230)
		return sizeof(struct object) + r % 1000;
	if (kind < 254)
		return 1024 + r % 31000;
	return 32768 + r % 300000;
}

static unsigned char mark_byte(const struct object *o, size_t at)
{
	return (unsigned char)(o->mark + at / STRIDE);
}

static void sign(struct object *o, size_t size, size_t mark)
{
	unsigned char *bytes = (unsigned char *)o;

	o->size = size;
	o->mark = mark;
	for (size_t at = sizeof *o; at < size; at += STRIDE)
		bytes[at] = mark_byte(o, at);
}

static bool is_intact(const struct object *o)
{
	const unsigned char *bytes = (const unsigned char *)o;

	for (size_t at = sizeof *o; at < o->size; at += STRIDE)
		if (bytes[at] != mark_byte(o, at))
			return false;
	return true;
}

static bool is_zero(const void *p, size_t size)
{
	const unsigned char *bytes = p;

	for (size_t at = 0; at < size; at += STRIDE)
		if (bytes[at] != 0)
			return false;
	return true;
}

static struct object *take(struct worker *w)
{
	size_t size = next_size(w);
	uint64_t how = random_next(&w->random) % 8;
	struct object *o;

	if (how == 0)
		o = calloc(1, size);
	else if (how == 1)
		o = aligned_alloc(64, (size + 63) & ~(size_t)63);
	else
		o = malloc(size);
	if (!o) {
		w->refused++;
		return NULL;
	}
	if (how == 0 && !is_zero(o, size))
		w->broken++;
	sign(o, size, random_next(&w->random));
	return o;
}

static struct object *resize(struct worker *w, struct object *o)
{
	size_t size = next_size(w);
	size_t kept = size < o->size ? size : o->size;
	struct object *n = realloc(o, size);

	if (!n) {
		w->refused++;
		return o;
	}
	n->size = kept;
	if (!is_intact(n))
		w->broken++;
	sign(n, size, random_next(&w->random));
	return n;
}

static void one_step(struct worker *w)
{
	_Atomic(struct object *) *slot = &table[random_next(&w->random) % SLOTS];
	struct object *o = atomic_exchange(slot, NULL);

	if (o && !is_intact(o))
		w->broken++;
	if (o && random_next(&w->random) % 8 == 0) {
		o = resize(w, o);
	} else {
		free(o);
		o = take(w);
	}
	free(atomic_exchange(slot, o));
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (size_t i = 0; i < w->steps; i++) {
		if (w->stop && atomic_load_explicit(w->stop, memory_order_relaxed))
			break;
		one_step(w);
		atomic_store_explicit(&w->done, i + 1, memory_order_relaxed);
	}
	return NULL;
}

int worker_start(struct worker *w, uint64_t seed, size_t steps, atomic_bool *stop)
{
	memset(w, 0, sizeof *w);
	w->random = (seed + 1) * 0x9e3779b97f4a7c15ull | 1;
	w->steps = steps;
	w->stop = stop;
	return pthread_create(&w->thread, NULL, work, w);
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
}

size_t worker_clear_table(void)
{
	size_t broken = 0;

	for (size_t i = 0; i < SLOTS; i++) {
		struct object *o = atomic_exchange(&table[i], NULL);

		broken += o && !is_intact(o);
		free(o);
	}
	return broken;
}
