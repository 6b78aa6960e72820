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
 * heads, that caches of resting threads are borrowed (tcache/threads.h), and
 * that a fork's child takes over those of the threads it lacks.
 */
#ifndef ASH_TCACHE_TCACHE_H
#define ASH_TCACHE_TCACHE_H

#include "arena/magazine.h"
#include "base/atomic.h"

/* A borrower leaves the top of F where objects are no larger: realloc still reads
 * what it has just pushed there. */
#define TCACHE_KEEPS_TOP 4096

struct tcache {
	void **a[SIZE_CLASS_COUNT];     /* owner: pop side, heads */
	void **f[SIZE_CLASS_COUNT];     /* owner: push side, heads; by page-map byte */
	uint8_t fine[FINE_ENTRIES];     /* const: as ash_fine_class, one load nearer */
	uint8_t coarse[COARSE_ENTRIES]; /* const: as ash_coarse_class */
	uint8_t state;                  /* lock of the list of tcaches: enum tcache_state */
	bool counted;                   /* owner: its thread wants to know what it allocates */
	bool apart;                     /* owner: its thread finds no cache at hand: each of its calls is a slow one */
	union {
		struct {
			bool borrowed;   /* lock of the list, read by the owner: see tcache/threads.h */
			uint8_t parking; /* owner: enum tcache_parking */
		};
		uint16_t attention; /* either */
	};
	uint8_t large[SIZE_CLASS_COUNT]; /* owner: the pair are large magazines */
	uint8_t want[SIZE_CLASS_COUNT];  /* owner: objects of the last refill from slabs; doubles */
	uint8_t most;                    /* owner: the largest class that it holds: tcache_max */
	uint8_t hot[SIZE_CLASS_COUNT];   /* owner: slow events while the pair is small */
	uint16_t seen[SIZE_CLASS_COUNT]; /* owner: where the heads stood at the last trim */
	uint32_t events;    /* owner, read by borrowers: twice the slow events; odd: a slow path works with it */
	size_t large_bytes; /* owner: what its large magazines may hold */
	uint64_t moved;     /* owner: bytes of objects that went from F to A, all of them only while it is `counted` */
	uint64_t filled;    /* owner, borrowers: bytes that came to A from elsewhere, less those that left unused */
	uint64_t emptied;   /* owner, borrowers: bytes that left F for elsewhere */
	uint64_t popped_base; /* owner: ash_tcache_totals when its thread got it */
	uint64_t pushed_base; /* the same */
	uint64_t trimmed_at;  /* owner: ms */
	uint64_t called_at;   /* owner: ms of the last slow path, while it watches or parks */
	uint32_t rapid;       /* owner: calls since it parked that were not rare */
	struct tcache **home; /* lock of the list: its thread's ash_tcache */
	uint32_t thread;      /* lock of the list: its thread's number */
	uint64_t resting;     /* borrowers: where the heads stood at their last look */
	struct tcache *next;  /* const: list of all tcaches */
	struct tcache *link;  /* lock of the list: orphans, idle, borrowed */
};

/* Where much could be given back and no helper does it, a thread watches: each slow path looks at the clock. When calls
 * turn out to be rare it parks: it goes out of reach after each slow path, so that the next call is one too. */
enum tcache_parking {
	TCACHE_WORKS,
	TCACHE_COUNTS, /* works; no pair changes places but where that is counted */
	TCACHE_WATCHES,
	TCACHE_PARKS
};
enum tcache_state { TCACHE_IDLE, TCACHE_OWNED, TCACHE_ORPHAN };

/* Class 0 of F in every tcache, all of ash_tcache_none. */
HIDDEN extern void *const ash_magazine_none[MAGAZINE_SMALL_BYTES / sizeof(void *)];
HIDDEN extern struct tcache ash_tcache_none;

/* The only thread-local word of the fast paths. */
HIDDEN extern __thread struct tcache *ash_tcache __attribute__((tls_model("initial-exec")));

/* The largest class that caches hold to begin with. Const after start-up. */
HIDDEN extern uint8_t ash_tcache_most;

/* The owner's cache holds no class above this one. */
void ash_tcache_limit(struct tcache *tc, unsigned cls);

/* An object of the class after A ran out and F had none. NULL: memory is out. */
void *ash_tcache_refill(struct tcache *tc, unsigned cls);

/* Takes p after F was full and A had no room to change places. */
void ash_tcache_overflow(struct tcache *tc, unsigned cls, void *p);

/* From now on each pop and push is counted; or no longer. */
void ash_tcache_counted(struct tcache *tc, bool counted);

/* Everything that a cache holds goes back to slabs: of one that no thread uses;
 * of this thread's own. */
void ash_tcache_flush(struct tcache *tc);
void ash_tcache_flush_own(struct tcache *tc);

/* A and F of a tcache that does not just work have changed places, and an object was popped. */
SLOW void ash_tcache_exchanged(struct tcache *tc, unsigned cls);

/* For tcache/threads.c. The first call after parking: looks at the clock, and does
 * what is due. True when the cache is to stay out of reach: calls are rare. */
bool ash_tcache_unpark(struct tcache *tc);

/* For tcache/threads.c. All but the top objects go back to slabs, leaving gaps;
 * the gaps are closed; both heads in one magazine are told apart. */
void ash_tcache_hollow(struct tcache *tc);
void ash_tcache_settle(struct tcache *tc);
void ash_tcache_separate(struct tcache *tc);

/* Usable bytes that calls have popped and pushed so far, by all threads that had it: at least so many, and exactly so many
 * more than before while it is `counted`. The difference of both is right always. The owner's, or in no one's hands. */
void ash_tcache_totals(const struct tcache *tc, uint64_t *popped, uint64_t *pushed);

/* Racy: adds the objects that it holds, by class; a number that changes with
 * every use, and whether it holds any. */
void ash_tcache_count(const struct tcache *tc, size_t objects[SIZE_CLASS_COUNT]);
uint64_t ash_tcache_position(const struct tcache *tc, bool *holds);

/* Number of broken invariants, each told. */
int ash_tcache_check(const struct tcache *tc);

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

/* Bytes of the objects under a head of the class. */
FAST uint64_t tcache_head_bytes(const struct tcache *tc, size_t cls, void **head)
{
	return (uint64_t)magazine_count(head, tc->large[cls]) * ash_size_class[cls].size;
}

/* A in exchange for F when A is empty and F is not. Returns the object on top, NULL when F has none either. Not outside of this room
 * while the tcache watches or parks. */
FAST void *tcache_exchange_pop(struct tcache *tc, unsigned cls)
{
	void **f = tc->f[cls], *p = *f;

	if (likely(p != NULL)) {
		tc->f[cls] = tc->a[cls];
		tc->a[cls] = f - 1;
	}
	return p;
}

/* The same at any time: 10 instructions, once per magazine. */
FAST void *tcache_swap_pop(struct tcache *tc, unsigned cls)
{
	void *p = tcache_exchange_pop(tc, cls);

	if (unlikely(tc->parking) && p)
		ash_tcache_exchanged(tc, cls);
	return p;
}

/* F in exchange for an empty A with room: then p fits. Not while F has no magazine yet: a pair of one would change places
 * at every call. Nor while it watches: A would hold more than then it may. */
FAST bool tcache_swap_push(struct tcache *tc, unsigned cls, void *p)
{
	void **a = tc->a[cls];

	if (*a || a[1] == MAGAZINE_END || tc->f[cls] == (void **)ash_magazine_none || tc->parking)
		return false;
	tc->a[cls] = tc->f[cls];
	a[1] = p;
	tc->f[cls] = a + 1;
	return true;
}

#endif
