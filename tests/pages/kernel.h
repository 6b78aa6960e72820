/* SPDX-License-Identifier: MIT
 *
 * kernel — what the kernel says of the mappings that belong to ashlar, found
 * without asking ashlar: in a program that maps nothing itself, every mapping
 * without a name is ashlar's, unless it is the data of an object, holds this
 * thread's own block, or was told by kernel_not_ours(). Allocates nothing.
 */
#ifndef PAGES_KERNEL_H
#define PAGES_KERNEL_H

#include <stddef.h>

struct kernel {
	size_t accessible; /* bytes of ashlar's mappings that can be written to */
	size_t reserved;   /* bytes of the others: no access, or readable zeros */
	size_t resident;   /* of both */
	size_t library;    /* resident bytes of libashlar.so's code and constants */
	size_t process;    /* resident bytes of the whole process */
};

/* [p, p + size) is a mapping of the test's own. */
void kernel_not_ours(const void *p, size_t size);

/* Reads /proc/self/smaps. Ends the program when it cannot. */
void kernel_look(struct kernel *k);

/* Resident bytes of the process by the kernel's own sum, /proc/self/smaps_rollup. */
size_t kernel_rollup(void);

/* Writes the lines of smaps that were taken for ashlar's on standard error. */
void kernel_tell(void);

#endif
