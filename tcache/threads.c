/* SPDX-License-Identifier: MIT */
#include "tcache/threads.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "arena/arena.h"
#include "arena/manual.h"
#include "arena/self.h"
#include "base/meta.h"
#include "base/os.h"

/* Rounds of destructors in which others may still want the cache (glibc runs 4 in all). */
#define EXIT_ROUNDS 3
/* Some 20 us each under the lock. */
#define BORROWED_MOST 16

__thread struct tcache *ash_tcache = &ash_tcache_none;
static __thread struct tcache *own; /* owner: the thread's cache, also while it is borrowed */

static struct {
	struct lock lock;
	struct tcache *all;     /* lock; atomic: release by attach, for racy readers */
	struct tcache *orphans; /* lock, racy readers: of ended threads, with contents */
	struct tcache *idle;    /* lock, racy readers: the same, emptied */
	unsigned owned;         /* lock, racy readers: threads that have one */
	unsigned ended;         /* lock, racy readers: caches that became orphans so far */
	bool on;                /* const after the constructor */
	pthread_key_t key;      /* const after start-up */
} threads = {.lock = LOCK_INITIALIZER(LOCK_THREADS)};

unsigned ash_threads_owned(void)
{
	return load_relaxed(&threads.owned);
}

bool ash_threads_have_orphans(void)
{
	return load_relaxed(&threads.orphans) != NULL;
}

/* ---- they come and go */

/* A thread that only frees gets a cache after so many: at the end of a thread, after its destructors, the C library frees
 * what it kept for it, and a cache made there would never be given up. */
#define FREES_WITHOUT 64

bool ash_threads_frees_without(void)
{
	return !own && ash_self.frees < FREES_WITHOUT && ++ash_self.frees;
}

/* Lock held. */
static void orphan(struct tcache *tc)
{
	tc->state = TCACHE_ORPHAN;
	tc->link = threads.orphans;
	store_relaxed(&threads.orphans, tc);
	count_sub(&threads.owned, 1);
	count_add(&threads.ended, 1);
}

void ash_threads_totals(uint64_t *popped, uint64_t *pushed)
{
	*popped = *pushed = 0;
	if (!own)
		return;
	/* Whole first. */
	if (load_relaxed(&own->borrowed))
		ash_threads_return(own);
	ash_tcache_totals(own, popped, pushed);
	if (!own->counted)
		ash_tcache_counted(own, true);
	*popped -= own->popped_base;
	*pushed -= own->pushed_base;
}

/* What the thread has counted in its cache stays counted. */
static void keep_totals(void)
{
	uint64_t popped, pushed;

	if (ash_self.counts)
		return;
	ash_threads_totals(&popped, &pushed);
	ash_self.allocated += popped;
	ash_self.deallocated += pushed;
}

/* The thread will have no cache any more. */
static void give_up(struct tcache *tc)
{
	ash_self.exit_rounds = EXIT_ROUNDS;
	store_relaxed(&ash_tcache, &ash_tcache_none);
	keep_totals();
	own = NULL;
	tc->apart = false;
	ash_tcache_counted(tc, false);
	lock_take(&threads.lock);
	orphan(tc);
	lock_give(&threads.lock);
}

void ash_threads_do_without(void)
{
	ash_self.exit_rounds = EXIT_ROUNDS;
}

/* What is set for a thread without a cache. */
#define WITHOUT ((void *)&ash_tcache_none)

static void thread_exit(void *arg)
{
	/* Other keys' destructors of this and the next rounds still find a cache. */
	if (++ash_self.exit_rounds < EXIT_ROUNDS && pthread_setspecific(threads.key, arg) == 0)
		return;
	ash_thread_ends();
	if (own)
		give_up(own);
	arena_event(false);
}

bool ash_threads_notice_end(void)
{
	int saved = errno;
	bool noticed = own || ash_self.exit_rounds || pthread_setspecific(threads.key, WITHOUT) == 0;

	errno = saved;
	return noticed;
}

bool ash_threads_init(void)
{
	return pthread_key_create(&threads.key, thread_exit) == 0;
}

