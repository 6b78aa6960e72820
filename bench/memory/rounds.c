/* SPDX-License-Identifier: MIT
 *
 * A batch job: each round loads 2,000 records of 50 KB, works on them and drops all. An allocator that gives memory back too eagerly
 * pays for every page anew in every round.
 *
 *   --rounds=N (100)  --records=N (2000)  --size=BYTES (50000)
 */
#include "measure.h"

static void touch(char *p, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE)
		p[at] = 1;
	p[size - 1] = 1;
}

int main(int argc, char **argv)
{
	size_t rounds, records, size;
	char **record;
	double cpu;

	options_begin(argc, argv);
	rounds = (size_t)option_number("rounds", 100);
	records = (size_t)option_number("records", 2000);
	size = (size_t)option_number("size", 50000);
	options_end();
	record = table(records * sizeof *record);
	cpu = cpu_now();
	for (size_t round = 0; round < rounds; round++) {
		for (size_t i = 0; i < records; i++)
			touch(record[i] = need(malloc(size)), size);
		for (size_t i = 0; i < records; i++)
			free(record[i]);
	}
	figure("cpu_s", "%.3f", cpu_now() - cpu);
	figure("faults", "%ld", minor_faults());
	figure("peak_mib", "%.1f", (double)peak_rss() / MIB);
	figures_print();
	return 0;
}
