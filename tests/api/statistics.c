/* SPDX-License-Identifier: MIT
 *
 * The program of statistics.py: allocates, and prints its statistics in the ways
 * that programs do. If it ends otherwise than said there, printing what a heap
 * holds has disturbed the heap or the program.
 *
 * statistics allocate BYTES SIZE THREADS | message | misuse | at-exit | storm | small-stack | fork
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void malloc_stats_print(void (*write)(void *opaque, const char *text), void *opaque, const char *letters);
extern void (*malloc_message)(void *opaque, const char *text);

#define STORM_THREADS 4
#define STORM_ROUNDS 30

static void fail(const char *what)
{
	fprintf(stderr, "statistics: %s\n", what);
	exit(1);
}

static void put(int fd, const char *text)
{
	size_t n = strlen(text);

	if (write(fd, text, n) != (ssize_t)n)
		_exit(3);
}

/* ---- allocate */

static size_t total, object;

static void *allocate_total(void *unused)
{
	for (size_t n = 0; n < total; n += object) {
		void *volatile p = malloc(object);

		free(p);
	}
	return unused;
}

static void allocate(size_t bytes, size_t size, unsigned threads)
{
	pthread_t thread[16];

	total = bytes / threads;
	object = size;
	for (unsigned i = 1; i < threads; i++)
		pthread_create(&thread[i], NULL, allocate_total, NULL);
	allocate_total(NULL);
	for (unsigned i = 1; i < threads; i++)
		pthread_join(thread[i], NULL);
}

/* ---- message: the program's own function takes what is printed, and allocates meanwhile */

static void to_output(void *opaque, const char *text)
{
	char *copy = malloc(strlen(text) + 3);

	if (!copy)
		_exit(4);
	sprintf(copy, "%c%s%c", opaque ? '{' : '<', text, opaque ? '}' : '>');
	put(STDOUT_FILENO, copy);
	free(copy);
}

static void message(void)
{
	int something;

	malloc_message = to_output;
	errno = EDOM;
	malloc_stats_print(NULL, NULL, "gmdablxeh");
	malloc_stats_print(NULL, &something, "Jgmdablxeh");
	if (errno != EDOM)
		fail("errno has changed");
}

/* ---- misuse: an error that is found with a lock held ends the program although its function allocates */

static void misuse(void)
{
	void *volatile p = malloc(100);
	void *volatile same = p;

	malloc_message = to_output;
	free(p);
	free(same);
}

/* ---- at-exit */

static void print_last(void)
{
	malloc_stats_print(NULL, NULL, "Jgmdablxeh");
}

/* ---- storm: all threads allocate and print; one part is whole though others print */

static void count(void *opaque, const char *text)
{
	*(size_t *)opaque += strlen(text);
}

static void *storm(void *letters)
{
	void *kept[100];

	for (size_t round = 0; round < STORM_ROUNDS; round++) {
		size_t printed = 0;

		for (size_t i = 0; i < 100; i++)
			kept[i] = malloc(i * i * (round + 1));
		malloc_stats_print(count, &printed, letters);
		for (size_t i = 0; i < 100; i++)
			free(kept[i]);
		if (printed < 1000)
			fail("less than 1000 bytes were printed");
	}
	return NULL;
}

static void storms(void)
{
	static char *const letters[STORM_THREADS] = {"", "J", "Jg", "a"};
	pthread_t thread[STORM_THREADS];

	for (int i = 0; i < STORM_THREADS; i++)
		pthread_create(&thread[i], NULL, storm, letters[i]);
	for (int i = 0; i < STORM_THREADS; i++)
		pthread_join(thread[i], NULL);
}

/* ---- small-stack: printing needs little of it */

static void *print_both(void *unused)
{
	size_t printed = 0;

	malloc_stats_print(count, &printed, "");
	malloc_stats_print(count, &printed, "J");
	if (printed < 2000)
		fail("less than 2000 bytes were printed");
	return unused;
}

static void small_stack(void)
{
	long least = sysconf(_SC_THREAD_STACK_MIN);
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	/* musl would take 2 KiB, and leave the rest to guesses. */
	if (pthread_attr_setstacksize(&attr, least < 16384 ? 16384 : (size_t)least) != 0)
		fail("no such stack");
	if (pthread_create(&thread, &attr, print_both, NULL) != 0)
		fail("no thread");
	pthread_join(thread, NULL);
}

/* ---- fork: children of a process whose other threads print */

static bool enough;

static void *print_on(void *unused)
{
	while (!__atomic_load_n(&enough, __ATOMIC_RELAXED)) {
		size_t printed = 0;

		malloc_stats_print(count, &printed, "J");
	}
	return unused;
}

static void forks(void)
{
	pthread_t thread[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, print_on, NULL);
	for (int i = 0; i < 20; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			size_t printed = 0;

			alarm(20);
			malloc_stats_print(count, &printed, "J");
			_exit(printed < 1000);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0)
			fail("a child could not print");
	}
	__atomic_store_n(&enough, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	alarm(100);
	if (strcmp(what, "allocate") == 0 && argc == 5)
		allocate(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10), (unsigned)atoi(argv[4]));
	else if (strcmp(what, "message") == 0)
		message();
	else if (strcmp(what, "misuse") == 0)
		misuse();
	else if (strcmp(what, "at-exit") == 0)
		atexit(print_last);
	else if (strcmp(what, "storm") == 0)
		storms();
	else if (strcmp(what, "small-stack") == 0)
		small_stack();
	else if (strcmp(what, "fork") == 0)
		forks();
	else
		fail("allocate BYTES SIZE THREADS | message | misuse | at-exit | storm | small-stack | fork");
	return 0;
}
