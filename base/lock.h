/* SPDX-License-Identifier: MIT
 *
 * lock — a 4-byte futex lock with a rank.
 *
 * A thread takes locks in the order of their ranks, lowest first, never two of
 * one rank except by try_lock and in fork's prepare step. Builds with
 * -Dassertions=true check that with one thread-local word.
 *
 * Spins for a moment, then sleeps: a holder that was preempted is not raced.
 * A waiter that finds itself in a child process made without fork handlers
 * (_Fork, raw clone) calls the repair hook first: the holder is not there.
 */
#ifndef ASH_BASE_LOCK_H
#define ASH_BASE_LOCK_H

#include "base/atomic.h"
#include "base/compiler.h"
#include "base/fatal.h"

/* The order of all locks; docs/locking.md says what each protects. */
enum lock_rank {
	LOCK_INIT,     /* start-up, once */
	LOCK_CHECK,    /* check:full: objects in quarantine */
	LOCK_IDS,      /* ids of arenas and of thread caches made by hand */
	LOCK_MANUAL,   /* an arena made by hand: its slabs, objects and free memory */
	LOCK_EXPLICIT, /* a thread cache made by hand */
	LOCK_THREADS,  /* the list of thread caches */
	LOCK_ARENAS,   /* arenas coming into being */
	LOCK_REAP,     /* one reaper at a time */
	LOCK_TRIM,     /* one who gives pages of magazines back at a time */
	LOCK_BIN,      /* a bin: its slabs and depot */
	LOCK_PUNCH,    /* the queue of slabs with holes */
	LOCK_LARGE,    /* an arena's freed large objects */
	LOCK_POOL,     /* a pool: granules, descriptors */
	LOCK_PIECES,   /* descriptors and table of pieces */
	LOCK_META,     /* ashlar's own memory */
	LOCK_RANKS
};

struct lock {
	uint32_t word; /* atomic: 0 free, 1 held, 2 held with sleepers */
	uint32_t rank; /* const: enum lock_rank */
};

#define LOCK_INITIALIZER(r) \
	{ \
		.word = 0, .rank = (r) \
	}

void ash_lock_wait(struct lock *lock);
void ash_lock_wake(struct lock *lock);

/* Builds with assertions: notes and checks what this thread holds. */
void ash_lock_note(const struct lock *lock, bool tried);
void ash_lock_forget(const struct lock *lock);

/* Called by a waiter in a child whose memory is a copy: repairs what the
 * threads that are not there had under way. Set once, by alloc. */
HIDDEN extern void (*ash_lock_repair)(const struct lock *waited_for);
/* Start-up and the fork handler in the child: this process is known. */
void ash_lock_process_known(void);
/* Start-up: whether the C library tells that there is one thread. */
void ash_lock_init(void);

/* Locks that this thread holds or is about to. A signal handler that interrupts
 * it there and forks must not wait for them: its own thread would have to go on. */
HIDDEN extern __thread unsigned ash_locks_held __attribute__((tls_model("initial-exec")));

/* glibc's __libc_single_threaded (2.32): not 0 while the process has had this thread alone; elsewhere a 0. pthread_create clears it. */
HIDDEN extern const char *ash_lock_alone;

/* An atomic instruction waits until all stores before it have left the CPU, the program's into memory that is in no cache among
 * them: without other threads it is the dearest part of many a slow path. */
FAST bool lock_grab(struct lock *lock)
{
	uint32_t expected = 0;

	if (!*ash_lock_alone)
		return __atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE,
						   __ATOMIC_RELAXED);
	if (load_relaxed(&lock->word))
		return false;
	store_relaxed(&lock->word, 1);
	__atomic_signal_fence(__ATOMIC_ACQUIRE);
	return true;
}

/* True when somebody sleeps. */
FAST bool lock_release(struct lock *lock)
{
	if (!*ash_lock_alone)
		return __atomic_exchange_n(&lock->word, 0, __ATOMIC_RELEASE) == 2;
	store_release(&lock->word, 0);
	return false;
}

/* Adds to a number that other threads may change meanwhile. */
#define add_shared(p, v) \
	(*ash_lock_alone ? (void)store_relaxed((p), load_relaxed(p) + (v)) : (void)add_relaxed((p), (v)))

FAST bool lock_try(struct lock *lock)
{
	ash_locks_held++;
	if (!lock_grab(lock)) {
		ash_locks_held--;
		return false;
	}
	if (ASHLAR_ASSERTIONS)
		ash_lock_note(lock, true);
	return true;
}

FAST void lock_take(struct lock *lock)
{
	ash_locks_held++;
	if (unlikely(!lock_grab(lock)))
		ash_lock_wait(lock);
	if (ASHLAR_ASSERTIONS)
		ash_lock_note(lock, false);
}

FAST void lock_give(struct lock *lock)
{
	if (ASHLAR_ASSERTIONS)
		ash_lock_forget(lock);
	if (unlikely(lock_release(lock)))
		ash_lock_wake(lock);
	ash_locks_held--;
}

/* fork takes and gives all locks of a rank: outside the rule. */
static inline void lock_take_for_fork(struct lock *lock)
{
	if (!lock_grab(lock))
		ash_lock_wait(lock);
}

static inline void lock_give_for_fork(struct lock *lock)
{
	if (lock_release(lock))
		ash_lock_wake(lock);
}

static inline bool lock_is_held(const struct lock *lock)
{
	return load_relaxed(&lock->word) != 0;
}

static inline void lock_init(struct lock *lock, enum lock_rank rank)
{
	lock->rank = rank;
	store_relaxed(&lock->word, 0);
}

#endif
