/* SPDX-License-Identifier: MIT
 *
 * A server of N threads that holds the same memory however many they are: each keeps its share of small objects, replaces
 * them at random, and frees some of other threads. Then all wait for work. Prints what is resident, the arenas that came
 * into being and how often a thread slept for a lock. If this grows with the threads or the CPUs, ashlar does not fit
 * large machines.
 *
 * scaling THREADS LIVE_KIB REPLACEMENTS IDLE_SECONDS: the live KiB and the replacements are those of all threads together.
 */
#define _GNU_SOURCE
#include "fact.h"
#include "random.h"

#include <dlfcn.h>
#include <linux/perf_event.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_THREADS 256
#define EXCHANGED 64 /* objects on their way between threads */
#define SMALLEST 16
#define DOUBLINGS 7
/* FUTEX_WAIT and FUTEX_WAIT_BITSET, private or not. Those with a time limit are naps, not locks. */
#define LOCK_WAITS "(op == 0 || op == 128 || op == 9 || op == 137 || op == 393) && utime == 0"
#define FUTEX_EVENT "/sys/kernel/tracing/events/syscalls/sys_enter_futex/id"

struct worker {
	pthread_t thread;
	uint64_t random;
	void **objects; /* each begins with its size */
	size_t count, live;
};

static struct worker workers[MAX_THREADS];
static _Atomic(void *) exchanged[EXCHANGED];
static size_t share_live, share_replacements;
/* Threads wait in read(), each for a byte: the program itself never waits for a futex. */
enum { TO_WORK, TO_THE_END };
static int gates[2][2];
static atomic_uint filled, done;

__attribute__((noreturn)) static void give_up(const char *what)
{
	fact(false, "could not run: %s", what);
	_exit(2);
}

/* Each doubling half as likely as the one before, as sizes are in most programs: 16 to 2,047 bytes, some 90 on average. */
static size_t next_size(struct worker *w)
{
	uint64_t r = random_next(&w->random) >> 8;
	size_t from = (size_t)SMALLEST << __builtin_ctzll(r | 1ull << (DOUBLINGS - 1));

	return from + (r >> DOUBLINGS) % from;
}

static void take(struct worker *w)
{
	size_t size = next_size(w), *object = malloc(size);

	if (!object)
		give_up("out of memory");
	memset(object, 1, size);
	*object = size;
	w->objects[w->count++] = object;
	w->live += size;
}

static void drop(struct worker *w)
{
	uint64_t r = random_next(&w->random) >> 8;
	void **slot = &w->objects[(r >> 16) % w->count], *object = *slot;

	*slot = w->objects[--w->count];
	w->live -= *(size_t *)object;
	if (r % 8 == 0)
		object = atomic_exchange(&exchanged[r / 8 % EXCHANGED], object);
	free(object);
}

static void wait_at_the_gate(int which)
{
	char byte;

	if (read(gates[which][0], &byte, 1) != 1)
		_exit(1);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (w->live < share_live)
		take(w);
	atomic_fetch_add(&filled, 1);
	wait_at_the_gate(TO_WORK);
	for (size_t i = 0; i < share_replacements; i++) {
		drop(w);
		while (w->live < share_live)
			take(w);
	}
	atomic_fetch_add(&done, 1);
	wait_at_the_gate(TO_THE_END);
	return NULL;
}

static void start(unsigned threads)
{
	size_t bytes = share_live / SMALLEST * sizeof(void *) + sizeof(void *);

	for (unsigned i = 0; i < threads; i++) {
		struct worker *w = &workers[i];

		w->random = (i + 1) * 0x9e3779b97f4a7c15u;
		w->objects = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (w->objects == MAP_FAILED || pthread_create(&w->thread, NULL, work, w) != 0)
			give_up("a thread does not start");
	}
}

static void wait_for_all(atomic_uint *counter, unsigned threads)
{
	while (atomic_load(counter) < threads)
		usleep(10000);
}

static void open_the_gate(int which, unsigned threads)
{
	for (unsigned i = 0; i < threads; i++) {
		if (write(gates[which][1], "", 1) != 1)
			give_up("the pipe broke");
	}
}

/* Counts in this thread and all that it starts. */
static int count_lock_waits(void)
{
	struct perf_event_attr event = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof event,
		.config = fact_number_in(FUTEX_EVENT, ""),
		.inherit = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0 || ioctl(fd, PERF_EVENT_IOC_SET_FILTER, LOCK_WAITS) != 0)
		give_up("the kernel does not count futex calls");
	return fd;
}

static uint64_t value_of(int counter)
{
	uint64_t value;

	if (read(counter, &value, sizeof value) != sizeof value)
		give_up("the counter of futex calls cannot be read");
	return value;
}

static const char *file_of(void *function)
{
	Dl_info info;

	return dladdr(function, &info) ? info.dli_fname : "";
}

/* By malloc_info, where the allocator has its own; -1 elsewhere. */
static int arenas(void)
{
	static char text[1 << 20];
	FILE *stream = fmemopen(text, sizeof text, "w");
	int n = 0;

	if (!stream || strcmp(file_of(dlsym(RTLD_DEFAULT, "malloc")), file_of(dlsym(RTLD_DEFAULT, "malloc_info"))) != 0)
		return -1;
	if (malloc_info(0, stream) != 0 || fclose(stream) != 0)
		give_up("malloc_info failed");
	for (const char *at = text; (at = strstr(at, "<heap nr=")); at++)
		n++;
	return n;
}

static size_t resident_kib(void)
{
	return fact_number_in("/proc/self/smaps_rollup", "Rss:");
}

int main(int argc, char **argv)
{
	unsigned threads = argc == 5 ? (unsigned)atoi(argv[1]) : 0;
	size_t busy_kib, idle_kib;
	uint64_t waits;
	int counter;

	if (threads < 1 || threads > MAX_THREADS)
		return 2;
	/* The clock of an emulated machine may leap; tests/vm/run has the time limit that counts. */
	fact_begin(3600);
	share_live = strtoul(argv[2], NULL, 10) * 1024 / threads;
	share_replacements = strtoul(argv[3], NULL, 10) / threads;
	if (pipe(gates[TO_WORK]) != 0 || pipe(gates[TO_THE_END]) != 0)
		give_up("no pipe");
	counter = count_lock_waits();
	start(threads);
	wait_for_all(&filled, threads);
	waits = value_of(counter);
	open_the_gate(TO_WORK, threads);
	wait_for_all(&done, threads);
	busy_kib = resident_kib();
	waits = value_of(counter) - waits;
	sleep((unsigned)atoi(argv[4]));
	idle_kib = resident_kib();
	fact_note("threads %u busy_kib %zu idle_kib %zu arenas %d waits %lu", threads, busy_kib, idle_kib, arenas(),
		  (unsigned long)waits);
	open_the_gate(TO_THE_END, threads);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(workers[i].thread, NULL);
	return fact_end();
}
