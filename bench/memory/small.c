/* SPDX-License-Identifier: MIT
 *
 * A trivial program: the shell's helpers, a cron job, one process among hundreds in a container. Its memory is what the allocator
 * costs before it is used: mapped files, tables, first slabs.
 */
#include "measure.h"

int main(int argc, char **argv)
{
	static const size_t sizes[] = {24, 200, 1000, 5000, 40000};
	struct memory m;

	options_begin(argc, argv);
	options_end();
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct object o = object_new(sizes[i]);
		object_drop(&o);
	}
	printf("rss_kib=%zu ", (m = memory_now()).rss / 1024);
	printf("private_dirty_kib=%zu\n", m.private_dirty / 1024);
	return fflush(stdout) != 0;
}
