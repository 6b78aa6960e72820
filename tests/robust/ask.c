/* SPDX-License-Identifier: MIT
 *
 * If this fails, an option that says what to do in a rare case does something else.
 *
 * ask no_memory: asks for more than there is. ask realloc_zero: realloc(p, 0).
 * ask new_no_memory: as the first, by the C++ operator that does not throw.
 * Prints the answer: "null ENOMEM", "null", or "object".
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* operator new(std::size_t, const std::nothrow_t &) */
extern void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow) __attribute__((weak));

int main(int argc, char **argv)
{
	volatile size_t huge = (size_t)1 << 50, zero = 0;
	int no_memory = strcmp(argv[argc - 1], "no_memory") == 0,
	    new_no_memory = strcmp(argv[argc - 1], "new_no_memory") == 0;
	void *p = malloc(100);

	errno = 0;
	p = new_no_memory ? _ZnwmRKSt9nothrow_t(huge, "") : no_memory ? malloc(huge) : realloc(p, zero);
	if (p != NULL)
		return puts("object") < 0;
	return puts(errno == ENOMEM ? "null ENOMEM" : "null") < 0;
}
