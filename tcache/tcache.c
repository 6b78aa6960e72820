/* SPDX-License-Identifier: MIT
 *
 * A class starts with nothing cached: its first object comes alone from the
 * slab, then refills double. Its first magazines are small (64 bytes, at most 6
 * objects, at most 1 KiB of them); after a few slow events they become large,
 * as long as the thread stays within its allowance. So a thread that allocates
 * a little costs little, and the total is bounded whatever the thread count.
 *
 * A magazine is detached from the tcache before it is exchanged: a fork that
 * copies the process in between loses objects in the child, and never sees one
 * magazine in two places.
 */
#include "tcache/tcache.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "arena/arena.h"
#include "arena/pool.h"
#include "base/fatal.h"
#include "base/meta.h"
#include "base/options.h"
#include "base/os.h"
#include "base/print.h"

/* Slow events of a class before its magazines become large. */
#define HOT 6
/* All caches together: 1/16 of live memory within these; a thread's share within those. */
#define TOTAL_MIN ((size_t)8 << 20)
#define TOTAL_MAX ((size_t)64 << 20)
#define TOTAL_SHARE 16
#define THREAD_MIN ((size_t)16 << 10)
#define THREAD_MAX ((size_t)1 << 20)
/* Slow events between looks at the clock, and the pace of trimming. */
#define EVENTS_PER_LOOK 16
#define TRIM_MS 100
/* Of the magazines that go to a depot whole, one in so many is checked pointer by pointer. */
#define VERIFY_EVERY 256
/* Rounds of destructors in which others may still want the cache (glibc runs 4 in all). */
#define EXIT_ROUNDS 3

void *const ash_magazine_none[MAGAZINE_SMALL_BYTES / sizeof(void *)]
	__attribute__((aligned(MAGAZINE_SMALL_BYTES))) = {NULL, MAGAZINE_END};
#define NONE ((void **)ash_magazine_none)

#define COARSE_CLASS(cls, size, below)
#define FINE_CLASS(cls, size, below) [(below) / FINE_STEP + 1 ...(size) / FINE_STEP] = (cls),
struct tcache ash_tcache_none = {
	.a = {[0 ... SIZE_CLASS_COUNT - 1] = NONE},
	.f = {[0 ... SIZE_CLASS_COUNT - 1] = NONE},
	.fine =
		{
			[0] = 1,
#include "arena/size_class.def"
		},
#undef FINE_CLASS
#undef COARSE_CLASS
#define FINE_CLASS(cls, size, below)
#define COARSE_CLASS(cls, size, below) [(below) / COARSE_STEP + 1 ...(size) / COARSE_STEP] = (cls),
	.coarse =
		{
#include "arena/size_class.def"
		},
};

__thread struct tcache *ash_tcache = &ash_tcache_none;
static __thread unsigned char exit_rounds; /* owner: destructor rounds seen; EXIT_ROUNDS: no cache any more */

static struct {
	struct lock lock;
	struct tcache *all;     /* lock; atomic: release by attach, for racy readers */
	struct tcache *orphans; /* lock: of ended threads, with contents */
	struct tcache *idle;    /* lock: the same, emptied */
	unsigned owned;         /* lock, racy readers: threads that have one */
	bool on;                /* const after the constructor */
	pthread_key_t key;      /* const after start-up */
} threads = {.lock = LOCK_INITIALIZER(LOCK_THREADS)};

static bool is_none(void **head)
{
	return head == NONE;
}

/* ---- one thread's magazines */

static size_t thread_allowance(void)
{
	size_t live = load_relaxed(&ash_pool.live) << GRANULE_SHIFT, owned = load_relaxed(&threads.owned);
	size_t total = size_max(TOTAL_MIN, size_min(TOTAL_MAX, live / TOTAL_SHARE));

	return size_max(THREAD_MIN, size_min(THREAD_MAX, total / (owned ? owned : 1)));
}

static size_t pair_bytes(unsigned cls)
{
	return (size_t)2 * ash_size_class[cls].magazine * ash_size_class[cls].size;
}

/* The objects under `head` go back to their slabs; returns the emptied head. */
static void **head_flush(void **head, bool large)
{
	void **base = magazine_base(head, large);

	if (head != base)
		ash_bin_flush("free", base + 1, (unsigned)(head - base));
	return base;
}

static void head_drop(void ***side, unsigned cls, bool large)
{
	void **head = side[cls];

	if (is_none(head))
		return;
	side[cls] = NONE;
	ash_magazine_delete(head_flush(head, large), large);
}

