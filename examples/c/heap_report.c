/* SPDX-License-Identifier: MIT
 *
 * heap_report — a program that links ashlar and asks it about the heap.
 *
 * malloc and free stay what they are in every program: <stdlib.h> declares
 * them, and linking ashlar makes it their owner. Only questions about the heap
 * need <ashlar/ashlar.h>.
 */
#include <ashlar/ashlar.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECTS = 20000, BYTES = 1000 };

static size_t bytes_in_use(void)
{
	struct ashlar_stats stats;

	if (ashlar_stats(&stats, sizeof(stats)) != 0)
		abort();
	return stats.in_use;
}

int main(void)
{
	static char *object[OBJECTS];
	size_t before = bytes_in_use();
	size_t grown, after;

	for (int i = 0; i < OBJECTS; i++) {
		object[i] = malloc(BYTES);
		if (object[i] == NULL) {
			perror("heap_report");
			return 1;
		}
		memset(object[i], i, BYTES);
	}
	grown = bytes_in_use() - before;
	for (int i = 0; i < OBJECTS; i++)
		free(object[i]);
	after = bytes_in_use();

	printf("ashlar %s\n", ashlar_version());
	printf("asked for %d bytes, in use %zu more, after free %zu more\n", OBJECTS * BYTES, grown,
	       after > before ? after - before : 0);
	return 0;
}
