/* SPDX-License-Identifier: MIT
 *
 * A program of a user, built against the installed library in each documented
 * way. Fails when the malloc that it got is not ashlar's: then the way links
 * a library that nobody calls.
 */
#include <ashlar/ashlar.h>
#include <stdio.h>
#include <stdlib.h>

#define BYTES ((size_t)8 << 20)

static size_t bytes_in_use(void)
{
	struct ashlar_stats stats;

	if (ashlar_stats(&stats, sizeof(stats)) != 0) {
		fputs("ashlar_stats failed\n", stderr);
		exit(1);
	}
	return stats.in_use;
}

int main(void)
{
	size_t before = bytes_in_use();
	void *volatile p = malloc(BYTES);

	if (!p || bytes_in_use() < before + BYTES) {
		fputs("malloc is not ashlar's\n", stderr);
		return 1;
	}
	free(p);
	if (bytes_in_use() >= before + BYTES) {
		fputs("free is not ashlar's\n", stderr);
		return 1;
	}
	puts(ashlar_version());
	return 0;
}
