/* SPDX-License-Identifier: MIT
 *
 * Threads in several generations that allocate, resize and free each other's objects, on whatever machine it finds.
 * If this fails, the allocator hands out wrong or refused memory on that kind of machine. It is no benchmark.
 *
 * stress [THREADS [STEPS [GENERATIONS [SEED]]]], and in the environment:
 *   VM_EXPECT_NO_PROC=1     neither /proc nor /sys is there
 *   VM_EXPECT_CPUS=N        the process may use N CPUs
 *   VM_EXPECT_NODES=N       the machine has N nodes
 *   VM_ARENAS_AT_MOST=N     it ends with at most N arenas
 */
#define _GNU_SOURCE
#include "fact.h"
#include "worker.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_THREADS 256

static struct worker workers[MAX_THREADS];

static size_t number(const char *text, size_t otherwise)
{
	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void generation(size_t threads, size_t steps, uint64_t seed, size_t *broken, size_t *refused)
{
	size_t n = 0;

	while (n < threads && worker_start(&workers[n], seed + n, steps, NULL) == 0)
		n++;
	if (n < threads)
		fact(false, "%zu threads start (%zu did)", threads, n);
	for (size_t i = 0; i < n; i++) {
		worker_join(&workers[i]);
		*broken += workers[i].broken;
		*refused += workers[i].refused;
	}
}

static size_t nodes_of_the_machine(void)
{
	char path[64];
	size_t n = 0;

	do
		snprintf(path, sizeof path, "/sys/devices/system/node/node%zu", n);
	while (access(path, F_OK) == 0 && ++n);
	return n;
}

static void check_the_machine(void)
{
	size_t cpus = number(getenv("VM_EXPECT_CPUS"), 0), nodes = number(getenv("VM_EXPECT_NODES"), 0);
	cpu_set_t set;

	if (getenv("VM_EXPECT_NO_PROC"))
		fact(access("/proc/self", F_OK) != 0 && access("/sys/devices", F_OK) != 0,
		     "there is no /proc and no /sys");
	if (cpus)
		fact(sched_getaffinity(0, sizeof set, &set) == 0 && (size_t)CPU_COUNT(&set) == cpus,
		     "the process may use %zu CPUs", cpus);
	if (nodes)
		fact(nodes_of_the_machine() == nodes, "the machine has %zu nodes", nodes);
}

int main(int argc, char **argv)
{
	size_t threads = number(argc > 1 ? argv[1] : NULL, 8), steps = number(argc > 2 ? argv[2] : NULL, 20000);
	size_t generations = number(argc > 3 ? argv[3] : NULL, 3), seed = number(argc > 4 ? argv[4] : NULL, 1);
	size_t most = number(getenv("VM_ARENAS_AT_MOST"), 0), broken = 0, refused = 0;

	fact_begin(900);
	check_the_machine();
	if (threads < 1 || threads > MAX_THREADS)
		return 2;
	for (size_t i = 0; i < generations; i++)
		generation(threads, steps, seed + i * MAX_THREADS, &broken, &refused);
	broken += worker_clear_table();
	fact(broken == 0, "%zu threads x %zu steps x %zu, seed %zu: no object lost its content (%zu did)", threads,
	     steps, generations, seed, broken);
	fact(refused == 0, "none of the requests was refused (%zu were)", refused);
	if (most)
		fact(fact_arenas() <= most, "it has %u arenas, at most %zu", fact_arenas(), most);
	return fact_end();
}
