/* SPDX-License-Identifier: MIT
 *
 * message — where text for the user goes: to the function that the program has
 * set as `malloc_message`, else to standard error.
 *
 * Allocates nothing and keeps errno; what the program's function does is its own
 * affair: it may allocate, since none of the callers holds a lock.
 */
#ifndef ASH_ALLOC_MESSAGE_H
#define ASH_ALLOC_MESSAGE_H

/* `opaque` is the first argument of the program's function. */
void ash_message_text(void *opaque, const char *text);

#endif