/* Both magazines of the class are flushed and given up. */
static void class_drop(struct tcache *tc, unsigned cls)
{
	bool large = tc->large[cls];

	head_drop(tc->a, cls, large);
	head_drop(tc->f, cls, large);
	if (large)
		tc->large_bytes -= pair_bytes(cls);
	tc->large[cls] = tc->want[cls] = tc->hot[cls] = 0;
}

/* A small magazine's objects move into a large one; returns the new head. */
static void **head_enlarge(void **head, void **into)
{
	unsigned n = magazine_count(head, false);

	memcpy(into + 1, magazine_base(head, false) + 1, n * sizeof(*into));
	return into + n;
}

/* The pair becomes large. A fork on the way finds no magazine, not one of the other kind. */
static void pair_enlarge(struct tcache *tc, unsigned cls, void **a, void **f)
{
	void **small[2] = {tc->a[cls], tc->f[cls]};

	store_relaxed(&tc->a[cls], NONE);
	store_relaxed(&tc->f[cls], NONE);
	store_release(&tc->large[cls], 1);
	store_release(&tc->a[cls], head_enlarge(small[0], a));
	store_release(&tc->f[cls], head_enlarge(small[1], f));
	for (int i = 0; i < 2; i++) {
		if (!is_none(small[i]))
			ash_magazine_delete(magazine_base(small[i], false), false);
	}
	tc->large_bytes += pair_bytes(cls);
}

/* Counts a slow event of a small pair; true when the pair has become large by it. */
static bool class_heat(struct tcache *tc, unsigned cls)
{
	void **a, **f;

	if (++tc->hot[cls] < HOT)
		return false;
	tc->hot[cls] = 0;
	if (tc->large_bytes + pair_bytes(cls) > thread_allowance())
		return false;
	a = ash_magazine_new(cls);
	f = a ? ash_magazine_new(cls) : NULL;
	if (f)
		pair_enlarge(tc, cls, a, f);
	else if (a)
		ash_magazine_delete(a, true);
	return f != NULL;
}

/* ---- refill */

static SLOW void periodic(struct tcache *tc);

static inline void tcache_event(struct tcache *tc)
{
	if (unlikely(++tc->events % EVENTS_PER_LOOK == 0))
		periodic(tc);
}

static unsigned want_more(struct tcache *tc, unsigned cls, unsigned capacity)
{
	unsigned want = tc->want[cls] ? 2u * tc->want[cls] : 1;

	tc->want[cls] = (uint8_t)(want < capacity ? want : capacity);
	return tc->want[cls];
}

static void *refill_large(struct tcache *tc, unsigned cls)
{
	struct bin *bin = &arena_current()->bin[cls];
	void **empty = tc->a[cls], **head;

	if (unlikely(is_none(empty)))
		empty = ash_magazine_new(cls);
	if (unlikely(!empty))
		return NULL;
	tc->a[cls] = NONE;
	head = ash_bin_exchange(bin, empty);
	if (!head)
		head = ash_bin_fill(bin, empty, want_more(tc, cls, ash_size_class[cls].magazine));
	if (unlikely(!head)) {
		tc->a[cls] = empty;
		return NULL;
	}
	tc->a[cls] = head - 1;
	return *head;
}

static void *refill_small(struct tcache *tc, unsigned cls)
{
	struct bin *bin = &arena_current()->bin[cls];
	void *few[MAGAZINE_SMALL_OBJECTS];
	unsigned n = ash_bin_take(bin, few, want_more(tc, cls, magazine_small_capacity(cls)));

	if (n > 1 && is_none(tc->a[cls])) {
		void **a = ash_magazine_new_small(cls);

		if (!a) {
			ash_bin_flush("malloc", few, n - 1);
			return few[n - 1];
		}
		tc->a[cls] = a;
	}
	if (n > 1) {
		memcpy(tc->a[cls] + 1, few, (n - 1) * sizeof(*few));
		tc->a[cls] += n - 1;
	}
	return n ? few[n - 1] : NULL;
}

static SLOW void *refill_young(struct tcache *tc, unsigned cls)
{
	if (class_heat(tc, cls)) {
		void *p = tcache_swap_pop(tc, cls);

		return p ? p : refill_large(tc, cls);
	}
	return refill_small(tc, cls);
}

void *ash_tcache_refill(struct tcache *tc, unsigned cls)
{
	tcache_event(tc);
	return likely(tc->large[cls]) ? refill_large(tc, cls) : refill_young(tc, cls);
}

/* ---- overflow */

/* p is the first object on an empty F. */
static void push_first(struct tcache *tc, unsigned cls, void **f, void *p)
{
	f[1] = p;
	tc->f[cls] = f + 1;
}

static SLOW void give_up_large(struct tcache *tc, unsigned cls, void **full, void *p)
{
	ash_bin_flush("free", full + 1, ash_size_class[cls].magazine);
	push_first(tc, cls, full, p);
}

