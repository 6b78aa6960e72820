/* SPDX-License-Identifier: MIT
 *
 * If this fails, a double free is missed when two threads free the same object,
 * each into a cache of its own.
 *
 * double_free_other_thread SIZE
 */
#include "bug.h"

static void *free_it(void *p)
{
	free(p);
	return NULL;
}

int main(int argc, char **argv)
{
	size_t size = number(argv[argc - 1]);
	pthread_t thread;
	void *p = must(malloc(size));

	announce("free", "double free of", p);
	if (pthread_create(&thread, NULL, free_it, p) != 0 || pthread_join(thread, NULL) != 0)
		stop("no thread");
	free(opaque(p));
	return survived();
}
