/* SPDX-License-Identifier: MIT
 *
 * The machine promises any amount of memory (vm.overcommit_memory=1). If this fails, a program that reserves much and
 * touches little (a sparse table) is refused, or pays for what it does not touch.
 */
#include "fact.h"

#include <stdlib.h>
#include <string.h>

#define GIB ((size_t)1 << 30)

static size_t resident_kib(void)
{
	return fact_number_in("/proc/self/smaps_rollup", "Rss:");
}

static void touch_both_ends(char *p, size_t size)
{
	p[0] = 'a';
	p[size - 1] = 'z';
}

int main(void)
{
	size_t memory = fact_number_in("/proc/meminfo", "MemTotal:") << 10;
	size_t before;
	char *p, *q;

	fact_begin(300);
	fact(fact_number_in("/proc/sys/vm/overcommit_memory", "") == 1, "vm.overcommit_memory is 1");
	fact(memory < 4 * GIB, "the machine has less than 4 GiB");
	before = resident_kib();
	p = malloc(16 * GIB);
	if (fact(p != NULL, "malloc of 16 GiB works"))
		touch_both_ends(p, 16 * GIB);
	q = calloc(16, GIB);
	if (fact(q != NULL, "calloc of 16 GiB works beside it")) {
		fact(q[0] == 0 && q[8 * GIB] == 0 && q[16 * GIB - 1] == 0, "calloc's memory is zero");
		touch_both_ends(q, 16 * GIB);
	}
	fact(resident_kib() - before < 2048, "together they make less than 2 MiB resident");
	free(q);
	p = realloc(p, 24 * GIB);
	fact(p && p[0] == 'a' && p[16 * GIB - 1] == 'z', "realloc to 24 GiB keeps the content");
	free(p);
	fact(resident_kib() - before < 2048, "after free less than 2 MiB more than at first is resident");
	return fact_end();
}
