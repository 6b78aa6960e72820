/* SPDX-License-Identifier: MIT */
#include "base/lock.h"

#include "base/options.h"
#include "base/os.h"

/* For mutex_max_spin:-1; its default is about the length of the longest critical section in a bin (some 400 instructions). */
#define SPINS_MOST ((uint64_t)1 << 20)

void (*ash_lock_repair)(const struct lock *waited_for);

__thread unsigned ash_locks_held;

extern char __libc_single_threaded __attribute__((weak));
static const char never;
const char *ash_lock_alone = &never;

static uint32_t *process_mark;
static uint32_t repairing;

#if ASHLAR_ASSERTIONS
static __thread uint32_t held; /* owner: one bit a rank */
#endif

static inline void pause_cpu(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* In a child that no fork handler ran in: exactly one thread repairs. */
static void repair_if_orphaned(const struct lock *lock)
{
	uint32_t expected = 0;

	if (!process_mark || load_acquire(process_mark) || !ash_lock_repair)
		return;
	if (!__atomic_compare_exchange_n(&repairing, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	if (!load_acquire(process_mark))
		ash_lock_repair(lock);
	store_release(&repairing, 0);
}

void ash_lock_wait(struct lock *lock)
{
	uint64_t spins = (uint64_t)ash_options.mutex_max_spin;
	uint32_t expected;

	for (uint64_t i = 0; i < spins && i < SPINS_MOST; i++) {
		pause_cpu();
		expected = 0;
		if (!load_relaxed(&lock->word) &&
		    __atomic_compare_exchange_n(&lock->word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return;
	}
	repair_if_orphaned(lock);
	while (__atomic_exchange_n(&lock->word, 2, __ATOMIC_ACQUIRE) != 0)
		ash_os_futex_wait(&lock->word, 2);
}

void ash_lock_wake(struct lock *lock)
{
	ash_os_futex_wake(&lock->word, 1);
}

void ash_lock_init(void)
{
	if (&__libc_single_threaded)
		ash_lock_alone = &__libc_single_threaded;
}

void ash_lock_process_known(void)
{
	if (!process_mark)
		process_mark = ash_os_wiped_in_child();
	else
		store_release(process_mark, 1);
}

void ash_lock_note(const struct lock *lock, bool tried)
{
#if ASHLAR_ASSERTIONS
	CHECK(tried || !(held >> lock->rank));
	held |= 1u << lock->rank;
#endif
}

void ash_lock_forget(const struct lock *lock)
{
#if ASHLAR_ASSERTIONS
	held &= ~(1u << lock->rank);
#endif
}
