/* SPDX-License-Identifier: MIT
 *
 * If this fails, a program crashes while it ends: atexit handlers, destructors
 * and on_exit functions free what main made and allocate anew, while another
 * thread still allocates.
 *
 * at_exit main|thread|quick: who calls exit, and which one.
 */
#include "check.h"

static void *made_by_main;

static void nested(void)
{
	use_every_size();
	if (write(STDOUT_FILENO, "done\n", 5) != 5)
		_exit(1);
}

static void handler(void)
{
	drop(made_by_main, 5000);
	for (unsigned i = 0; i < 1000; i++)
		drop(take(i), i);
	CHECK(atexit(nested) == 0);
}

static void quick_handler(void)
{
	drop(made_by_main, 5000);
	nested();
}

__attribute__((destructor)) static void last(void)
{
	use_every_size();
}

static void *busy(void *arg)
{
	for (;;)
		drop(take(100), 100);
	return arg;
}

static void *leave(void *arg)
{
	exit(0);
	return arg;
}

int main(int argc, char **argv)
{
	const char *how = argv[argc - 1];

	watchdog(20);
	made_by_main = take(5000);
	CHECK(atexit(handler) == 0 && at_quick_exit(quick_handler) == 0);
	start(busy, NULL);
	if (strcmp(how, "quick") == 0)
		quick_exit(0);
	if (strcmp(how, "thread") == 0)
		join(start(leave, NULL));
	return 0;
}
