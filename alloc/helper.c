/* SPDX-License-Identifier: MIT
 *
 *             consider            a slow path of malloc
 *   NONE  ---------------> WANTED -----------------------> AWAKE <--+
 *    ^                        ^                              |      | a slow path,
 *    | the last thread        | a minute                     |      | with a backlog
 *    | but one ended          |                              v      |
 *    +------------------------+---------------------------ASLEEP ---+
 */
#include "alloc/helper.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>

#include "alloc/extended.h"
#include "arena/arena.h"
#include "arena/pool.h"
#include "arena/self.h"
#include "base/options.h"
#include "base/os.h"
#include "tcache/threads.h"

#define NAP_MS 50
/* Naps between looks at the caches of others: what has not moved from one to the next goes back. */
#define TRIM_NAPS 10
/* Naps without a backlog before it sleeps: two looks, and longer where threads that hold caches were at work in between. */
#define QUIET_NAPS (2 * TRIM_NAPS + 1)
#define RESTLESS_NAPS 60
#define SLEEP_MS 60000
/* Who turns background_thread off waits for the helper's end as long as this. */
#define DISMISSAL_MS 500
/* A heap worth having a helper for: what is in use today may be free tomorrow. */
#define LIVE_LEAST MIB_GRANULES
/* Deep enough for one batch of work; the C library's thread-local storage comes on top. */
#define STACK_BYTES ((size_t)64 << 10)
#define STACK_BYTES_MOST ((size_t)4 << 20)

enum { NONE, WANTED, AWAKE, ASLEEP };

static uint32_t state; /* atomic; futex */

static bool dismissed; /* atomic: background_thread was turned off */

/* The helper alone writes them; atomic. */
static uint64_t runs, runs_began_ms, ran_at_ms;

