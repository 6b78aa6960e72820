/* SPDX-License-Identifier: MIT
 *
 * Loads libashlar.so.1 beside the program's own malloc while threads run. If
 * this fails, a program that loads ashlar late dies when a thread that is older
 * than the library first uses it, when a thread ends after dlclose, or when the
 * program forks.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 10, OBJECTS = 2000 };

static struct {
	void *handle;
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t count, size_t size);
	void (*free)(void *p);
	size_t (*usable_size)(void *p);
} heap;

static void *handed_over[THREADS][OBJECTS];
static pthread_barrier_t opened, filled, freed, closed;

static void require(int condition, const char *what)
{
	if (!condition) {
		fprintf(stderr, "FAILED: %s\n", what);
		exit(1);
	}
}

static size_t size_of(int i)
{
	return (size_t)1 + (size_t)i * 7919 % (i % 50 == 0 ? 300000 : 3000);
}

static void fill(void **objects, unsigned char mark)
{
	for (int i = 0; i < OBJECTS; i++) {
		objects[i] = i % 2 ? heap.calloc(1, size_of(i)) : heap.malloc(size_of(i));
		require(objects[i] != NULL, "the private heap has memory");
		memset(objects[i], mark, size_of(i));
	}
}

static void empty(void **objects, unsigned char mark)
{
	for (int i = 0; i < OBJECTS; i++) {
		unsigned char *p = objects[i];

		require(p[0] == mark && p[size_of(i) - 1] == mark, "objects keep their contents");
		heap.free(p);
	}
}

/* Is older than the library, fills what its neighbour frees, outlives dlclose. */
static void *older_than_the_library(void *arg)
{
	int me = (int)(long)arg, neighbour = (me + 1) % THREADS;

	pthread_barrier_wait(&opened);
	fill(handed_over[me], (unsigned char)(me + 1));
	free(malloc(1000));
	pthread_barrier_wait(&filled);
	empty(handed_over[neighbour], (unsigned char)(neighbour + 1));
	pthread_barrier_wait(&freed);
	pthread_barrier_wait(&closed);
	return NULL;
}

static void open_heap(const char *library)
{
	heap.handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	if (heap.handle == NULL) {
		fprintf(stderr, "FAILED: %s\n", dlerror());
		exit(1);
	}
	heap.malloc = (void *(*)(size_t))dlsym(heap.handle, "malloc");
	heap.calloc = (void *(*)(size_t, size_t))dlsym(heap.handle, "calloc");
	heap.free = (void (*)(void *))dlsym(heap.handle, "free");
	heap.usable_size = (size_t(*)(void *))dlsym(heap.handle, "malloc_usable_size");
	require(heap.malloc && heap.calloc && heap.free && heap.usable_size, "the library has its functions");
	require(heap.malloc != malloc && heap.free != free, "the program keeps its own malloc");
}

static void fork_with_both_heaps(void)
{
	void *ours = malloc(100), *theirs = heap.malloc(100);
	int status;
	pid_t child = fork();

	require(child >= 0, "fork works");
	if (child == 0) {
		alarm(20);
		free(ours);
		heap.free(theirs);
		fill(handed_over[0], 9);
		empty(handed_over[0], 9);
		_exit(7);
	}
	require(waitpid(child, &status, 0) == child, "the child is waited for");
	require(WIFEXITED(status) && WEXITSTATUS(status) == 7, "the child uses both heaps");
	free(ours);
	heap.free(theirs);
}

static void a_round(const char *library)
{
	pthread_t threads[THREADS];

	for (long i = 0; i < THREADS; i++)
		require(pthread_create(&threads[i], NULL, older_than_the_library, (void *)i) == 0, "threads start");
	open_heap(library);
	require(heap.usable_size(NULL) == 0, "usable size of NULL is 0");
	pthread_barrier_wait(&opened);
	pthread_barrier_wait(&filled);
	pthread_barrier_wait(&freed);
	fork_with_both_heaps();
	require(dlclose(heap.handle) == 0, "dlclose works");
	pthread_barrier_wait(&closed);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
	alarm(60);
	require(argc == 2, "one argument, the library");
	pthread_barrier_init(&opened, NULL, THREADS + 1);
	pthread_barrier_init(&filled, NULL, THREADS + 1);
	pthread_barrier_init(&freed, NULL, THREADS + 1);
	pthread_barrier_init(&closed, NULL, THREADS + 1);
	for (int i = 0; i < ROUNDS; i++)
		a_round(argv[1]);
	printf("%d rounds\n", ROUNDS);
	return 0;
}
