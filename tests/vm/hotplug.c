/* SPDX-License-Identifier: MIT
 *
 * CPUs go away and come back while threads allocate on them; some threads may use only the CPU that goes. If this
 * fails, an allocator that chooses by CPU number stumbles over one that is gone, new or not its own.
 */
#define _GNU_SOURCE
#include "fact.h"
#include "worker.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 6
#define MOST 8 /* CPUs that are switched */

static struct worker workers[WORKERS];
static atomic_bool stop;

static bool set_online(long cpu, bool online)
{
	char path[64];
	int fd;
	bool done;

	snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%ld/online", cpu);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	done = fd >= 0 && write(fd, online ? "1" : "0", 1) == 1;
	if (fd >= 0)
		close(fd);
	return done;
}

static void pin(struct worker *w, long cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	fact(pthread_setaffinity_np(w->thread, sizeof set, &set) == 0, "a thread is bound to CPU %ld", cpu);
}

/* Waits until every worker has done this many more steps; the watchdog ends a wait without end. */
static void wait_for_progress(size_t steps)
{
	struct timespec pause = {.tv_nsec = 2000000};

	for (int i = 0; i < WORKERS; i++) {
		size_t goal = atomic_load(&workers[i].done) + steps;

		while (atomic_load(&workers[i].done) < goal)
			nanosleep(&pause, NULL);
	}
}

/* At most MOST of them, from the last one down, and CPU 1: beyond that it only takes longer. */
static void switch_cpus(long last, bool online)
{
	long n = last < MOST ? last : MOST;

	for (long i = 1; i <= n; i++) {
		long nth = online ? n - i : i - 1; /* they come back in the opposite order */
		long cpu = nth == n - 1 ? 1 : last - nth;

		fact(set_online(cpu, online), "CPU %ld goes %s", cpu, online ? "online" : "offline");
		wait_for_progress(50);
		fact(true, "after that every thread goes on");
	}
	fact(sysconf(_SC_NPROCESSORS_ONLN) == last + 1 - (online ? 0 : n), "%ld CPUs are online",
	     last + 1 - (online ? 0 : n));
}

static bool start_workers(void)
{
	for (int i = 0; i < WORKERS; i++)
		if (worker_start(&workers[i], 100 + i, SIZE_MAX, &stop) != 0)
			return fact(false, "%d threads start", WORKERS);
	return fact(true, "%d threads start", WORKERS);
}

static void end_workers(void)
{
	size_t broken = 0, refused = 0;

	atomic_store(&stop, true);
	for (int i = 0; i < WORKERS; i++) {
		worker_join(&workers[i]);
		broken += workers[i].broken;
		refused += workers[i].refused;
	}
	broken += worker_clear_table();
	fact(broken == 0 && refused == 0, "no object lost its content (%zu did), no request was refused (%zu were)",
	     broken, refused);
}

int main(void)
{
	long last = sysconf(_SC_NPROCESSORS_CONF) - 1;

	fact_begin(900);
	if (!fact(last >= 1 && sysconf(_SC_NPROCESSORS_ONLN) == last + 1, "the machine has %ld CPUs, all online",
		  last + 1))
		return 1;
	if (!start_workers())
		return 1;
	pin(&workers[0], last);
	pin(&workers[1], 1);
	wait_for_progress(50);
	switch_cpus(last, false);
	switch_cpus(last, true);
	end_workers();
	return fact_end();
}
