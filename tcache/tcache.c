/* SPDX-License-Identifier: MIT
 *
 * A class starts with nothing cached: its first object comes from the slab alone,
 * or with those of its cache line; then refills double. Its first magazines are
 * small (64 bytes, at most 6 objects, at most 1 KiB of them); after a few slow
 * events they become large, as long as the thread stays within its allowance. So
 * a thread that allocates a little costs little, and the total is bounded
 * whatever the thread count.
 *
 * A magazine is detached from the tcache before it is exchanged: a fork that
 * copies the process in between loses objects in the child, and never sees one
 * magazine in two places.
 */
#include "tcache/tcache.h"

#include <string.h>

#include "arena/arena.h"
#include "arena/pool.h"
#include "base/fatal.h"
#include "base/options.h"
#include "base/os.h"
#include "base/print.h"
#include "tcache/threads.h"

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
/* Objects in A of a thread that watches: at ten calls a second they last for two seconds. Above MAGAZINE_SMALL_OBJECTS. */
#define WATCHED_MOST 16
/* Calls of a watching or parked thread that are so far apart are rare; after so many in a row that were not, it parks no more. */
#define RARE_MS 8
#define RAPID_CALLS 16
/* Of the magazines that go to a depot whole, some one in so many is checked pointer by pointer: those of two slow events in
 * 512. */
#define VERIFY_EVERY 256

void *const ash_magazine_none[MAGAZINE_SMALL_BYTES / sizeof(void *)]
	__attribute__((aligned(MAGAZINE_SMALL_BYTES))) = {NULL, MAGAZINE_END};
#define NONE ((void **)ash_magazine_none)

uint8_t ash_tcache_most = SIZE_CLASS_COUNT - 1;

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

static bool is_none(void **head)
{
	return head == NONE;
}

/* ---- one thread's magazines */

