/* SPDX-License-Identifier: MIT
 *
 * The victim of bench/callgrind: one allocation pattern, repeated exactly N times after a warm-up.
 *
 *   ashlar-patterns PATTERN N
 *
 * bench/callgrind runs it with N and with 2N and subtracts, so that start-up, warm-up and exit cancel. If a pattern here
 * did different work in its second N operations than in its first, every figure of the instruction gate would be wrong:
 * nothing in it may depend on time, addresses or the environment.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WINDOW 1000
#define SLOTS 10000
#define COMPANY 400

struct pattern {
	const char *name;
	void (*run)(long n, size_t size);
	size_t size;
	long warm_up;
};

/* Time stands still for the allocator, which finds this one before libc's (the program exports it): what allocators do
 * every so many milliseconds would otherwise fall into one run and not into the other. */
__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *now)
{
	(void)clock;
	*now = (struct timespec){.tv_sec = 1000};
	return 0;
}

/* The compiler may not drop an allocation whose pointer passes through here. */
static void *volatile sink;

static void *touched(void *p)
{
	if (p == NULL) {
		fputs("ashlar-patterns: out of memory\n", stderr);
		exit(1);
	}
	*(volatile char *)p = 1;
	sink = p;
	return p;
}

static void lifo(long n, size_t size)
{
	for (long i = 0; i < n; i++)
		free(touched(malloc(size)));
}

static void fifo(long n, size_t size)
{
	static void *window[WINDOW];

	for (long i = 0; i < n; i += WINDOW) {
		for (int k = 0; k < WINDOW; k++)
			window[k] = touched(malloc(size));
		for (int k = 0; k < WINDOW; k++)
			free(window[k]);
	}
}

/* In a program that has run for a while, objects of the size are alive and others were freed. Without the first, some
 * allocators give a slab back at every free; without the second, a cache of one object is measured. */
static void live_a_little(size_t size)
{
	void *objects[COMPANY];

	for (int i = 0; i < COMPANY; i++)
		objects[i] = touched(malloc(size));
	for (int i = 0; i < COMPANY; i += 2)
		free(objects[i]);
}

static uint64_t next_random(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void random_replacement(long n, size_t largest)
{
	static void *slots[SLOTS];

	for (long i = 0; i < n; i++) {
		uint64_t r = next_random();
		void **slot = &slots[(r >> 32) % SLOTS];

		free(*slot);
		*slot = touched(malloc(16 + (uint32_t)r % (largest - 15)));
	}
}

static void zeroed(long n, size_t size)
{
	for (long i = 0; i < n; i++)
		free(touched(calloc(1, size)));
}

static void doubling(long n, size_t largest)
{
	for (long i = 0; i < n; i++) {
		void *p = touched(malloc(16));

		for (size_t size = 32; size <= largest; size *= 2)
			p = touched(realloc(p, size));
		free(p);
	}
}

static const struct pattern patterns[] = {
	{"lifo-64", lifo, 64, 5000},
	{"lifo-4096", lifo, 4096, 5000},
	{"fifo-64", fifo, 64, 20000},
	{"fifo-256", fifo, 256, 20000},
	{"fifo-1024", fifo, 1024, 20000},
	{"fifo-4096", fifo, 4096, 20000},
	{"random-16-1024", random_replacement, 1024, 150000},
	{"calloc-256", zeroed, 256, 5000},
	{"realloc-16-4096", doubling, 4096, 1000},
};

static int list(void)
{
	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
		puts(patterns[i].name);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return list();
	long n = argc == 3 ? atol(argv[2]) : 0;

	for (size_t i = 0; n > 0 && i < sizeof patterns / sizeof *patterns; i++) {
		if (strcmp(patterns[i].name, argv[1]) != 0)
			continue;
		live_a_little(patterns[i].size);
		patterns[i].run(patterns[i].warm_up, patterns[i].size);
		patterns[i].run(n, patterns[i].size);
		return 0;
	}
	fputs("usage: ashlar-patterns --list | PATTERN N\n", stderr);
	return 2;
}