void ash_threads_enable(bool on)
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
		store_relaxed(&threads.orphans, tc->link);
		return tc;
	}
	tc = threads.idle;
	if (tc)
		store_relaxed(&threads.idle, tc->link);
	return tc;
}

/* Lock held: the cache is whole, and at home in this thread. */
static void come_home(struct tcache *tc)
{
	if (tc->borrowed) {
		ash_tcache_settle(tc);
		tc->borrowed = false;
	}
	tc->home = &ash_tcache;
	tc->thread = ash_os_thread_id();
	if (!tc->apart)
		store_relaxed(&ash_tcache, tc);
}

void ash_threads_return(struct tcache *tc)
{
	lock_take(&threads.lock);
	come_home(tc);
	lock_give(&threads.lock);
}

struct tcache *ash_threads_attach(void)
{
	struct tcache *tc, *fresh = NULL;
	int saved = errno;

	if (ash_self.no_tcache || ash_self.by_hand)
		return NULL;
	if (own) {
		if (load_relaxed(&own->borrowed))
			ash_threads_return(own);
		else if ((own->parking != TCACHE_PARKS || !ash_tcache_unpark(own)) && !own->apart)
			store_relaxed(&ash_tcache, own);
		return own;
	}
	if (!threads.on || ash_self.exit_rounds == EXIT_ROUNDS)
		return NULL;
	if (!load_relaxed(&threads.orphans) && !load_relaxed(&threads.idle)) {
		fresh = tcache_new();
		if (!fresh)
			return NULL;
	}
	lock_take(&threads.lock);
	tc = fresh ? fresh : orphan_take();
	if (tc)
		tc->events &= ~1u; /* its thread may have been cancelled in a slow path */
	if (fresh) {
		tc->next = threads.all;
		store_release(&threads.all, tc);
	}
	if (tc) {
		tc->state = TCACHE_OWNED;
		tc->most = ash_tcache_most;
		count_add(&threads.owned, 1);
		/* First the pointers: pthread_setspecific may allocate. */
		tc->apart = ash_self.counts;
		own = tc;
		come_home(tc);
		ash_tcache_totals(tc, &tc->popped_base, &tc->pushed_base);
	}
	lock_give(&threads.lock);
	/* Without notice of its end no thread may hold a cache. */
	if (tc && pthread_setspecific(threads.key, tc) != 0) {
		give_up(tc);
		tc = NULL;
	}
	errno = saved;
	return tc;
}

unsigned ash_threads_most(void)
{
	struct tcache *tc = ash_threads_attach();

	return tc ? tc->most : 0;
}

void ash_threads_limit(unsigned cls)
{
	struct tcache *tc = ash_threads_attach();

	if (tc)
		ash_tcache_limit(tc, cls);
}

void ash_threads_apart(bool apart)
{
	if (!own)
		return;
	own->apart = apart;
	if (apart)
		store_relaxed(&ash_tcache, &ash_tcache_none);
}

void ash_threads_set_aside(void)
{
	if (!own)
		return;
	/* Out of borrowers' hands first. */
	if (load_relaxed(&own->borrowed))
		ash_threads_return(own);
	ash_tcache_flush_own(own);
	store_relaxed(&ash_tcache, &ash_tcache_none);
}

void ash_threads_flush_orphans(void)
{
	struct tcache *tc;

	while (load_relaxed(&threads.orphans)) {
		lock_take(&threads.lock);
		tc = threads.orphans;
		if (tc)
			store_relaxed(&threads.orphans, tc->link);
		lock_give(&threads.lock);
		if (!tc)
			break;
		ash_tcache_settle(tc);
		ash_tcache_flush(tc);
		lock_take(&threads.lock);
		tc->state = TCACHE_IDLE;
		tc->borrowed = false;
		tc->link = threads.idle;
		store_relaxed(&threads.idle, tc);
		lock_give(&threads.lock);
	}
}

void ash_threads_flush_old_orphans(unsigned *ended)
{
	unsigned now = load_relaxed(&threads.ended);

	if (now == *ended)
		ash_threads_flush_orphans();
	*ended = now;
}

