/* SPDX-License-Identifier: MIT
 *
 * probe — shows which options are in force, by what they do.
 *
 * Prints "fresh=XX freed=YY secure=N": the bytes that the heap shows in new and
 * in freed memory (a5, 5a and 00 where nothing fills), and AT_SECURE. With
 * -DCONF="..." the program carries that string as its malloc_conf symbol.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#ifdef CONF
extern __attribute__((visibility("default"))) const char *malloc_conf;
const char *malloc_conf = CONF;
#endif

int main(void)
{
	unsigned char *p = malloc(5000), *gone = p;

	if (p == NULL)
		return 1;
	unsigned fresh = p[3000];
	memset(p, 0, 5000);
	__asm__ volatile("" : "+r"(gone) : : "memory");
	free(p);
	return printf("fresh=%02x freed=%02x secure=%lu\n", fresh, gone[3000], getauxval(AT_SECURE)) < 0;
}