static void overflow_large(struct tcache *tc, unsigned cls, void *p)
{
	struct bin *bin = &arena_current()->bin[cls];
	void **full = magazine_base(tc->f[cls], true), **empty;

	if (unlikely(++tc->gives % VERIFY_EVERY == 0) && ash_options.check == CHECK_SAMPLED)
		ash_bin_verify(full + 1, bin->magazine_objects);
	tc->f[cls] = NONE;
	empty = ash_bin_give(bin, full);
	if (unlikely(!empty)) {
		give_up_large(tc, cls, full, p);
		return;
	}
	push_first(tc, cls, empty, p);
}

static void overflow_small(struct tcache *tc, unsigned cls, void *p)
{
	struct bin *bin = &arena_current()->bin[cls];
	void **head = tc->f[cls], **full = magazine_base(head, false);

	tc->f[cls] = NONE;
	ash_bin_give_few(bin, full + 1, (unsigned)(head - full));
	push_first(tc, cls, full, p);
}

/* F has no magazine yet. */
static void overflow_none(struct tcache *tc, unsigned cls, void *p)
{
	void **f = tc->large[cls] ? ash_magazine_new(cls) : ash_magazine_new_small(cls);

	if (f)
		push_first(tc, cls, f, p);
	else
		ash_bin_flush("free", &p, 1);
}

static SLOW void overflow_young(struct tcache *tc, unsigned cls, void *p)
{
	if (is_none(tc->f[cls])) {
		overflow_none(tc, cls, p);
	} else if (is_none(tc->a[cls])) {
		/* The thread has only freed so far: its full F waits as A. */
		tc->a[cls] = tc->f[cls];
		tc->f[cls] = NONE;
		overflow_none(tc, cls, p);
	} else if (tc->large[cls]) {
		overflow_large(tc, cls, p);
	} else if (class_heat(tc, cls)) {
		push_first(tc, cls, tc->f[cls], p);
	} else {
		overflow_small(tc, cls, p);
	}
}

void ash_tcache_overflow(struct tcache *tc, unsigned cls, void *p)
{
	tcache_event(tc);
	if (likely(tc->large[cls] && !is_none(tc->f[cls]) && !is_none(tc->a[cls])))
		overflow_large(tc, cls, p);
	else
		overflow_young(tc, cls, p);
}

/* ---- periodic work */

static uint16_t heads_position(const struct tcache *tc, unsigned cls)
{
	return (uint16_t)((((uintptr_t)tc->a[cls] >> 3) & 0xff) << 8 | (((uintptr_t)tc->f[cls] >> 3) & 0xff));
}

/* Classes whose heads have not moved since the last look are given up. */
static void trim(struct tcache *tc)
{
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		uint16_t position = heads_position(tc, cls);

		if (is_none(tc->a[cls]) && is_none(tc->f[cls]))
			continue;
		if (position == tc->seen[cls])
			class_drop(tc, cls);
		tc->seen[cls] = position;
	}
}

static SLOW void periodic(struct tcache *tc)
{
	uint64_t now = ash_os_now_ms();

	if (now - tc->trimmed_at >= TRIM_MS) {
		tc->trimmed_at = now;
		trim(tc);
		if (load_relaxed(&threads.orphans))
			ash_tcache_flush_orphans();
	}
	ash_arena_tick();
}

void ash_tcache_flush(struct tcache *tc)
{
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
		class_drop(tc, cls);
}

/* ---- threads come and go */

static void thread_exit(void *arg)
{
	struct tcache *tc = arg;

	/* Other keys' destructors of this and the next rounds still find a cache. */
	if (++exit_rounds < EXIT_ROUNDS && pthread_setspecific(threads.key, tc) == 0)
		return;
	exit_rounds = EXIT_ROUNDS;
	ash_tcache = &ash_tcache_none;
	lock_take(&threads.lock);
	tc->state = TCACHE_ORPHAN;
	tc->next_orphan = threads.orphans;
	store_relaxed(&threads.orphans, tc);
	count_sub(&threads.owned, 1);
	lock_give(&threads.lock);
}

bool ash_tcache_init(void)
{
	return pthread_key_create(&threads.key, thread_exit) == 0;
}

void ash_tcache_enable(bool on)
{
	threads.on = on;
}

static struct tcache *tcache_new(void)
{
	struct tcache *tc = ash_meta_alloc(&ash_meta_descriptors, sizeof(*tc), CACHE_LINE);

	if (tc)
		memcpy(tc, &ash_tcache_none, sizeof(*tc));
	return tc;
}

/* Lock held: the cache of a thread that ended, if there is one. */
static struct tcache *orphan_take(void)
{
	struct tcache *tc = threads.orphans;

