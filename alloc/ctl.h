/* SPDX-License-Identifier: MIT
 *
 * ctl — mallctl: values and commands by name, as jemalloc has them.
 *
 * Names, types, access and meaning are the rows of alloc/ctl_table.def; here is
 * how a name is found and how a call's two buffers are read and written. Each
 * call answers 0 or an errno value; errno itself is kept. Any thread may call.
 * Never allocates from the heap.
 *
 *   read    a buffer of another length gets what fits of the value, its length
 *           becomes what was copied, and the answer is EINVAL
 *   write   another length than the value's is EINVAL
 *
 * A mib is the name's components: the row's number for each word, the place in
 * the list for one of {a,b}, and the index itself for <i>, which callers may
 * overwrite.
 */
#ifndef ASH_ALLOC_CTL_H
#define ASH_ALLOC_CTL_H

#include "base/compiler.h"

EXPORT int mallctl(const char *name, void *old, size_t *old_len, void *new, size_t new_len);
EXPORT int mallctlnametomib(const char *name, size_t *mib, size_t *mib_len);
EXPORT int mallctlbymib(const size_t *mib, size_t mib_len, void *old, size_t *old_len, void *new, size_t new_len);

/* The three: see the end of alloc/malloc.c. */
HIDDEN extern const void *const ash_ctl_entry_points[];

#define CTL_DEPTH 7
#define CTL_INDICES 2

enum ctl_type {
	CTL_VOID,
	CTL_BOOL,
	CTL_UNSIGNED, /* 32 bits */
	CTL_U64,
	CTL_I64,
	CTL_SIZE,
	CTL_SSIZE,
	CTL_TEXT, /* const char * */
	CTL_POINTER,
	CTL_OTHER, /* the doc line says which */
};

enum ctl_access {
	CTL_RO,     /* EPERM when something is written */
	CTL_WO,     /* EPERM when something is read */
	CTL_RW,     /* the old value out, the new one in */
	CTL_EITHER, /* EPERM for both in one call */
	CTL_DO,     /* a command: EPERM for any argument */
	CTL_ANY,    /* whatever the arguments are */
};

struct ctl_row;

struct ctl_call {
	const struct ctl_row *row;
	size_t index[CTL_INDICES]; /* what stands for <i> and <j> */
	void *old;
	size_t *old_len;
	const void *new;
	size_t new_len;
};

struct ctl_row {
	uint16_t name_at; /* see ash_ctl_name */
	uint16_t at;      /* for the handler: which of its values */
	uint8_t type;     /* enum ctl_type */
	uint8_t access;   /* enum ctl_access */
};

/* The old value, when the caller asks for one: of any length; a number or pointer by the row's type. */
int ash_ctl_give(struct ctl_call *call, const void *value, size_t size);
int ash_ctl_give_number(struct ctl_call *call, uint64_t number);

/* The new value into *value, when there is one: EINVAL for another length. */
int ash_ctl_take(const struct ctl_call *call, void *value, size_t size);

/* The old value out of *value, then the new one into it; a new one of another length is EINVAL before anything is told. */
int ash_ctl_exchange(struct ctl_call *call, void *value, size_t size);

/* For calls that make something: 0 when its name can be told, else EINVAL and a length of 0. */
int ash_ctl_can_give(struct ctl_call *call, size_t size);

#endif
