/* SPDX-License-Identifier: MIT
 *
 * If this fails, the default check:sampled lets a thread take its bad free with
 * it: its magazines must be looked at when it ends, or when another thread that
 * took them over flushes them.
 *
 * found_at_thread_exit double|interior|misaligned
 */
#include "bug.h"

#define SIZE 112

static void *bad_free(void *bug)
{
	char *p = must(malloc(SIZE));

	if (strcmp(bug, "double") == 0) {
		announce(ANY_CALL, "double free of", p);
		free(p);
		free(opaque(p));
	} else if (strcmp(bug, "interior") == 0) {
		announce(ANY_CALL, "interior pointer", p + 16);
		free(opaque(p + 16));
	} else {
		announce(ANY_CALL, "misaligned pointer", p + 5);
		free(opaque(p + 5));
	}
	return NULL;
}

static void run(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, body, arg) != 0 || pthread_join(thread, NULL) != 0)
		stop("no thread");
}

static void *turn_over(void *arg)
{
	turnover_after(arg);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct turnover t;

	turnover_before(&t, SIZE, SURELY_FLUSHED(SIZE));
	run(bad_free, argv[argc - 1]);
	run(turn_over, &t);
	turnover_after(&t);
	return survived();
}
