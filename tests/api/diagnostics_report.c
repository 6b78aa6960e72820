/* SPDX-License-Identifier: MIT
 *
 * For diagnostics.py, preloaded or not: mallinfo2().uordblks and what malloc_info
 * writes, before and after 1,000 objects of 100 bytes and one of 10 MB.
 */
#include <stdlib.h>
#include <string.h>

#include "diagnostics.h"

static void *volatile held[1001];

static void hold(void)
{
	for (unsigned i = 0; i < 1001; i++) {
		held[i] = malloc(i ? 100 : 10000000);
		if (!held[i])
			abort();
		memset(held[i], 1, 100);
	}
}

int main(void)
{
	struct mallinfo2 m;

	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	for (int turn = 0; turn < 2; turn++) {
		if (turn)
			hold();
		m = mallinfo2();
		printf("%zu %zu\n", m.uordblks, m.hblkhd);
		if (malloc_info(0, stdout) != 0)
			return 1;
		puts("end");
	}
	return fflush(stdout) != 0;
}
