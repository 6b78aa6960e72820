/* SPDX-License-Identifier: MIT
 *
 * Threads that wait for each other's bins bring arenas into being: as many as the machine allows. If this fails, a
 * process in a small container makes as many arenas as its machine has CPUs, or one that has the machine gets too few.
 *
 * arenas AT_LEAST AT_MOST SECONDS ENOUGH: ends as soon as there are ENOUGH, or after the seconds.
 */
#include "fact.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS 8

static atomic_bool stop;

static void *contend(void *unused)
{
	while (!atomic_load(&stop)) {
		void *volatile p = malloc(64);

		free(p);
	}
	return unused;
}

static unsigned arenas_after(unsigned seconds, unsigned enough)
{
	pthread_t threads[THREADS];
	unsigned n = 0;

	for (unsigned i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, contend, NULL) != 0)
			exit(2);
	}
	for (unsigned i = 0; i < 20 * seconds && n < enough; i++) {
		usleep(50000);
		n = fact_arenas();
	}
	stop = true;
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return n;
}

int main(int argc, char **argv)
{
	unsigned least, most, seconds, n;

	if (argc != 5)
		return 2;
	least = (unsigned)atoi(argv[1]), most = (unsigned)atoi(argv[2]), seconds = (unsigned)atoi(argv[3]);
	fact_begin(seconds + 120);
	n = arenas_after(seconds, (unsigned)atoi(argv[4]));
	fact(n >= least && n <= most, "%u threads make %u arenas: from %u to %u", THREADS, n, least, most);
	return fact_end();
}
