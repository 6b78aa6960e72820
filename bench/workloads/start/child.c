/* SPDX-License-Identifier: MIT
 *
 * The program that start/spawn.c starts again and again: it comes, does next to nothing, and goes, so that what a
 * process costs an allocator at its start and its end is what there is. With a second argument it writes its peak of
 * resident memory, in KiB, to that file descriptor.
 *
 *   ashlar-bench-child small|threads|heap [FD]
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 8
#define OBJECTS 100
#define HEAP_OBJECTS 6000

static pthread_barrier_t ready;

static void *touched(size_t size)
{
	char *p = malloc(size);

	if (p == NULL)
		_exit(3);
	return memset(p, 1, size);
}

static int small(void)
{
	free(touched(24));
	return 0;
}

static void *waiting(void *unused)
{
	for (int i = 0; i < OBJECTS; i++)
		touched((size_t)(16 + i % 10 * 48));
	pthread_barrier_wait(&ready);
	pause();
	return unused;
}

/* main() returns while all threads wait in the kernel, as a daemon's or a thread pool's do. */
static int threads(void)
{
	pthread_t thread;

	pthread_barrier_init(&ready, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&thread, NULL, waiting, NULL) != 0)
			return 4;
	pthread_barrier_wait(&ready);
	return 0;
}

/* Some 2 MB that nobody frees: compilers and other short programs leave that to exit. */
static int heap(void)
{
	for (int i = 0; i < HEAP_OBJECTS; i++)
		touched((size_t)(16 + i * 7919 % 640));
	return 0;
}

static int tell_peak(int fd)
{
	char text[8192];
	int status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(status, text, sizeof text - 1);
	const char *line;

	close(status);
	if (n <= 0)
		return 5;
	text[n] = '\0';
	line = strstr(text, "VmHWM:");
	return line != NULL && dprintf(fd, "%ld\n", atol(line + 6)) > 0 ? 0 : 5;
}

int main(int argc, char **argv)
{
	int status = 2;

	if (argc < 2)
		return 2;
	if (strcmp(argv[1], "small") == 0)
		status = small();
	else if (strcmp(argv[1], "threads") == 0)
		status = threads();
	else if (strcmp(argv[1], "heap") == 0)
		status = heap();
	if (status == 0 && argc > 2)
		status = tell_peak(atoi(argv[2]));
	return status;
}
