/* SPDX-License-Identifier: MIT
 *
 * checked — allocation and free under check:full, junk and zero.
 *
 * No thread has a cache then, so every call comes here. Under check:full each
 * object ends in a record of its requested size, the bytes between are a known
 * pattern, free memory is filled with another, and freed objects wait a while
 * in quarantine: a wrong call is named when it is made, a wrong write by the
 * next call that meets it. Takes locks of rank CHECK, one a size class.
 */
#ifndef ASH_ALLOC_CHECKED_H
#define ASH_ALLOC_CHECKED_H

#include "alloc/slow.h"

/* What junk fills fresh memory with. */
#define ASH_JUNK_FRESH 0xa5

/* Const after start-up: one of these options is on. */
HIDDEN extern bool ash_checked;

/* Looks at the options. Start-up. */
void ash_checked_init(void);

void *ash_checked_request(const struct request *request);
void ash_checked_release(const char *call, void *p, size_t size);
size_t ash_checked_usable_size(const char *call, const void *p);

/* Objects of the class (0: bytes of large objects) in quarantine, which no one has in use. Racy. */
size_t ash_checked_waiting(unsigned cls);

/* Looks at everything in quarantine: the last chance to name a wrong write. */
void ash_checked_exit(void);

void ash_checked_fork_prepare(void);
void ash_checked_fork_done(void);
void ash_checked_repair(void);

#endif
