/* SPDX-License-Identifier: MIT
 *
 * threads — whose tcache is whose: threads come, end, rest, fork.
 *
 * The cache of a thread that ended waits, with its contents, for the next new
 * thread, or for someone who flushes it. The cache of a thread that rests is
 * *borrowed*: its thread's pointer is turned to the empty cache, and a barrier
 * of all threads follows. A thread that waits in a system call then is in no
 * call of ours: all its objects go back to their slabs. One that does not may be
 * in the middle of a call, which uses one top object at most: all others go back.
 * (In a slow path, which is marked, it is left alone.) Its next call finds no
 * cache, takes the slow path and brings its own home again.
 *
 * Takes threads' lock (rank THREADS) and, flushing, those of bins and pool.
 */
#ifndef ASH_TCACHE_THREADS_H
#define ASH_TCACHE_THREADS_H

#include "tcache/tcache.h"

/* Start-up, once: how a thread's end is noticed. False: threads get no caches. */
bool ash_threads_init(void);

/* Threads get caches from now on, or not. Start-up. */
void ash_threads_enable(bool on);

/* Gives this thread a cache: its own that was borrowed, an orphan's with its
 * contents, or a new one. NULL when it cannot have one: caches are off, the
 * thread is ending, memory is out. */
struct tcache *ash_threads_attach(void);

/* The largest class that this thread's cache holds, 0 where it has none; and another one from now on. */
unsigned ash_threads_most(void);
void ash_threads_limit(unsigned cls);

/* This thread never gets a cache. */
void ash_threads_do_without(void);

/* Usable bytes that this thread has got from its cache and given to it so far (see ash_tcache_totals), which is counted from
 * now on. */
void ash_threads_totals(uint64_t *popped, uint64_t *pushed);

/* From now on each call of this thread takes the slow path, which works with its cache as ever; or no more. */
void ash_threads_apart(bool apart);

/* What this thread's cache holds goes home, and it stays without one while ash_self says so. */
void ash_threads_set_aside(void);

/* This thread's end will be noticed. False: nobody can say. */
bool ash_threads_notice_end(void);

/* True when a thread without a cache should do this free without one. */
bool ash_threads_frees_without(void);

/* This thread's cache is its own again: borrowers are done with it. */
void ash_threads_return(struct tcache *tc);

/* Threads that have a cache; caches of ended threads that hold objects. Racy. */
unsigned ash_threads_owned(void);
bool ash_threads_have_orphans(void);

/* Empties the caches of threads that have ended. */
void ash_threads_flush_orphans(void);

/* The same when no thread has ended since the last call, which *ended remembers:
 * where threads come and go the next one takes the cache as it is. */
void ash_threads_flush_old_orphans(unsigned *ended);

/* Empties, but for the top objects, the caches of other threads that have not
 * used them since the last call (all: whatever they do). True when others hold
 * objects and were at work. Does nothing where the kernel has no membarrier
 * (before 4.14, some sandboxes). */
bool ash_threads_trim(bool all);

/* Empties this thread's cache, those of ended threads, and as far as can be
 * those of all others. */
void ash_threads_empty_all(void);

/* fork: the list stays locked; in the child the caches of the threads that are
 * not there become orphans. */
void ash_threads_fork_prepare(void);
void ash_threads_fork_done(bool child);

/* Child without fork handlers: frees the list's lock. */
void ash_threads_repair(void);

/* Racy walk of all tcaches for statistics: free objects held, by class, and threads. */
unsigned ash_threads_count(size_t objects[SIZE_CLASS_COUNT]);

/* Number of broken invariants, each told. Other threads are not in the library. */
int ash_threads_check(void);

#endif
