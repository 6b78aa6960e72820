/* SPDX-License-Identifier: MIT */
#include "arena/punch.h"

#include "arena/arena.h"
#include "arena/pool.h"
#include "arena/purge.h"
#include "base/meta.h"
#include "base/options.h"

#define QUEUE_FIRST 256
/* Slabs and ranges that go through one system call. */
#define BATCH_SLABS 64
#define BATCH_RANGES 256

/* By address, not by descriptor: the slab may end while it waits. */
struct waiting {
	uintptr_t base;
	uint32_t tick;
	uint16_t arena;
	uint8_t cls;
};

/* Each slab waits once at most; `head` to `tail` in the order of queueing. */
static struct {
	struct lock lock;
	struct waiting *ring; /* lock */
	size_t size;          /* lock: a power of two or 0 */
	size_t head;          /* lock, racy readers */
	size_t tail;          /* lock, racy readers */
} queue = {.lock = LOCK_INITIALIZER(LOCK_PUNCH)};

/* Learns as the pool's caps do (arena/purge.c). */
#define LEARN_LEAST 1024
#define REGRET_TICKS TICKS(1000)
#define REGRET_RATE 8192 /* slabs a second: some 30 us each, a quarter of a CPU */
#define PATIENCE_MOST 16
#define QUIET TICKS(5000)

static struct {
	size_t punched;    /* rank REAP */
	size_t regret;     /* atomic */
	uint32_t since;    /* rank REAP: tick */
	uint32_t last;     /* rank REAP: tick of the last punch */
	unsigned patience; /* rank REAP */
} learned = {.patience = 1};

/* What one system call gives back; rank REAP. */
static struct {
	unsigned slabs;
	unsigned ranges;
	struct slab *slab[BATCH_SLABS];
	uint64_t parts[BATCH_SLABS];
	struct range range[BATCH_RANGES];
} batch;

/* ---- the queue */

static bool queue_grow(void)
{
	size_t size = queue.size ? 2 * queue.size : QUEUE_FIRST, n = 0;
	struct waiting *ring = ash_meta_alloc(&ash_meta_descriptors, size * sizeof(*ring), CACHE_LINE);

	if (!ring)
		return false;
	for (size_t i = queue.head; i != queue.tail; i++)
		ring[n++] = queue.ring[i & (queue.size - 1)];
	if (queue.ring)
		ash_meta_clear(queue.ring, queue.size * sizeof(*ring));
	queue.ring = ring;
	queue.size = size;
	store_relaxed(&queue.head, 0);
	store_relaxed(&queue.tail, n);
	return true;
}

static bool queue_push(const struct waiting *waiting)
{
	bool room;

	lock_take(&queue.lock);
	room = queue.tail - queue.head < queue.size || queue_grow();
	if (room) {
		queue.ring[queue.tail & (queue.size - 1)] = *waiting;
		count_add(&queue.tail, 1);
	}
	lock_give(&queue.lock);
	return room;
}

/* The one that waits longest, unless it came after `newest`. */
static bool queue_pop(uint32_t newest, struct waiting *waiting)
{
	bool found;

	lock_take(&queue.lock);
	found = queue.head != queue.tail;
	if (found) {
		*waiting = queue.ring[queue.head & (queue.size - 1)];
		found = !tick_after(waiting->tick, newest);
	}
	if (found)
		count_add(&queue.head, 1);
	lock_give(&queue.lock);
	return found;
}

bool ash_punch_queue(const struct slab *slab)
{
	struct waiting waiting = {.base = slab->span.base,
				  .tick = load_relaxed(&ash_pool.now),
				  .arena = slab->span.arena,
				  .cls = slab->span.cls};

	/* There free memory keeps a pattern, which tells of writes to it. */
	return ash_options.check != CHECK_FULL && queue_push(&waiting);
}

void ash_punch_trim(void)
{
	lock_take(&queue.lock);
	if (queue.ring && queue.head == queue.tail)
		ash_meta_clear(queue.ring, queue.size * sizeof(*queue.ring));
	lock_give(&queue.lock);
}

