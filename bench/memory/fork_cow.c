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

/* Table pages are to be mapped in the child before anything is measured: until then they count as private to the parent. */
static void map_tables(void)
{
	volatile char sum = 0;

	for (size_t i = 0; i < objects; i++)
		sum += ((volatile char *)&object[i])[0] + ((volatile char *)&order[i])[0];
}

static void in_child(int ready, int go, bool parent)
{
	char byte = 0;

	map_tables();
	if (!parent)
		free_a_tenth();
	if (write(ready, &byte, 1) != 1)
		die("the parent is gone");
	/* Pages are to stay shared while the parent frees: it closes its end when it has done. */
	_exit(read(go, &byte, 1) == 0 ? 0 : 1);
}

int main(int argc, char **argv)
{
	struct random r = {1};
	int ready[2], go[2], status = 0;
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
	if (pipe(ready) != 0 || pipe(go) != 0 || (child = fork()) < 0)
		die("no pipe or no child");
	if (child == 0) {
		close(go[1]);
		in_child(ready[1], go[0], parent);
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		die("the child failed");
	if (parent)
		free_a_tenth();
	close(go[1]);
	if (waitpid(child, &status, 0) != child || status != 0)
		die("the child failed");
	return 0;
}
