/* SPDX-License-Identifier: MIT
 *
 * A pre-forking server or a test runner: a process with 20 MB of small objects forks; the child makes some objects,
 * frees some that it shares with its parent, and ends. The allocator's locks and its caches pass through fork, and
 * what a free writes to copies a page.
 * Known from: PostgreSQL, CGI and test harnesses; Redis and the like for what a child copies.
 */
#include "bench/harness.h"

#include <sys/wait.h>
#include <unistd.h>

#define OBJECTS 200000
#define FORKS 5
#define MADE 1000
#define FREED 200

static void child(void **objects)
{
	for (int i = 0; i < FREED; i++)
		free(objects[i * (OBJECTS / FREED)]);
	for (int i = 0; i < MADE; i++)
		bench_malloc((size_t)(16 + i % 30 * 16));
	_exit(0);
}

static void fork_and_wait(void **objects)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		child(objects);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		bench_fail("a forked process failed");
}

static void fork_exit(struct bench *b)
{
	void **objects = bench_table(OBJECTS * sizeof *objects);

	bench_begin(b);
	for (int i = 0; i < OBJECTS; i++)
		objects[i] = bench_malloc(100);
	while (bench_next(b))
		for (int i = 0; i < FORKS; i++)
			fork_and_wait(objects);
	for (int i = 0; i < OBJECTS; i++)
		free(objects[i]);
	bench_table_free(objects, OBJECTS * sizeof *objects);
	bench_operations(b, FORKS);
}

BENCH_WORKLOAD(start, fork, .run = fork_exit, .iterations = 80, .quick = 6);
