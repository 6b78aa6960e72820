/* SPDX-License-Identifier: MIT
 *
 * If this fails, the default check:sampled lets a bad free of a small object go
 * unseen even after the magazine that holds it was flushed to its slab.
 *
 * found_at_flush double|interior|misaligned SIZE
 */
#include "bug.h"

#include <malloc.h>

static void *bad_free(const char *bug, char *p, size_t size)
{
	if (strcmp(bug, "double") == 0) {
		announce(ANY_CALL, "double free of", p);
		free(p);
		free(opaque(p));
	} else if (strcmp(bug, "interior") == 0) {
		announce(ANY_CALL, "interior pointer", p + size / 16 * 8);
		free(opaque(p + size / 16 * 8));
	} else if (strcmp(bug, "misaligned") == 0) {
		announce(ANY_CALL, "misaligned pointer", p + 3);
		free(opaque(p + 3));
	} else {
		stop("unknown bug");
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static struct turnover t;
	size_t size = number(argv[argc - 1]);

	turnover_before(&t, size, SURELY_FLUSHED(size));
	bad_free(argv[1], must(malloc(size)), size);
	/* Flushes every magazine; the turnover would, unless it hands the object out again first. */
	malloc_trim(0);
	turnover_after(&t);
	return survived();
}
