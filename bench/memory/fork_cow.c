/* SPDX-License-Identifier: MIT
 *
 * A database that forks to write a snapshot, or a pre-forking server with a filled cache: 100 MB of 100-byte objects are shared by parent and child,
 * then one of them frees a scattered tenth. Free lists inside free objects make it copy every page that it frees in.
 *
 *   --objects=N (1,000,000)  --parent: the parent frees, not the child
 */
#include "measure.h"

#include <sys/wait.h>

static size_t objects;
static char **object;
static uint32_t *order;

static void fill(void)
{
	for (size_t i = 0; i < objects; i++)
		memset(object[i] = need(malloc(100)), 1, 100);
}

static void free_a_tenth(void)
{
	struct memory before = memory_now(), after;
	long faults = minor_faults();

	for (size_t i = 0; i < objects / 10; i++)
		free(object[order[i]]);
	faults = minor_faults() - faults;
	after = memory_now();
	figure("copied_mib", "%.2f", ((double)after.private_dirty - (double)before.private_dirty) / MIB);
	figure("faults", "%ld", faults);
	figures_print();
}

int main(int argc, char **argv)
{
	struct random r = {1};
	int alive[2], status = 0;
	bool parent;
	char byte;
	pid_t child;

	options_begin(argc, argv);
	objects = (size_t)option_number("objects", 1000000);
	parent = option("parent") != NULL;
	options_end();
	object = table(objects * sizeof *object);
	order = table(objects * sizeof *order);
	shuffle(&r, order, (uint32_t)objects);
	fill();
	if (pipe(alive) != 0 || (child = fork()) < 0)
		die("no pipe or no child");
	if (child == 0) {
		/* Table pages are to be mapped in the child too: their faults are not the allocator's. */
		for (size_t i = 0; i < objects; i++)
			byte = ((volatile char *)&object[i])[0] + ((volatile char *)&order[i])[0];
		close(alive[1]);
		if (parent)
			_exit(read(alive[0], &byte, 1) != 0);
		free_a_tenth();
		_exit(0);
	}
	close(alive[0]);
	if (parent)
		free_a_tenth();
	close(alive[1]);
	if (waitpid(child, &status, 0) != child || status != 0)
		die("the child failed");
	return 0;
}