static size_t thread_allowance(void)
{
	size_t live = load_relaxed(&ash_pool.live) << GRANULE_SHIFT, owned = ash_threads_owned();
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

/* Objects leave A unused, or F for their slabs. */
static void count_drop(struct tcache *tc, unsigned cls)
{
	if (!is_none(tc->a[cls]))
		tc->filled -= tcache_head_bytes(tc, cls, tc->a[cls]);
	if (!is_none(tc->f[cls]))
		tc->emptied += tcache_head_bytes(tc, cls, tc->f[cls]);
}

/* Both magazines of the class are flushed and given up. */
static void class_drop(struct tcache *tc, unsigned cls)
{
	bool large = tc->large[cls];

	count_drop(tc, cls);
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

	if (++tc->hot[cls] < HOT || cls > tc->most)
		return false;
	tc->hot[cls] = 0;
	if (tc->parking == TCACHE_PARKS || tc->large_bytes + pair_bytes(cls) > thread_allowance())
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

/* A slow path begins to work with tc: from now on no one borrows it. True when someone had (then it is back, with fewer
 * objects) or when it watches or parks. The order (events odd, then a look at borrowed) meets the borrower's (borrowed, barrier, a look at events). */
static inline bool tcache_enter(struct tcache *tc)
{
	tc->events++; /* one instruction, unlike a relaxed store of the sum */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (likely(!load_relaxed(&tc->attention)))
		return false;
	if (load_relaxed(&tc->borrowed))
		ash_threads_return(tc);
	return true;
}

static inline void tcache_leave(struct tcache *tc)
{
	__atomic_thread_fence(__ATOMIC_RELEASE);
	tc->events++;
}

static SLOW void periodic(struct tcache *tc);

/* The thread's next call finds no cache and takes the slow path, which looks at the clock (ash_tcache_unpark): that is how a
 * program that calls malloc ten times a second still gives memory back. Its magazines are small meanwhile. */
static inline void park(const struct tcache *tc)
{
	if (tc->parking == TCACHE_PARKS)
		store_relaxed(&ash_tcache, &ash_tcache_none);
}

static bool is_rare(struct tcache *tc, uint64_t now)
{
	bool rare = now - tc->called_at >= RARE_MS;

	tc->called_at = now;
	tc->rapid = rare ? 0 : tc->rapid + 1;
	return rare;
}

/* In a busy thread that is all: some 3 ns a magazine. (When it parked all the time: 2.7 times the CPU, workload survivors.) */
static void watch(struct tcache *tc)
{
	if (tc->parking == TCACHE_WATCHES && is_rare(tc, ash_os_now_ms()))
		tc->parking = TCACHE_PARKS;
}

/* What A has beyond `most` objects waits in F, or goes home: a watching thread's next slow path is never many calls away. */
static void keep_few(struct tcache *tc, unsigned cls, size_t most)
{
	void **a = tc->a[cls], **f = tc->f[cls], **base = magazine_base(a, tc->large[cls]);
	size_t n = is_none(a) ? 0 : (size_t)(a - base), more = n - most;

	if (n <= most)
		return;
	store_relaxed(&tc->a[cls], NONE);
	tc->filled -= more * ash_size_class[cls].size;
	if (!is_none(f) && f == magazine_base(f, tc->large[cls])) {
		memcpy(f + 1, base + 1, more * sizeof(*f));
		tc->f[cls] = f + more;
		tc->emptied -= more * ash_size_class[cls].size;
	} else {
		ash_bin_flush("malloc", base + 1, (unsigned)more);
	}
	memmove(base + 1, base + 1 + more, most * sizeof(*base));
	store_release(&tc->a[cls], base + most);
}

/* The end of a slow path that gave an object of the class to a thread whose cache watches or parks. */
static void attended_end(struct tcache *tc, unsigned cls)
{
	tcache_enter(tc);
	watch(tc);
	if (tc->parking != TCACHE_COUNTS)
		keep_few(tc, cls, WATCHED_MOST);
	tcache_leave(tc);
	park(tc);
}

/* After an exchange and a pop. */
static void count_exchange(struct tcache *tc, unsigned cls)
{
	tc->moved += tcache_head_bytes(tc, cls, tc->a[cls]) + ash_size_class[cls].size;
}

void ash_tcache_exchanged(struct tcache *tc, unsigned cls)
{
	count_exchange(tc, cls);
	attended_end(tc, cls);
}

void ash_tcache_counted(struct tcache *tc, bool counted)
{
	tc->counted = counted;
	if (tc->parking <= TCACHE_COUNTS)
		tc->parking = counted ? TCACHE_COUNTS : TCACHE_WORKS;
}

static inline bool tcache_is_due(const struct tcache *tc)
{
	return tc->events / 2 % EVENTS_PER_LOOK == 0;
}

/* At first what fills a cache line: one that two threads write to costs more than a malloc. */
static unsigned want_more(struct tcache *tc, unsigned cls, unsigned most)
{
	unsigned want = tc->want[cls] ? 2u * tc->want[cls] : line_objects(ash_size_class[cls].size);

	tc->want[cls] = (uint8_t)(want < most ? want : most);
	return tc->want[cls];
}

/* A has got a magazine that is not full: so many bytes less. */
static SLOW void count_partial(struct tcache *tc, const struct bin *bin, void **head)
{
	tc->filled -= (bin->magazine_objects - magazine_count(head, true)) * (uint64_t)ash_size_class[bin->cls].size;
}

/* The refills end what tcache_enter began. */
static void *refill_large(struct tcache *tc, unsigned cls)
{
	struct bin *bin = &arena_current()->bin[cls];
	void **empty = tc->a[cls], **head;

	OPAQUE(bin);
	if (unlikely(is_none(empty)))
		empty = ash_magazine_new(cls);
	if (unlikely(!empty)) {
		tcache_leave(tc);
		return NULL;
	}
	tc->a[cls] = NONE;
	head = ash_bin_exchange(bin, empty);
	if (!head)
		head = ash_bin_fill(bin, empty, want_more(tc, cls, ash_size_class[cls].magazine));
	if (unlikely(!head)) {
		tc->a[cls] = empty;
		tcache_leave(tc);
		return NULL;
	}
	tc->a[cls] = head - 1;
	tc->filled += bin->magazine_bytes;
	if (unlikely(head[1] != MAGAZINE_END))
		count_partial(tc, bin, head);
	tcache_leave(tc);
	return *head;
}

static void *refill_small(struct tcache *tc, unsigned cls)
{
	struct bin *bin = &arena_current()->bin[cls];
	/* One for the program, the rest for A. */
	void *few[1 + MAGAZINE_SMALL_OBJECTS];
	unsigned want = cls <= tc->most ? want_more(tc, cls, 1 + magazine_small_capacity(cls)) : 1;
	unsigned n = ash_bin_take(bin, few, want);

	tc->filled += (uint64_t)n * ash_size_class[cls].size;
	if (n > 1 && is_none(tc->a[cls])) {
		void **a = ash_magazine_new_small(cls);

		if (!a) {
			ash_bin_flush("malloc", few, n - 1);
			tc->filled -= (uint64_t)(n - 1) * ash_size_class[cls].size;
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
	void *p;

	if (class_heat(tc, cls)) {
		p = tcache_exchange_pop(tc, cls);
		if (!p)
			return refill_large(tc, cls);
		count_exchange(tc, cls);
	} else {
		p = refill_small(tc, cls);
	}
	tcache_leave(tc);
	return p;
}

/* Every 16th time, and when the cache was borrowed, watches or parks. Others may have worked with it: it may have what is wanted. */
static SLOW void *refill_attended(struct tcache *tc, unsigned cls)
{
	void *p;

	if (tcache_is_due(tc)) {
		periodic(tc);
		tcache_leave(tc);
		/* May make a thread, for which the C library allocates. */
		arena_event(true);
		tcache_enter(tc);
	}
	p = tcache_pop(tc, cls);
	if (!p) {
		p = tcache_exchange_pop(tc, cls);
		if (p)
			count_exchange(tc, cls);
	}
	if (p)
		tcache_leave(tc);
	else
		p = tc->large[cls] ? refill_large(tc, cls) : refill_young(tc, cls);
	if (tc->parking)
		attended_end(tc, cls);
	return p;
}

void *ash_tcache_refill(struct tcache *tc, unsigned cls)
{
	if (unlikely(tcache_enter(tc)) || unlikely(tcache_is_due(tc)))
		return refill_attended(tc, cls);
	return likely(tc->large[cls]) ? refill_large(tc, cls) : refill_young(tc, cls);
}

/* ---- overflow */

/* p is the first object on an empty F. Ends what tcache_enter began, as all overflows do. */
static inline void push_first(struct tcache *tc, unsigned cls, void **f, void *p)
{
	f[1] = p;
	tc->f[cls] = f + 1;
	tcache_leave(tc);
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

	OPAQUE(bin);
	if (unlikely(tc->events / 4 % VERIFY_EVERY == 0) && ash_options.check == CHECK_SAMPLED)
		ash_bin_verify(full + 1, bin->magazine_objects);
	tc->f[cls] = NONE;
	tc->emptied += bin->magazine_bytes;
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
	tc->emptied += (uint64_t)(head - full) * ash_size_class[cls].size;
	ash_bin_give_few(bin, full + 1, (unsigned)(head - full));
	push_first(tc, cls, full, p);
}

/* F has no magazine yet. */
static void overflow_none(struct tcache *tc, unsigned cls, void *p)
{
	void **f = cls > tc->most ? NULL : tc->large[cls] ? ash_magazine_new(cls) : ash_magazine_new_small(cls);

	if (f) {
		push_first(tc, cls, f, p);
		return;
	}
	tc->emptied += ash_size_class[cls].size;
	ash_bin_flush("free", &p, 1);
	tcache_leave(tc);
}

static SLOW void overflow_young(struct tcache *tc, unsigned cls, void *p)
{
	if (is_none(tc->f[cls])) {
		overflow_none(tc, cls, p);
	} else if (is_none(tc->a[cls]) && !tc->parking) {
		/* The thread has only freed so far: its full F waits as A. */
		tc->moved += tcache_head_bytes(tc, cls, tc->f[cls]);
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

/* As tcache_swap_push, for a cache that counts. */
static bool counted_swap_push(struct tcache *tc, unsigned cls, void *p)
{
	void **a = tc->a[cls], **f = tc->f[cls];

	if (tc->parking > TCACHE_COUNTS || *a || a[1] == MAGAZINE_END || is_none(f))
		return false;
	tc->moved += tcache_head_bytes(tc, cls, f);
	tc->a[cls] = f;
	a[1] = p;
	tc->f[cls] = a + 1;
	return true;
}

/* As refill_attended; F may have room. No thread is made in free: glibc calls it with its list of stacks locked. */
static SLOW void overflow_attended(struct tcache *tc, unsigned cls, void *p)
{
	watch(tc);
	if (tcache_is_due(tc)) {
		periodic(tc);
		arena_event(false);
	}
	if (tc->parking > TCACHE_COUNTS)
		keep_few(tc, cls, 0);
	if (tcache_push(tc, cls, p) || counted_swap_push(tc, cls, p))
		tcache_leave(tc);
	else
		overflow_young(tc, cls, p);
	park(tc);
}

void ash_tcache_overflow(struct tcache *tc, unsigned cls, void *p)
{
	if (unlikely(tcache_enter(tc)) || unlikely(tcache_is_due(tc)))
		overflow_attended(tc, cls, p);
	else if (likely(tc->large[cls] && !is_none(tc->f[cls]) && !is_none(tc->a[cls])))
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
		ash_threads_flush_orphans();
	}
	ash_arena_tick(now);
	if (!load_relaxed(&ash_arena_neglected)) {
		tc->parking = tc->counted ? TCACHE_COUNTS : TCACHE_WORKS;
	} else if (tc->parking <= TCACHE_COUNTS) {
		tc->parking = TCACHE_WATCHES;
		tc->called_at = now;
		for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
			keep_few(tc, cls, 0);
	}
}

bool ash_tcache_unpark(struct tcache *tc)
{
	if (!is_rare(tc, ash_os_now_ms())) {
		if (tc->rapid >= RAPID_CALLS)
			tc->parking = TCACHE_WATCHES;
		return false;
	}
	tcache_enter(tc);
	ash_tcache_flush(tc);
	periodic(tc);
	/* Where calls are rare, looking costs nothing: till all has gone. */
	if (tc->parking == TCACHE_WATCHES || ash_arena_has_backlog())
		tc->parking = TCACHE_PARKS;
	tcache_leave(tc);
	return tc->parking == TCACHE_PARKS;
}

void ash_tcache_flush(struct tcache *tc)
{
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
		class_drop(tc, cls);
}

void ash_tcache_limit(struct tcache *tc, unsigned cls)
{
	tcache_enter(tc);
	tc->most = (uint8_t)cls;
	while (++cls < SIZE_CLASS_COUNT)
		class_drop(tc, cls);
	tcache_leave(tc);
}

void ash_tcache_flush_own(struct tcache *tc)
{
	tcache_enter(tc);
	ash_tcache_flush(tc);
	tcache_leave(tc);
}

/* ---- borrowed */

/* The objects under the head, and the top one unless it is spared, go back to their slabs; their slots become NULL. The
 * heads stay as they are. */
static void head_hollow(void **head, bool large, bool spare_top)
{
	void *objects[MAGAZINE_COUNT];
	unsigned n = 0;

	if (is_none(head))
		return;
	for (void **slot = magazine_base(head, large) + 1; slot < head + !spare_top; slot++) {
		if (*slot)
			objects[n++] = *slot;
		store_relaxed(slot, NULL);
	}
	if (n)
		ash_bin_flush("free", objects, n);
}

/* The owner may be in the middle of one call: it has the top of A in hand, or, where A is empty, that of F. */
void ash_tcache_hollow(struct tcache *tc)
{
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		void **a = load_relaxed(&tc->a[cls]), **f = load_relaxed(&tc->f[cls]);

		/* It is exchanging them: both heads in one magazine, the other in its hands. */
		if (magazine_base(a, tc->large[cls]) == magazine_base(f, tc->large[cls]))
			continue;
		head_hollow(a, tc->large[cls], true);
		head_hollow(f, tc->large[cls], *a == NULL || ash_size_class[cls].size <= TCACHE_KEEPS_TOP);
	}
}

/* Closes the gaps; returns the head. */
static void **head_settle(void **head, bool large)
{
	void **base = magazine_base(head, large), **to = base;

	if (is_none(head))
		return head;
	for (void **slot = base + 1; slot <= head; slot++) {
		if (*slot)
			*++to = *slot;
	}
	return to;
}

void ash_tcache_settle(struct tcache *tc)
{
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		void **a = tc->a[cls], **f = tc->f[cls];

		tc->a[cls] = head_settle(a, tc->large[cls]);
		tc->f[cls] = head_settle(f, tc->large[cls]);
		tc->filled -= (uint64_t)(a - tc->a[cls]) * ash_size_class[cls].size;
		tc->emptied += (uint64_t)(f - tc->f[cls]) * ash_size_class[cls].size;
	}
}

/* ---- looking in from outside */

static size_t head_count(void **head, bool large)
{
	size_t n = 0;

	if (is_none(head))
		return 0;
	for (void **slot = magazine_base(head, large) + 1; slot <= head; slot++)
		n += load_relaxed(slot) != NULL;
	return n;
}

void ash_tcache_totals(const struct tcache *tc, uint64_t *popped, uint64_t *pushed)
{
	*popped = tc->moved + tc->filled;
	*pushed = tc->moved + tc->emptied;
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		if (!is_none(tc->a[cls]))
			*popped -= tcache_head_bytes(tc, cls, tc->a[cls]);
		if (!is_none(tc->f[cls]))
			*pushed += tcache_head_bytes(tc, cls, tc->f[cls]);
	}
}

void ash_tcache_count(const struct tcache *tc, size_t objects[SIZE_CLASS_COUNT])
{
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		bool large = load_relaxed(&tc->large[cls]);

		objects[cls] += head_count(load_relaxed(&tc->a[cls]), large);
		objects[cls] += head_count(load_relaxed(&tc->f[cls]), large);
	}
}

uint64_t ash_tcache_position(const struct tcache *tc, bool *holds)
{
	uint64_t position = 0;

	*holds = false;
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		void **a = load_relaxed(&tc->a[cls]), **f = load_relaxed(&tc->f[cls]);

		position = position * 31 + (uintptr_t)a * 7 + (uintptr_t)f;
		*holds |= load_relaxed(a) || load_relaxed(f);
	}
	return position;
}

/* Counts what is wrong with one side of a class. */
static int head_check(const struct tcache *tc, unsigned cls, void **head, const char *side)
{
	unsigned capacity = tc->large[cls] ? ash_size_class[cls].magazine : magazine_small_capacity(cls);
	void **base;

	if (is_none(head))
		return 0;
	base = magazine_base(head, tc->large[cls]);
	if (*base == NULL && base[capacity + 1] == MAGAZINE_END && (size_t)(head - base) <= capacity)
		return 0;
	ash_message("tcache %p: magazine %s of class %u is broken", (const void *)tc, side, cls);
	return 1;
}

int ash_tcache_check(const struct tcache *tc)
{
	int broken = 0;

	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		broken += head_check(tc, cls, tc->a[cls], "A");
		broken += head_check(tc, cls, tc->f[cls], "F");
	}
	return broken;
}

/* A thread that was exchanging A and F when the process was copied may have left
 * both heads in one magazine: F's share of it is lost, rather than owned twice. */
void ash_tcache_separate(struct tcache *tc)
{
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		bool large = tc->large[cls];

		if (!is_none(tc->f[cls]) && magazine_base(tc->a[cls], large) == magazine_base(tc->f[cls], large))
			tc->f[cls] = NONE;
	}
}
