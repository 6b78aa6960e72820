/* SPDX-License-Identifier: MIT
 *
 * trimmer — a thread that does nothing but call malloc_trim(0): the other
 * threads' caches are borrowed from them as often as can be, wherever they are.
 */
#ifndef TESTS_STRESS_TRIMMER_H
#define TESTS_STRESS_TRIMMER_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include "entry.h"

static pthread_t trimmer;
static atomic_bool trimming;
static int (*trim)(size_t pad);

static void *trim_on(void *unused)
{
	while (trimming) {
		trim(0);
		sched_yield();
	}
	return unused;
}

static void trimmer_start(void)
{
	trim = (int (*)(size_t))dlsym(RTLD_DEFAULT, "malloc_trim");
	if (!trim)
		DIE("there is no malloc_trim");
	trimming = true;
	if (pthread_create(&trimmer, NULL, trim_on, NULL) != 0)
		DIE("pthread_create fails");
}

static void trimmer_stop(void)
{
	trimming = false;
	pthread_join(trimmer, NULL);
}

#endif