static bool state_change(uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(&state, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static bool has_backlog(void)
{
	return ash_arena_has_backlog() || ash_threads_have_orphans();
}

static bool process_has_threads(void)
{
	return ash_options.background_thread || ash_threads_owned() >= 2;
}

/* ---- the thread */

static void count_run(void)
{
	store_relaxed(&ran_at_ms, ash_os_now_ms());
	if (!runs)
		store_relaxed(&runs_began_ms, ran_at_ms);
	store_relaxed(&runs, runs + 1);
}

/* True when there will be more to do soon. */
static bool work(unsigned *naps)
{
	static bool restless;
	static unsigned ended;

	count_run();
	ash_threads_flush_old_orphans(&ended);
	if (++*naps % TRIM_NAPS == 0)
		restless = ash_threads_trim(false);
	return ash_arena_tend() || ash_threads_have_orphans() || (restless && *naps < RESTLESS_NAPS);
}

/* Until a slow path wakes it; false: it is no longer needed. */
static bool sleep_deeply(void)
{
	if (!state_change(AWAKE, ASLEEP))
		return true;
	ash_arena_tended(false);
	__atomic_store_n(&ash_arena_asleep, true, __ATOMIC_SEQ_CST);
	/* Who left something between our last look and this did not see us asleep. */
	if (process_has_threads() && has_backlog() && state_change(ASLEEP, AWAKE)) {
		store_relaxed(&ash_arena_asleep, false);
		return true;
	}
	while (load_acquire(&state) == ASLEEP) {
		bool lonely = !process_has_threads();

		if (!lonely && ash_os_futex_wait_for(&state, ASLEEP, SLEEP_MS))
			continue;
		if (lonely) {
			/* Slow paths have nobody to wake; unless a thread came just now. */
			store_relaxed(&ash_arena_asleep, false);
			if (state_change(ASLEEP, NONE)) {
				ash_helper_consider();
				return false;
			}
		} else if (!ash_options.background_thread && state_change(ASLEEP, WANTED)) {
			/* A waker that was slow may have taken it back. */
			store_relaxed(&ash_arena_asleep, true);
			return false;
		}
	}
	return true;
}

static void *helper(void *unused)
{
	unsigned quiet = 0, naps = 0, lonely = 0;

	ash_os_name_thread("ashlar-helper");
	/* The C library frees what it keeps for a thread when that ends. */
	ash_threads_do_without();
	for (;;) {
		ash_arena_tended(true);
		ash_os_futex_wait_for(&state, AWAKE, NAP_MS);
		/* In a process of one thread slow paths take over, whatever there is to do. */
		lonely = process_has_threads() ? 0 : load_relaxed(&dismissed) ? QUIET_NAPS : lonely + 1;
		quiet = work(&naps) ? 0 : quiet + 1;
		if (quiet < QUIET_NAPS && lonely < QUIET_NAPS)
			continue;
		ash_arena_trim_metadata();
		if (!sleep_deeply())
			return NULL;
		quiet = naps = lonely = 0;
	}
}

static bool thread_make(size_t stack)
{
	pthread_attr_t attr;
	pthread_t thread;
	bool made;

	if (pthread_attr_init(&attr) != 0)
		return false;
	made = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0 &&
	       pthread_attr_setstacksize(&attr, stack) == 0 && pthread_create(&thread, &attr, helper, NULL) == 0;
	pthread_attr_destroy(&attr);
	return made;
}

/* What the C library allocates for our thread is not the calling thread's doing. */
static void uncount(uint64_t allocated, uint64_t deallocated)
{
	uint64_t allocated_now, deallocated_now;

	ash_thread_counts(&allocated_now, &deallocated_now);
	ash_self.allocated -= allocated_now - allocated;
	ash_self.deallocated -= deallocated_now - deallocated;
}

/* With all signals blocked: the program's handlers run in its own threads. */
static bool helper_make(void)
{
	size_t stack = STACK_BYTES;
	uint64_t allocated, deallocated;
	sigset_t all, before;
	int saved = errno;
	bool made;

	ash_thread_counts(&allocated, &deallocated);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* Refused where the thread-local storage of all libraries does not fit. */
	while (!(made = thread_make(stack)) && stack < STACK_BYTES_MOST)
		stack *= 4;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	uncount(allocated, deallocated);
	errno = saved;
	return made;
}

/* ---- slow paths */

static void begin(void)
{
	if (!state_change(WANTED, AWAKE))
		return;
	store_relaxed(&ash_arena_asleep, false);
	/* Without one, slow paths do its work, until another thread comes and it is tried again. */
	if (!helper_make())
		store_release(&state, NONE);
}

static void wake(bool safe)
{
	uint32_t now = load_acquire(&state);

	if (now == WANTED) {
		if (safe && process_has_threads() && (has_backlog() || load_relaxed(&ash_pool.live) >= LIVE_LEAST))
			begin();
	} else if (now == ASLEEP && has_backlog() && state_change(ASLEEP, AWAKE)) {
		store_relaxed(&ash_arena_asleep, false);
		ash_os_futex_wake(&state, 1);
	}
}

void ash_helper_consider(void)
{
	if (!ash_options.helper_thread && !ash_options.background_thread)
		return;
	if (load_relaxed(&state) == NONE && process_has_threads() && state_change(NONE, WANTED))
		store_relaxed(&ash_arena_asleep, true);
}

void ash_helper_init(void)
{
	ash_arena_wake = wake;
	store_relaxed(&ash_arena_asleep, false);
	ash_arena_tended(false);
	store_release(&state, NONE);
	ash_helper_consider();
}

static bool is_there(void)
{
	uint32_t now = load_acquire(&state);

	return now == AWAKE || now == ASLEEP;
}

void ash_helper_count(struct helper_runs *out)
{
	out->threads = is_there();
	out->runs = load_relaxed(&runs);
	out->elapsed_ms = load_relaxed(&ran_at_ms) - load_relaxed(&runs_began_ms);
}

bool ash_helper_want(bool on)
{
	uint64_t until = ash_os_now_ms() + DISMISSAL_MS;

	store_relaxed(&ash_options.background_thread, on);
	store_relaxed(&dismissed, !on);
	if (on) {
		ash_helper_consider();
		begin();
		return is_there();
	}
	while (is_there() && !process_has_threads() && ash_os_now_ms() < until) {
		ash_os_futex_wake(&state, 1);
		ash_os_yield();
	}
	return true;
}