	if (tc) {
		store_relaxed(&threads.orphans, tc->next_orphan);
		return tc;
	}
	tc = threads.idle;
	if (tc)
		store_relaxed(&threads.idle, tc->next_orphan);
	return tc;
}

struct tcache *ash_tcache_attach(void)
{
	struct tcache *tc, *fresh = NULL;
	int saved = errno;

	if (!threads.on || exit_rounds == EXIT_ROUNDS)
		return NULL;
	if (!load_relaxed(&threads.orphans) && !load_relaxed(&threads.idle)) {
		fresh = tcache_new();
		if (!fresh)
			return NULL;
	}
	lock_take(&threads.lock);
	tc = fresh ? fresh : orphan_take();
	if (tc) {
		tc->state = TCACHE_OWNED;
		count_add(&threads.owned, 1);
	}
	if (fresh) {
		tc->next = threads.all;
		store_release(&threads.all, tc);
	}
	lock_give(&threads.lock);
	if (!tc)
		return NULL;
	/* First the pointer: pthread_setspecific may allocate. */
	ash_tcache = tc;
	pthread_setspecific(threads.key, tc);
	errno = saved;
	return tc;
}

void ash_tcache_flush_orphans(void)
{
	struct tcache *tc;

	for (;;) {
		lock_take(&threads.lock);
		tc = threads.orphans;
		if (tc)
			store_relaxed(&threads.orphans, tc->next_orphan);
		lock_give(&threads.lock);
		if (!tc)
			break;
		ash_tcache_flush(tc);
		lock_take(&threads.lock);
		tc->state = TCACHE_IDLE;
		tc->next_orphan = threads.idle;
		store_relaxed(&threads.idle, tc);
		lock_give(&threads.lock);
	}
}

/* ---- fork */

void ash_tcache_fork_prepare(void)
{
	lock_take_for_fork(&threads.lock);
}

/* A thread that was exchanging A and F when the process was copied may have left
 * both heads in one magazine: F's share of it is lost, rather than owned twice. */
static void separate_heads(struct tcache *tc)
{
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		bool large = tc->large[cls];

		if (!is_none(tc->f[cls]) && magazine_base(tc->a[cls], large) == magazine_base(tc->f[cls], large))
			tc->f[cls] = NONE;
	}
}

static void inherit_from_others(void)
{
	struct tcache *mine = ash_tcache;

	threads.owned = 0;
	for (struct tcache *tc = threads.all; tc; tc = tc->next) {
		if (tc->state != TCACHE_OWNED)
			continue;
		if (tc == mine) {
			threads.owned++;
			continue;
		}
		separate_heads(tc);
		tc->state = TCACHE_ORPHAN;
		tc->next_orphan = threads.orphans;
		threads.orphans = tc;
	}
}

void ash_tcache_fork_done(bool child)
{
	if (child)
		inherit_from_others();
	lock_give_for_fork(&threads.lock);
}

void ash_tcache_repair(void)
{
	lock_init(&threads.lock, LOCK_THREADS);
}

/* ---- looking in from outside */

unsigned ash_tcache_count(size_t objects[SIZE_CLASS_COUNT])
{
	for (struct tcache *tc = load_acquire(&threads.all); tc; tc = tc->next) {
		for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
			bool large = load_relaxed(&tc->large[cls]);

			objects[cls] +=
				magazine_count(load_relaxed(&tc->a[cls]), large && !is_none(load_relaxed(&tc->a[cls])));
			objects[cls] +=
				magazine_count(load_relaxed(&tc->f[cls]), large && !is_none(load_relaxed(&tc->f[cls])));
		}
	}
	return load_relaxed(&threads.owned);
}

/* Counts what is wrong with one side of a class. */
static int head_check(struct tcache *tc, unsigned cls, void **head, const char *side)
{
	unsigned capacity = tc->large[cls] ? ash_size_class[cls].magazine : magazine_small_capacity(cls);
	void **base;

	if (is_none(head))
		return 0;
	base = magazine_base(head, tc->large[cls]);
	if (*base == NULL && base[capacity + 1] == MAGAZINE_END && (size_t)(head - base) <= capacity)
		return 0;
	ash_message("tcache %p: magazine %s of class %u is broken", (void *)tc, side, cls);
	return 1;
}

int ash_tcache_check(void)
{
	int broken = 0;

	lock_take(&threads.lock);
	for (struct tcache *tc = threads.all; tc; tc = tc->next) {
		for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
			broken += head_check(tc, cls, tc->a[cls], "A");
			broken += head_check(tc, cls, tc->f[cls], "F");
		}
	}
	lock_give(&threads.lock);
	return broken;
}
