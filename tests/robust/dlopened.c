/* SPDX-License-Identifier: MIT
 *
 * If this fails, a plug-in that brings ashlar along by dlopen does not load, or
 * crashes the program after dlclose.
 *
 * dlopened LIBRARY: the program itself stays with libc's malloc.
 */
#include <dlfcn.h>

#include "check.h"

static void *(*their_malloc)(size_t);
static void *(*their_realloc)(void *, size_t);
static void (*their_free)(void *);

static void *symbol(void *handle, const char *name)
{
	void *p = dlsym(handle, name);

	CHECK(p != NULL);
	return p;
}

static void *use(void *arg)
{
	for (unsigned round = 0; round < 20; round++) {
		unsigned char *p[EVERY_SIZE];

		for (size_t i = 0; i < EVERY_SIZE; i++)
			p[i] = mark(must(their_malloc(every_size[i])), every_size[i]);
		for (size_t i = 0; i < EVERY_SIZE; i++) {
			check_mark(p[i], every_size[i]);
			p[i] = must(their_realloc(p[i], every_size[i] + 10));
		}
		for (size_t i = 0; i < EVERY_SIZE; i++)
			their_free(p[i]);
	}
	return arg;
}

static void use_from_threads(void)
{
	for (unsigned i = 0; i < 10; i++)
		join(start(use, NULL));
}

static void *keep_until_closed(void *barrier)
{
	void *p = must(their_malloc(500));

	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	their_free(p);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_barrier_t barrier;

	watchdog(30);
	void *handle = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL)
		fprintf(stderr, "%s\n", dlerror());
	CHECK(handle != NULL);
	their_malloc = (void *(*)(size_t))symbol(handle, "malloc");
	their_realloc = (void *(*)(void *, size_t))symbol(handle, "realloc");
	their_free = (void (*)(void *))symbol(handle, "free");
	CHECK((void *)their_malloc != (void *)malloc);
	use(NULL);
	use_from_threads();
	CHECK(pthread_barrier_init(&barrier, NULL, 2) == 0);
	pthread_t thread = start(keep_until_closed, &barrier);
	pthread_barrier_wait(&barrier);
	CHECK(dlclose(handle) == 0);
	pthread_barrier_wait(&barrier);
	join(thread);
	use(NULL);
	use_from_threads();
	pid_t child = fork();
	if (child == 0) {
		use(NULL);
		exit(0);
	}
	wait_for(child);
	for (unsigned i = 0; i < 50; i++) {
		handle = dlopen(argv[argc - 1], RTLD_NOW | RTLD_LOCAL);
		CHECK(handle != NULL && symbol(handle, "malloc") == (void *)their_malloc);
		CHECK(dlclose(handle) == 0);
	}
	use(NULL);
	return puts("done") < 0;
}