/* ---- borrowing from others */

/* Lock held: true when its thread has ended without destructors (a raw exit, a child without fork handlers): its home is
 * not there either. Then it becomes an orphan. */
static bool is_widowed(struct tcache *tc)
{
	if (ash_os_thread_lives(tc->thread))
		return false;
	orphan(tc);
	return true;
}

/* Lock held: takes caches out of the hands of their threads, from *next on, at most so many; returns them, linked. */
static struct tcache *borrow(struct tcache **next, unsigned most, bool all, bool *restless)
{
	struct tcache *borrowed = NULL, *tc;

	for (tc = *next; tc && most; tc = tc->next) {
		uint64_t position;
		bool holds, rests;

		if (tc->state != TCACHE_OWNED || tc == own || tc->borrowed || is_widowed(tc))
			continue;
		position = ash_tcache_position(tc, &holds);
		rests = position == tc->resting;
		tc->resting = position;
		*restless |= holds && !rests;
		if (!holds || !(all || rests))
			continue;
		store_relaxed(tc->home, &ash_tcache_none);
		store_relaxed(&tc->borrowed, true);
		tc->link = borrowed;
		borrowed = tc;
		most--;
	}
	*next = tc;
	return borrowed;
}

/* Lock held. Whoever began a call after the barrier found no cache; whoever was in a call then has one head in hand, or is
 * in a slow path; whoever waits for the system now is in no call at all. */
static void empty(struct tcache *tc)
{
	if (load_acquire(&tc->events) % 2)
		return;
	if (ash_os_thread_waits(tc->thread))
		ash_tcache_flush(tc);
	else if (ORDERED_STORES)
		ash_tcache_hollow(tc);
}

static void give_back_unused(struct tcache *tc)
{
	store_relaxed(&tc->borrowed, false);
	if (!tc->apart)
		store_relaxed(tc->home, tc);
}

bool ash_threads_trim(bool all)
{
	struct tcache *next = load_acquire(&threads.all);
	bool restless = false;

	/* A few at a time: a new thread waits for the lock meanwhile. */
	while (next) {
		struct tcache *tc, *link;
		bool known;

		lock_take(&threads.lock);
		tc = borrow(&next, BORROWED_MOST, all, &restless);
		known = tc && ash_os_barrier_all_threads();
		for (; tc; tc = link) {
			link = tc->link;
			if (known)
				empty(tc);
			else
				give_back_unused(tc);
		}
		lock_give(&threads.lock);
	}
	return restless;
}

void ash_threads_empty_all(void)
{
	if (own)
		ash_tcache_flush_own(own);
	ash_threads_flush_orphans();
	ash_threads_trim(true);
}

/* ---- fork */

void ash_threads_fork_prepare(void)
{
	lock_take_for_fork(&threads.lock);
}

static void inherit_from_others(void)
{
	threads.owned = 0;
	for (struct tcache *tc = threads.all; tc; tc = tc->next) {
		if (tc->state != TCACHE_OWNED)
			continue;
		if (tc == own) {
			tc->thread = ash_os_thread_id();
			threads.owned++;
			continue;
		}
		ash_tcache_separate(tc);
		tc->state = TCACHE_ORPHAN;
		tc->events &= ~1u;
		tc->link = threads.orphans;
		threads.orphans = tc;
	}
}

void ash_threads_fork_done(bool child)
{
	if (child)
		inherit_from_others();
	lock_give_for_fork(&threads.lock);
}

void ash_threads_repair(void)
{
	lock_init(&threads.lock, LOCK_THREADS);
}

/* ---- looking in from outside */

unsigned ash_threads_count(size_t objects[SIZE_CLASS_COUNT])
{
	for (struct tcache *tc = load_acquire(&threads.all); tc; tc = tc->next)
		ash_tcache_count(tc, objects);
	return load_relaxed(&threads.owned);
}

int ash_threads_check(void)
{
	int broken = 0;

	lock_take(&threads.lock);
	for (struct tcache *tc = threads.all; tc; tc = tc->next)
		broken += ash_tcache_check(tc);
	lock_give(&threads.lock);
	return broken;
}