size_t ash_punch_waiting(void)
{
	return load_relaxed(&queue.tail) - load_relaxed(&queue.head);
}

/* ---- punching */

/* The runs of parts become ranges; false when there is no room for all of them. */
static bool batch_add(struct slab *slab, uint64_t parts)
{
	unsigned part = ash_slab_part[slab->span.cls], before = batch.ranges;

	for (uint64_t rest = parts, run; rest; rest &= ~run) {
		unsigned first = (unsigned)__builtin_ctzll(rest), n;

		n = ~(rest >> first) ? (unsigned)__builtin_ctzll(~(rest >> first)) : 64;
		run = (n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1) << first;
		if (batch.ranges == BATCH_RANGES) {
			batch.ranges = before;
			return false;
		}
		batch.range[batch.ranges++] =
			(struct range){(char *)slab->span.base + ((size_t)first << part), (size_t)n << part};
	}
	batch.slab[batch.slabs] = slab;
	batch.parts[batch.slabs++] = parts;
	return true;
}

/* A batch's worth leaves the system's hands or ours; true when there may be more. */
static void batch_give(void)
{
	bool given = batch.ranges == 0 || ash_purge_ranges(batch.range, batch.ranges, false);

	learned.punched += batch.slabs;
	if (batch.slabs)
		learned.last = load_relaxed(&ash_pool.now);
	for (unsigned i = 0; i < batch.slabs; i++)
		ash_bin_restore(slab_bin(batch.slab[i]), batch.slab[i], given ? 0 : batch.parts[i]);
	batch.slabs = batch.ranges = 0;
}

static void look_at(struct waiting *waiting, uint32_t newest)
{
	struct bin *bin = &ash_arena_get(waiting->arena)->bin[waiting->cls];
	struct slab *slab;
	uint64_t parts;

	switch (ash_bin_withdraw(bin, waiting->base, newest, &slab, &parts)) {
	case HOLES_NONE:
		break;
	case HOLES_LATER:
		waiting->tick = load_relaxed(&ash_pool.now);
		queue_push(waiting);
		break;
	case HOLES_EMPTY:
		ash_slab_delete(slab);
		break;
	case HOLES_FOUND:
		if (!batch_add(slab, parts)) {
			batch_give();
			batch_add(slab, parts);
		}
		break;
	}
}

void ash_punch_wanted(uint32_t tick)
{
	if (load_relaxed(&ash_pool.now) - tick < REGRET_TICKS)
		add_relaxed(&learned.regret, 1);
}

unsigned ash_punch_patience(void)
{
	return learned.patience;
}

static void learn(uint32_t now)
{
	size_t regret = load_relaxed(&learned.regret), elapsed = now - learned.since;

	if (learned.patience > 1 && now - learned.last > QUIET) {
		learned.patience /= 2;
		learned.last = now;
	}
	if (learned.punched < LEARN_LEAST)
		return;
	if (regret * 2 > learned.punched && regret * TICKS(1000) > elapsed * REGRET_RATE &&
	    learned.patience < PATIENCE_MOST)
		learned.patience *= 2;
	learned.punched = 0;
	store_relaxed(&learned.regret, 0);
	learned.since = now;
}

void ash_punch(uint32_t newest, unsigned budget)
{
	struct waiting waiting;

	learn(load_relaxed(&ash_pool.now));
	/* Those that are queued again on the way are for the next time. */
	budget = (unsigned)size_min(budget, ash_punch_waiting());
	while (budget-- && queue_pop(newest, &waiting)) {
		look_at(&waiting, newest);
		if (batch.slabs == BATCH_SLABS)
			batch_give();
	}
	batch_give();
}

/* ---- fork */

void ash_punch_fork_prepare(void)
{
	lock_take_for_fork(&queue.lock);
}

void ash_punch_fork_done(void)
{
	lock_give_for_fork(&queue.lock);
}

void ash_punch_repair(void)
{
	if (lock_is_held(&queue.lock))
		store_relaxed(&queue.head, queue.tail);
	lock_init(&queue.lock, LOCK_PUNCH);
	batch.slabs = batch.ranges = 0;
}
