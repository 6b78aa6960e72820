/* SPDX-License-Identifier: MIT
 *
 * A small program that prints its own anonymous resident memory in KiB and what it adds to the system's commitments;
 * the list compares them with glibc's. If this grows, every small process of a machine grows.
 */
#include "fact.h"

#include <stdlib.h>
#include <string.h>

int main(void)
{
	void *objects[100];

	fact_begin(60);
	for (size_t i = 0; i < 100; i++) {
		objects[i] = malloc(16 + i * 20);
		memset(objects[i], 1, 16 + i * 20);
	}
	fact_note("anonymous KiB: %zu", fact_number_in("/proc/self/smaps_rollup", "Anonymous:"));
	fact_note("committed KiB: %zu", fact_number_in("/proc/meminfo", "Committed_AS:"));
	for (size_t i = 0; i < 100; i++)
		free(objects[i]);
	fact(true, "it ran to its end");
	return fact_end();
}
