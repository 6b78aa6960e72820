/* SPDX-License-Identifier: MIT */
#include "alloc/fork.h"

#include <pthread.h>

#include "alloc/checked.h"
#include "alloc/helper.h"
#include "alloc/snapshot.h"
#include "arena/arena.h"
#include "arena/manual.h"
#include "arena/piece.h"
#include "arena/self.h"
#include "base/lock.h"
#include "base/meta.h"
#include "tcache/explicit.h"
#include "tcache/threads.h"

/* In the order of the ranks (base/lock.h). When this thread forks from a signal handler that interrupted it with a lock held,
 * none is taken: the child goes on where the handler was called, and what other threads had begun is repaired when someone
 * waits for it. */
static void prepare(void)
{
	if (ash_locks_held) {
		ash_self.forks++;
		return;
	}
	ash_locks_held++;
	ash_checked_fork_prepare();
	ash_manual_fork_prepare();
	ash_explicit_fork_prepare();
	ash_threads_fork_prepare();
	ash_arena_fork_prepare();
	ash_piece_fork_prepare();
	ash_meta_fork_prepare();
}

static void done(bool child)
{
	ash_meta_fork_done();
	ash_piece_fork_done();
	ash_arena_fork_done();
	ash_threads_fork_done(child);
	ash_explicit_fork_done();
	ash_manual_fork_done(child);
	ash_checked_fork_done();
	ash_locks_held--;
}

/* True when this fork took no locks. */
static bool was_interrupted(void)
{
	if (!ash_self.forks)
		return false;
	ash_self.forks--;
	return true;
}

static void in_parent(void)
{
	if (!was_interrupted())
		done(false);
}

static void in_child(void)
{
	if (was_interrupted()) {
		ash_helper_init();
		return;
	}
	ash_lock_process_known();
	done(true);
	ash_snapshot_in_child();
	ash_helper_init();
}

/* Only this thread is here. Metadata first: whoever waits for that lock may hold
 * others, which are its own and not torn. */
static void repair(const struct lock *waited_for)
{
	ash_meta_repair();
	ash_magazine_repair();
	if (waited_for->rank == LOCK_META)
		return;
	ash_piece_repair();
	ash_arena_repair();
	ash_threads_repair();
	ash_explicit_repair();
	ash_manual_repair();
	ash_checked_repair();
	ash_lock_process_known();
}

void ash_fork_init(void)
{
	ash_lock_repair = repair;
}

void ash_fork_register(void)
{
	static bool registered;

	if (!registered)
		registered = pthread_atfork(prepare, in_parent, in_child) == 0;
}
