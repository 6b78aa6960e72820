/* SPDX-License-Identifier: MIT
 *
 * The program whose allocation calls the instruction gate steps through. If
 * it measured anything but calls in steady state, the gate would compare
 * start-up noise and a slower fast path would pass.
 *
 * A breakpoint instruction before and after each call tells the tracer where
 * the call begins (RDI points to the name of the entry point) and where it
 * ends (RDI is 0). Functions are found by dlsym, so that the compiler can
 * neither see nor remove a malloc that is followed by its free.
 *
 * With the argument "threads" a thread has lived before the calls: programs
 * with threads must pay no more.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 16, WARM_OBJECTS = 40, WARM_ROUNDS = 2000, WATCHDOG_SECONDS = 60 };

static struct {
	void *(*malloc)(size_t);
	void (*free)(void *);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	size_t (*malloc_usable_size)(void *);
	void (*free_sized)(void *, size_t);
	void (*free_aligned_sized)(void *, size_t, size_t);
	void *(*new)(size_t);
	void (*delete)(void *);
	void (*delete_sized)(void *, size_t);
} call;

static void find(void *slot, const char *name)
{
	void *address = dlsym(RTLD_DEFAULT, name);

	if (!address) {
		fprintf(stderr, "victim: no function %s: is the library preloaded?\n", name);
		exit(1);
	}
	memcpy(slot, &address, sizeof(address));
}

static void find_all(void)
{
	find(&call.malloc, "malloc");
	find(&call.free, "free");
	find(&call.calloc, "calloc");
	find(&call.realloc, "realloc");
	find(&call.malloc_usable_size, "malloc_usable_size");
	find(&call.free_sized, "free_sized");
	find(&call.free_aligned_sized, "free_aligned_sized");
	find(&call.new, "_Znwm");
	find(&call.delete, "_ZdlPv");
	find(&call.delete_sized, "_ZdlPvm");
}

static inline void begin(const char *name)
{
	__asm__ volatile("int3" : : "D"(name) : "memory");
}

static inline void end(void)
{
	__asm__ volatile("int3" : : "D"(0L) : "memory");
}

/* Fills and empties the caches of one class until they have their full size,
 * then leaves them half full: neither the next malloc nor the next free is at
 * a boundary. */
static void warm(size_t size)
{
	void *kept[WARM_OBJECTS];

	for (int round = 0; round < WARM_ROUNDS; round++) {
		for (int i = 0; i < WARM_OBJECTS; i++)
			kept[i] = call.malloc(size);
		for (int i = 0; i < WARM_OBJECTS; i++)
			call.free(kept[i]);
	}
	for (int i = 0; i < WARM_OBJECTS / 2; i++)
		kept[i] = call.malloc(size);
	for (int i = WARM_OBJECTS / 4; i < WARM_OBJECTS / 2; i++)
		call.free(kept[i]);
}

static void trace_malloc_and_free(void)
{
	void *p;

	begin("malloc(24)");
	p = call.malloc(24);
	end();
	begin("free(24)");
	call.free(p);
	end();
}

static void trace_malloc_and_free_of_2_kib(void)
{
	void *p;

	begin("malloc(2048)");
	p = call.malloc(2048);
	end();
	begin("free(2048)");
	call.free(p);
	end();
}

static void trace_sized_frees(void)
{
	void *p = call.malloc(24);
	void *q = call.malloc(24);

	begin("free_sized(24)");
	call.free_sized(p, 24);
	end();
	begin("free_aligned_sized(16,24)");
	call.free_aligned_sized(q, 16, 24);
	end();
}

static void trace_new_and_delete(void)
{
	void *p;
	void *q = call.malloc(24);

	begin("new(24)");
	p = call.new(24);
	end();
	begin("delete(24)");
	call.delete(p);
	end();
	begin("delete_sized(24)");
	call.delete_sized(q, 24);
	end();
}

static void trace_the_rest(void)
{
	void *p;

	begin("calloc(1,24)");
	p = call.calloc(1, 24);
	end();
	begin("malloc_usable_size(24)");
	(void)call.malloc_usable_size(p);
	end();
	begin("realloc(24,20)");
	p = call.realloc(p, 20);
	end();
	call.free(p);
}

static void *live_shortly(void *p)
{
	return p;
}

int main(int argc, char **argv)
{
	alarm(WATCHDOG_SECONDS);
	if (argc > 1 && strcmp(argv[1], "threads") == 0) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, live_shortly, NULL) || pthread_join(thread, NULL))
			return 1;
	}
	find_all();
	warm(24);
	warm(2048);
	for (int i = 0; i < ROUNDS; i++) {
		trace_malloc_and_free();
		trace_malloc_and_free_of_2_kib();
		trace_sized_frees();
		trace_new_and_delete();
		trace_the_rest();
	}
	return 0;
}
