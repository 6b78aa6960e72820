/* SPDX-License-Identifier: MIT
 *
 * atomic — loads and stores of ordinary fields, named by their order.
 *
 * Fields stay plain in their structs; an access that other threads may race
 * with goes through here, and its comment names the partner.
 */
#ifndef ASH_BASE_ATOMIC_H
#define ASH_BASE_ATOMIC_H

#define load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define sub_relaxed(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)

/* A counter with one writer at a time (its lock holder) and racy readers. */
#define count_add(p, v) store_relaxed((p), load_relaxed(p) + (v))
#define count_sub(p, v) store_relaxed((p), load_relaxed(p) - (v))

#endif
