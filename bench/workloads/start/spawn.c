/* SPDX-License-Identifier: MIT
 *
 * What an allocator costs a program that hardly uses it: shell scripts, configure, cron and CGI start thousands of
 * them, and each maps the library, sets it up and tears it down. A small C program is started again and again under
 * the same LD_PRELOAD: one that makes a single object (start/small_program), one whose 8 threads still wait when
 * main() returns (start/threads_at_exit), one that leaves 2 MB unfreed as compilers do (start/heap_at_exit). CPU time
 * and faults are those of all these processes, the peak is that of one.
 */
#define _GNU_SOURCE
#include "bench/harness.h"

#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAMS 20

extern char **environ;

static const char *const kinds[] = {"small", "threads", "heap"};

/* The program lies beside this one. */
static void find_child(char path[PATH_MAX])
{
	static const char name[] = "-child";
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof name);

	if (n <= 0)
		bench_fail("/proc/self/exe cannot be read");
	memcpy(path + n, name, sizeof name);
	if (access(path, X_OK) != 0)
		bench_fail("no program ashlar-bench-child beside this one");
}

static void run_child(char *const *argv)
{
	int status = 0;
	pid_t pid;

	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0)
		bench_fail("cannot start a program");
	if (waitpid(pid, &status, 0) != pid || status != 0)
		bench_fail("a program that was started failed");
}

/* One run that counts nowhere tells the peak; it also brings the files into the page cache. */
static double peak_of_child(char *path, char *kind)
{
	char text[32] = "", fd_text[16];
	int fd[2];

	if (pipe(fd) != 0)
		bench_fail("no pipe");
	snprintf(fd_text, sizeof fd_text, "%d", fd[1]);
	run_child((char *const[]){path, kind, fd_text, NULL});
	if (read(fd[0], text, sizeof text - 1) <= 0)
		bench_fail("a program that was started did not tell its peak");
	close(fd[0]);
	close(fd[1]);
	return atof(text);
}

static void spawn(struct bench *b)
{
	char path[PATH_MAX], kind[16] = "";
	double peak_kib;

	find_child(path);
	strncpy(kind, kinds[bench_arg(b, 0)], sizeof kind - 1);
	peak_kib = peak_of_child(path, kind);
	bench_begin(b);
	while (bench_next(b))
		for (int i = 0; i < PROGRAMS; i++)
			run_child((char *const[]){path, kind, NULL});
	bench_child_memory(b, peak_kib);
	bench_operations(b, PROGRAMS);
}

BENCH_WORKLOAD(start, small_program, .run = spawn, .iterations = 50, .quick = 5, .args = {0});
BENCH_WORKLOAD(start, threads_at_exit, .run = spawn, .iterations = 40, .args = {1});
BENCH_WORKLOAD(start, heap_at_exit, .run = spawn, .iterations = 25, .args = {2});
