/* SPDX-License-Identifier: MIT
 *
 * diagnostics — glibc's names for these functions; other C libraries have none.
 */
#ifndef TESTS_API_DIAGNOSTICS_H
#define TESTS_API_DIAGNOSTICS_H

#include <stddef.h>
#include <stdio.h>

#ifdef __GLIBC__
#include <malloc.h>
#else
struct mallinfo {
	int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
struct mallinfo2 {
	size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
struct mallinfo mallinfo(void);
struct mallinfo2 mallinfo2(void);
int malloc_info(int options, FILE *stream);
int malloc_trim(size_t pad);
int mallopt(int parameter, int value);
#define M_MXFAST 1
#define M_NLBLKS 2
#define M_GRAIN 3
#define M_KEEP 4
#define M_TRIM_THRESHOLD -1
#define M_TOP_PAD -2
#define M_MMAP_THRESHOLD -3
#define M_MMAP_MAX -4
#define M_CHECK_ACTION -5
#define M_PERTURB -6
#define M_ARENA_TEST -7
#define M_ARENA_MAX -8
#endif

#endif
