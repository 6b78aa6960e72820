/* SPDX-License-Identifier: MIT
 *
 * hooks — where the memory of an arena made by hand comes from: jemalloc's
 * extent hooks, in their order and with their meaning.
 *
 * Every function that answers bool says false for "done" and true for "refused".
 * A table is kept by pointer and read at each call, on the thread that needs the
 * call, with no lock held: it may allocate. A table that lay in the thread-local
 * storage of a thread that is gone is not read any more, but what it held last.
 */
#ifndef ASH_ARENA_HOOKS_H
#define ASH_ARENA_HOOKS_H

#include "base/compiler.h"

struct extent_hooks {
	/* Mandatory. size: whole pages; align: a power of two, a page at least; new_addr: there or nowhere. */
	void *(*alloc)(struct extent_hooks *, void *new_addr, size_t size, size_t align, bool *zero, bool *commit,
		       unsigned arena);
	bool (*dalloc)(struct extent_hooks *, void *p, size_t size, bool committed, unsigned arena);
	void (*destroy)(struct extent_hooks *, void *p, size_t size, bool committed, unsigned arena);
	bool (*commit)(struct extent_hooks *, void *p, size_t size, size_t offset, size_t length, unsigned arena);
	bool (*decommit)(struct extent_hooks *, void *p, size_t size, size_t offset, size_t length, unsigned arena);
	bool (*purge_lazy)(struct extent_hooks *, void *p, size_t size, size_t offset, size_t length, unsigned arena);
	bool (*purge_forced)(struct extent_hooks *, void *p, size_t size, size_t offset, size_t length, unsigned arena);
	bool (*split)(struct extent_hooks *, void *p, size_t size, size_t size_a, size_t size_b, bool committed,
		      unsigned arena);
	bool (*merge)(struct extent_hooks *, void *a, size_t size_a, void *b, size_t size_b, bool committed,
		      unsigned arena);
};

_Static_assert(sizeof(struct extent_hooks) == 72, "jemalloc's table has nine pointers");

/* The system's memory. Its members do not look at the table or the index that they are given. */
HIDDEN extern struct extent_hooks ash_hooks_default;

/* A table and what is known of it. */
struct hooks {
	struct extent_hooks *table; /* the program's, by its address */
	struct extent_hooks last;   /* its members when they were last read */
	uint32_t setter;            /* atomic: the thread that named it; 0: it has ended */
};

void ash_hooks_set(struct hooks *hooks, struct extent_hooks *table);

/* The calling thread ends: its tables may go with it. */
void ash_hooks_thread_ends(struct hooks *hooks);

/* A fork's child: this thread's tables are still this thread's. */
void ash_hooks_in_child(struct hooks *hooks, uint32_t parent);

/* The calls, with the meaning of NULL members: alloc gives NULL, destroy does
 * nothing, all others refuse. Meanwhile malloc in this thread is served by
 * automatic arenas. */
void *ash_hooks_alloc(struct hooks *hooks, size_t size, size_t align, bool *zero, bool *commit, unsigned arena);
bool ash_hooks_dalloc(struct hooks *hooks, void *p, size_t size, bool committed, unsigned arena);
void ash_hooks_destroy(struct hooks *hooks, void *p, size_t size, bool committed, unsigned arena);
bool ash_hooks_commit(struct hooks *hooks, void *p, size_t size, unsigned arena);
bool ash_hooks_decommit(struct hooks *hooks, void *p, size_t size, unsigned arena);
bool ash_hooks_purge_lazy(struct hooks *hooks, void *p, size_t size, unsigned arena);
bool ash_hooks_purge_forced(struct hooks *hooks, void *p, size_t size, unsigned arena);
bool ash_hooks_split(struct hooks *hooks, void *p, size_t size, size_t size_a, bool committed, unsigned arena);
bool ash_hooks_merge(struct hooks *hooks, void *a, size_t size_a, void *b, size_t size_b, bool committed,
		     unsigned arena);

#endif
