/* SPDX-License-Identifier: MIT
 *
 * tcache — a thread's private cache of free small objects.
 *
 * For each class a pair of magazines: A is popped by malloc, F is pushed by
 * free. When A runs out it changes place with F; when F is full, with an empty
 * A; only then does anything leave the thread. The fast paths test nothing
 * else: a thread without a cache points at `ash_tcache_none`, whose every A is
 * empty and every F full, and class 0, that of everything that is not a small
 * object, has a full F in every tcache.
 *
 *              pop                     push
 *   malloc <--- A [ o o o . . . ]   F [ o o o o . . ] <--- free
 *               |  empty: swap  <----->  full: swap |
 *               +---- refill: depot, slabs <--------+ overflow: depot, slabs
 *
 * Memory: ashlar's own; recycled when the thread ends, with what it holds.
 * Only the owning thread touches a tcache, except that statistics read its
 * heads and that a fork's child takes over those of the threads it lacks.
 */
#ifndef ASH_TCACHE_TCACHE_H
#define ASH_TCACHE_TCACHE_H

#include "arena/magazine.h"
#include "base/atomic.h"

struct tcache {
	void **a[SIZE_CLASS_COUNT];      /* owner: pop side, heads */
	void **f[SIZE_CLASS_COUNT];      /* owner: push side, heads; by page-map byte */
	uint8_t fine[FINE_ENTRIES];      /* const: as ash_fine_class, one load nearer */
	uint8_t coarse[COARSE_ENTRIES];  /* const: as ash_coarse_class */
	uint8_t state;                   /* lock of the list of tcaches: enum tcache_state */
	uint8_t large[SIZE_CLASS_COUNT]; /* owner: the pair are large magazines */
	uint8_t want[SIZE_CLASS_COUNT];  /* owner: objects of the last refill from slabs; doubles */
	uint8_t hot[SIZE_CLASS_COUNT];   /* owner: slow events while the pair is small */
	uint16_t seen[SIZE_CLASS_COUNT]; /* owner: where the heads stood at the last trim */
	uint32_t events;                 /* owner: slow events */
	uint32_t gives;                  /* owner: magazines given to a depot */
	size_t large_bytes;              /* owner: what its large magazines may hold */
	uint64_t trimmed_at;             /* owner: ms */
	struct tcache *next;             /* const: list of all tcaches */
	struct tcache *next_orphan;      /* lock of the list */
};

enum tcache_state { TCACHE_IDLE, TCACHE_OWNED, TCACHE_ORPHAN };

/* Class 0 of F in every tcache, all of ash_tcache_none. */
HIDDEN extern void *const ash_magazine_none[MAGAZINE_SMALL_BYTES / sizeof(void *)];
HIDDEN extern struct tcache ash_tcache_none;

/* The only thread-local word of the fast paths. */
HIDDEN extern __thread struct tcache *ash_tcache __attribute__((tls_model("initial-exec")));

/* Start-up, once: how a thread's end is noticed. False: threads get no caches. */
bool ash_tcache_init(void);

/* Gives this thread a cache: an orphan's with its contents, or a new one. NULL
 * when it cannot have one: caches are off, the thread is ending, memory is out. */
struct tcache *ash_tcache_attach(void);

/* Threads get caches from now on, or not. Start-up. */
void ash_tcache_enable(bool on);

/* An object of the class after A ran out and F had none. NULL: memory is out. */
void *ash_tcache_refill(struct tcache *tc, unsigned cls);

/* Takes p after F was full and A had no room to change places. */
void ash_tcache_overflow(struct tcache *tc, unsigned cls, void *p);

/* Everything that this thread's cache holds goes back to slabs. */
void ash_tcache_flush(struct tcache *tc);
/* The same for the caches of threads that have ended. */
void ash_tcache_flush_orphans(void);

/* fork: the list stays locked; in the child the caches of the threads that are
 * not there become orphans. */
void ash_tcache_fork_prepare(void);
void ash_tcache_fork_done(bool child);

/* Child without fork handlers: frees the list's lock. */
void ash_tcache_repair(void);

/* Racy walk of all tcaches for statistics: free objects held, by class, and threads. */
unsigned ash_tcache_count(size_t objects[SIZE_CLASS_COUNT]);

/* Number of broken invariants, each told. Other threads are not in the library. */
int ash_tcache_check(void);

/* The object on top of A; NULL when A is empty: then tc is unchanged. */
FAST void *tcache_pop(struct tcache *tc, size_t cls)
{
	void **head = tc->a[cls], *p = *head;

	if (likely(p != NULL))
		tc->a[cls] = head - 1;
	return p;
}

/* p on top of F; false when F is full. */
FAST bool tcache_push(struct tcache *tc, size_t cls, void *p)
{
	void **head = tc->f[cls];

	OPAQUE(cls);
	if (unlikely(head[1] == MAGAZINE_END))
		return false;
	/* First the object, then the head: a fork in between loses it, no more. */
	head[1] = p;
	tc->f[cls] = head + 1;
	return true;
}

/* A in exchange for F when A is empty and F is not: 8 instructions, once per
 * magazine. Returns the object on top, NULL when F has none either. */
FAST void *tcache_swap_pop(struct tcache *tc, unsigned cls)
{
	void **f = tc->f[cls], *p = *f;

	if (likely(p != NULL)) {
		tc->f[cls] = tc->a[cls];
		tc->a[cls] = f - 1;
	}
	return p;
}

/* F in exchange for an empty A with room: then p fits. Not while F has no
 * magazine yet: a pair of one would change places at every call. */
FAST bool tcache_swap_push(struct tcache *tc, unsigned cls, void *p)
{
	void **a = tc->a[cls];

	if (*a || a[1] == MAGAZINE_END || tc->f[cls] == (void **)ash_magazine_none)
		return false;
	tc->a[cls] = tc->f[cls];
	a[1] = p;
	tc->f[cls] = a + 1;
	return true;
}

#endif
