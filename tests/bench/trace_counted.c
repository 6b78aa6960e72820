/* SPDX-License-Identifier: MIT
 *
 * A program of several threads that knows what a recording of it must contain. Its own malloc, calloc, realloc and free stand before the
 * recorder's: they count under one lock, also what libc allocates, and pass the call on. If the recorder counted something twice,
 * missed it, or took it in another order, its counts or its peak would differ from those printed here.
 *
 *   trace_counted [kill|fork|exec PROGRAM]
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define SHORT_THREADS 30
#define OPERATIONS 6000
#define SLOTS 500
#define BOXES 64
#define TABLE (1 << 20)
#define PUBLIC __attribute__((visibility("default")))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread bool
	inside; /* what an allocator does meanwhile, as starting a thread, is not the program's: passed on, not counted */
static struct {
	uintptr_t address;
	size_t size;
} table[TABLE]; /* open addressing; an entry whose object was freed keeps the address with size SIZE_MAX */
static struct {
	unsigned long malloc, calloc, aligned, realloc, free, live, peak;
} count;
static void *(*next_malloc)(size_t), *(*next_calloc)(size_t, size_t), *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);
static int (*next_posix_memalign)(void **, size_t, size_t);

static size_t *size_of(const void *p)
{
	size_t i = ((uintptr_t)p >> 3) * 0x9e3779b97f4a7c15u >> 44;

	while (table[i].address != 0 && table[i].address != (uintptr_t)p)
		i = (i + 1) % TABLE;
	if (table[i].address == 0) {
		table[i].address = (uintptr_t)p;
		table[i].size = SIZE_MAX;
	}
	return &table[i].size;
}

static void add(void *p, size_t size)
{
	*size_of(p) = size;
	count.live += size;
	if (count.live > count.peak)
		count.peak = count.live;
}

static void look_up(void)
{
	if (next_malloc != NULL)
		return;
	*(void **)&next_calloc = dlsym(RTLD_NEXT, "calloc");
	*(void **)&next_realloc = dlsym(RTLD_NEXT, "realloc");
	*(void **)&next_free = dlsym(RTLD_NEXT, "free");
	*(void **)&next_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
	*(void **)&next_malloc = dlsym(RTLD_NEXT, "malloc");
}

static void enter(void)
{
	pthread_mutex_lock(&lock);
	inside = true;
	look_up();
}

static void leave(void)
{
	inside = false;
	pthread_mutex_unlock(&lock);
}

PUBLIC void *malloc(size_t size)
{
	void *p;

	if (inside)
		return next_malloc(size);
	enter();
	p = next_malloc(size);
	if (p != NULL) {
		count.malloc++;
		add(p, size);
	}
	leave();
	return p;
}

PUBLIC void *calloc(size_t n, size_t size)
{
	void *p;

	if (inside)
		return next_calloc(n, size);
	enter();
	p = next_calloc(n, size);
	if (p != NULL) {
		count.calloc++;
		add(p, n * size);
	}
	leave();
	return p;
}

PUBLIC int posix_memalign(void **out, size_t alignment, size_t size)
{
	int error;

	if (inside)
		return next_posix_memalign(out, alignment, size);
	enter();
	error = next_posix_memalign(out, alignment, size);
	if (error == 0) {
		count.aligned++;
		add(*out, size);
	}
	leave();
	return error;
}

PUBLIC void free(void *p)
{
	size_t *size;

	if (p == NULL)
		return;
	if (inside) {
		next_free(p);
		return;
	}
	enter();
	size = size_of(p);
	if (*size != SIZE_MAX) {
		count.free++;
		count.live -= *size;
		*size = SIZE_MAX;
	}
	next_free(p);
	leave();
}

PUBLIC void *realloc(void *old, size_t size)
{
	size_t before;
	void *p;

	if (old == NULL)
		return malloc(size);
	if (inside)
		return next_realloc(old, size);
	enter();
	before = *size_of(old);
	p = next_realloc(old, size);
	if (p != NULL || size == 0) {
		*size_of(old) = SIZE_MAX;
		count.live -= before;
		count.realloc += p != NULL;
		count.free += p == NULL;
		if (p != NULL)
			add(p, size);
	}
	leave();
	return p;
}

/* The program. */

static void *_Atomic boxes[BOXES]; /* objects on their way to another thread */

static unsigned next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*state >> 33);
}

static size_t some_size(uint64_t *r)
{
	unsigned n = next_random(r);

	return n % 100 == 0 ? n / 100 % 300000 : n % 600;
}

static void *allocate(uint64_t *r)
{
	size_t size = some_size(r);
	void *p = NULL;

	switch (next_random(r) % 8) {
	case 0:
		return calloc(1 + size / 16, 16);
	case 1:
		if (posix_memalign(&p, (size_t)16 << next_random(r) % 6, size) != 0)
			abort();
		return p;
	default:
		return malloc(size);
	}
}

static void *work(void *seed)
{
	uint64_t r = (uintptr_t)seed;
	void *slots[SLOTS] = {0};

	for (int i = 0; i < OPERATIONS; i++) {
		void **slot = &slots[next_random(&r) % SLOTS];

		switch (next_random(&r) % 4) {
		case 0:
			*slot = __atomic_exchange_n(&boxes[next_random(&r) % BOXES], *slot, __ATOMIC_ACQ_REL);
			break;
		case 1:
			*slot = realloc(*slot, some_size(&r));
			break;
		default:
			free(*slot);
			*slot = allocate(&r);
		}
	}
	for (int i = 0; i < SLOTS; i++)
		free(slots[i]);
	return NULL;
}

static void *short_work(void *arg)
{
	return strdup("what a short thread leaves to others");
}

static void in_handler(int signal)
{
	free(malloc(77));
}

static void run_short_threads(void)
{
	for (int i = 0; i < SHORT_THREADS; i++) {
		pthread_t thread;
		void *left;

		if (pthread_create(&thread, NULL, short_work, NULL) != 0)
			abort();
		pthread_join(thread, &left);
		free(left);
	}
}

static void run_threads(void)
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, work, (void *)(i + 1)) != 0)
			abort();
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void fork_a_child(char **command)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		free(malloc(100));
		if (command[0] != NULL)
			execv(command[0], command);
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		abort();
}

int main(int argc, char **argv)
{
	char line[256];
	void *library = dlopen("libresolv.so.2", RTLD_NOW);

	if (library == NULL)
		return 1;
	signal(SIGUSR1, in_handler);
	run_threads();
	raise(SIGUSR1);
	run_short_threads();
	if (argc > 1 && (strcmp(argv[1], "fork") == 0 || strcmp(argv[1], "exec") == 0))
		fork_a_child(argv + 2);
	dlclose(library);
	if (argc > 1 && strcmp(argv[1], "kill") == 0)
		kill(getpid(), SIGKILL);
	snprintf(line, sizeof line,
		 "malloc %lu calloc %lu aligned %lu realloc %lu free %lu peak_live_bytes %lu end_live_bytes %lu\n",
		 count.malloc, count.calloc, count.aligned, count.realloc, count.free, count.peak, count.live);
	if (write(1, line, strlen(line)) < 0)
		return 1;
	_exit(0);
}
