/* SPDX-License-Identifier: MIT
 *
 * The victim of bench/callgrind and of `bench/run --deterministic`: one allocation pattern, repeated exactly N times
 * after a warm-up.
 *
 *   ashlar-patterns --list                 name, operations to count instructions over, operations to report on
 *   ashlar-patterns PATTERN N              for callgrind, which runs it with N and with 2N and subtracts
 *   ashlar-patterns PATTERN N report       N operations unseen, N between two calls of getrusage, then what those cost
 *
 * So start-up, warm-up and exit cancel. If a pattern here did different work in its second N operations than in its
 * first, every figure of the instruction gate would be wrong: nothing in it may depend on time, addresses or the
 * environment. With two threads one works while the other waits.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define WINDOW 1000
#define BATCH 5000
#define SLOTS 10000
#define LARGE_WINDOW 64
#define LARGE_SLOTS 12
#define HANDED 100
#define COMPANY 400
#define PAGE 4096

struct pattern {
	const char *name;
	void (*run)(long n, size_t size);
	size_t size;
	long company;  /* objects of the size that stay alive or were freed before */
	long warm_up;  /* operations */
	long counted;  /* N under callgrind */
	long reported; /* N of a report */
	long ns;       /* what an operation takes by the clock of a report */
};

/* Time stands still for the allocator, which finds this one before libc's (the program exports it): what allocators do
 * every so many milliseconds would otherwise fall into one run and not into the other. In a report it goes by
 * operations, so that they do it, and always at the same ones. */
static uint64_t clock_now = 1000 * 1000000000ull;
static uint64_t clock_step;

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *now)
{
	uint64_t ns = __atomic_load_n(&clock_now, __ATOMIC_RELAXED);

	(void)clock;
	*now = (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
	return 0;
}

static void one_operation(void)
{
	__atomic_store_n(&clock_now, clock_now + clock_step, __ATOMIC_RELAXED);
}

__attribute__((noreturn)) static void give_up(const char *what)
{
	fprintf(stderr, "ashlar-patterns: %s\n", what);
	exit(1);
}

/* The compiler may not drop an allocation whose pointer passes through here. */
static void *volatile sink;

static void *touched(void *p)
{
	if (p == NULL)
		give_up("out of memory");
	*(volatile char *)p = 1;
	sink = p;
	return p;
}

static void *touched_all(void *p, size_t size)
{
	touched(p);
	for (size_t at = PAGE; at < size; at += PAGE)
		((volatile char *)p)[at] = 1;
	return p;
}

static uint64_t next_random(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* In a program that has run for a while, objects of the size are alive and others were freed. Without the first, some
 * allocators give a slab back at every free; without the second, a cache of one object is measured. */
static void live_a_little(size_t size, long company)
{
	void *objects[COMPANY];

	for (long i = 0; i < company; i++)
		objects[i] = touched(malloc(size));
	for (long i = 0; i < company; i += 2)
		free(objects[i]);
}

static void lifo(long n, size_t size)
{
	for (long i = 0; i < n; i++) {
		free(touched(malloc(size)));
		one_operation();
	}
}

static void fifo(long n, size_t size)
{
	static void *window[WINDOW];

	for (long i = 0; i < n; i += WINDOW) {
		for (int k = 0; k < WINDOW; k++, one_operation())
			window[k] = touched(malloc(size));
		for (int k = 0; k < WINDOW; k++)
			free(window[k]);
	}
}

/* More than a thread caches, given back in the opposite order. */
static void batch(long n, size_t size)
{
	static void *objects[BATCH];

	for (long i = 0; i < n; i += BATCH) {
		for (int k = 0; k < BATCH; k++, one_operation())
			objects[k] = touched(malloc(size));
		for (int k = BATCH; k-- > 0;)
			free(objects[k]);
	}
}

static void random_replacement(long n, size_t largest)
{
	static void *slots[SLOTS];

	for (long i = 0; i < n; i++) {
		uint64_t r = next_random();
		void **slot = &slots[(r >> 32) % SLOTS];

		free(*slot);
		*slot = touched(malloc(16 + (uint32_t)r % (largest - 15)));
		one_operation();
	}
}

static void zeroed(long n, size_t size)
{
	for (long i = 0; i < n; i++) {
		free(touched(calloc(1, size)));
		one_operation();
	}
}

static void doubling(long n, size_t largest)
{
	for (long i = 0; i < n; i++) {
		void *p = touched(malloc(16));

		for (size_t size = 32; size <= largest; size *= 2)
			p = touched(realloc(p, size));
		free(p);
		one_operation();
	}
}

/* A buffer that is appended to, by half its size when it is full, beside one that was there before. */
static void growing(long n, size_t largest)
{
	for (long i = 0; i < n; i++) {
		void *neighbour, *p = touched(malloc(PAGE));

		neighbour = touched(malloc(PAGE));
		for (size_t size = PAGE; size <= largest; size += size / 2)
			p = touched_all(realloc(p, size), size);
		free(p);
		free(neighbour);
		one_operation();
	}
}

static void aligned(long n, size_t size)
{
	static void *window[WINDOW];

	for (long i = 0; i < n; i += WINDOW) {
		for (int k = 0; k < WINDOW; k++, one_operation()) {
			if (posix_memalign(&window[k], 64, size) != 0)
				give_up("out of memory");
			touched(window[k]);
		}
		for (int k = 0; k < WINDOW; k++)
			free(window[k]);
	}
}

/* operator new and operator delete(void *, size_t), where somebody has them. */
static void *(*new_object)(size_t) = malloc;
static void (*delete_sized)(void *, size_t);

static void sized(long n, size_t size)
{
	static void *window[WINDOW];

	for (long i = 0; i < n; i += WINDOW) {
		for (int k = 0; k < WINDOW; k++, one_operation())
			window[k] = touched(new_object(size));
		for (int k = 0; k < WINDOW; k++) {
			if (delete_sized)
				delete_sized(window[k], size);
			else
				free(window[k]);
		}
	}
}

static void find_operators(void)
{
	void *object = dlsym(RTLD_DEFAULT, "_Znwm"), *del = dlsym(RTLD_DEFAULT, "_ZdlPvm");

	if (!object || !del)
		return;
	memcpy(&new_object, &object, sizeof object);
	memcpy(&delete_sized, &del, sizeof del);
}

static void large(long n, size_t size)
{
	static void *window[LARGE_WINDOW];

	for (long i = 0; i < n; i += LARGE_WINDOW) {
		for (int k = 0; k < LARGE_WINDOW; k++, one_operation())
			window[k] = touched_all(malloc(size), size);
		for (int k = 0; k < LARGE_WINDOW; k++)
			free(window[k]);
	}
}

static void large_replacement(long n, size_t largest)
{
	static void *slots[LARGE_SLOTS];

	for (long i = 0; i < n; i++) {
		uint64_t r = next_random();
		void **slot = &slots[(r >> 32) % LARGE_SLOTS];
		size_t size = largest / 20 + (uint32_t)r % (largest - largest / 20);

		free(*slot);
		*slot = touched_all(malloc(size), size);
		one_operation();
	}
}

static void huge(long n, size_t largest)
{
	for (long i = 0; i < n; i++) {
		size_t size = largest / 4 + (next_random() >> 32) % (largest - largest / 4);

		free(touched_all(malloc(size), size));
		one_operation();
	}
}

/* ---- from thread to thread. Pipes, not locks: how many system calls they take does not depend on who comes first. */

enum { TO_CONSUMER, TO_PRODUCER };
static int pipes[2][2];
static void *handed[HANDED];
static long calls_of_pipes; /* the pattern's own system calls: not the allocator's */

static void say(int way)
{
	if (write(pipes[way][1], "", 1) != 1)
		_exit(1);
}

static void hear(int way)
{
	char byte;

	if (read(pipes[way][0], &byte, 1) != 1)
		_exit(1);
}

static void *consume(void *unused)
{
	for (;;) {
		hear(TO_CONSUMER);
		for (int i = 0; i < HANDED; i++)
			free(handed[i]);
		say(TO_PRODUCER);
	}
	return unused;
}

static void start_consumer(void)
{
	static pthread_t consumer;

	if (consumer)
		return;
	if (pipe(pipes[0]) || pipe(pipes[1]) || pthread_create(&consumer, NULL, consume, NULL))
		give_up("no second thread");
}

static void hand_over(long n, size_t size)
{
	start_consumer();
	for (long i = 0; i < n; i += HANDED) {
		for (int k = 0; k < HANDED; k++, one_operation())
			handed[k] = touched(malloc(size));
		say(TO_CONSUMER);
		hear(TO_PRODUCER);
		calls_of_pipes += 4;
	}
}

/* The first nine are those of the instruction gate: tests/golden/callgrind_gate.py. */
static const struct pattern patterns[] = {
	{"lifo-64", lifo, 64, 400, 5000, 10000, 1000000, 100},
	{"lifo-4096", lifo, 4096, 400, 5000, 10000, 1000000, 100},
	{"fifo-64", fifo, 64, 400, 20000, 20000, 1000000, 100},
	{"fifo-256", fifo, 256, 400, 20000, 20000, 1000000, 100},
	{"fifo-1024", fifo, 1024, 400, 20000, 20000, 1000000, 200},
	{"fifo-4096", fifo, 4096, 400, 20000, 20000, 1000000, 200},
	{"random-16-1024", random_replacement, 1024, 400, 150000, 100000, 1000000, 200},
	{"calloc-256", zeroed, 256, 400, 5000, 10000, 1000000, 100},
	{"realloc-16-4096", doubling, 4096, 400, 1000, 2000, 200000, 2000},
	{"batch-48", batch, 48, 400, 20000, 20000, 1000000, 100},
	{"realloc-4k-2m", growing, 2 << 20, 0, 50, 50, 400, 1000000},
	{"aligned-64-320", aligned, 320, 400, 20000, 20000, 1000000, 100},
	{"sized-64", sized, 64, 400, 20000, 20000, 1000000, 100},
	{"large-64k", large, 64 << 10, 16, 3200, 6400, 64000, 5000},
	{"large-100k-2m", large_replacement, 2 << 20, 0, 500, 500, 4000, 50000},
	{"huge-4m-16m", huge, 16 << 20, 0, 20, 100, 200, 1000000},
	{"handoff-64", hand_over, 64, 400, 20000, 20000, 400000, 100},
	{"handoff-1024", hand_over, 1024, 400, 20000, 20000, 400000, 200},
};
#define PATTERNS (sizeof patterns / sizeof *patterns)

static int list(void)
{
	for (size_t i = 0; i < PATTERNS; i++)
		printf("%s %ld %ld\n", patterns[i].name, patterns[i].counted, patterns[i].reported);
	return 0;
}

/* ---- the report */

/* Linux gained process_madvise on oneself in 6.14: with it fewer calls give the same memory back. */
static void be_an_older_kernel(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_madvise, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		give_up("no seccomp filter");
}

/* Also the mark between which system calls are counted. */
static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* Resident pages that are no file's: how much of a library is resident depends on what else the machine does. */
static long resident_kib(void)
{
	char text[4096], *line;
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (n <= 0)
		give_up("cannot read /proc/self/smaps_rollup");
	text[n] = '\0';
	line = strstr(text, "\nAnonymous:");
	if (!line)
		give_up("smaps_rollup does not say what is anonymous");
	return atol(line + strlen("\nAnonymous:"));
}

static void report(const struct pattern *pattern, long n)
{
	char text[200];
	long before, in_between, calls, kib;
	int length;

	pattern->run(n, pattern->size);
	calls = calls_of_pipes;
	before = faults();
	pattern->run(n, pattern->size);
	in_between = faults() - before;
	kib = resident_kib();
	length = snprintf(text, sizeof text, "faults=%ld own_calls=%ld rss_kib=%ld\n", in_between,
			  calls_of_pipes - calls, kib);
	if (write(STDOUT_FILENO, text, (size_t)length) != length)
		_exit(1);
}

static const struct pattern *find(const char *name)
{
	for (size_t i = 0; i < PATTERNS; i++) {
		if (strcmp(patterns[i].name, name) == 0)
			return &patterns[i];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	bool reports = argc == 4 && strcmp(argv[3], "report") == 0;
	long n = argc == 3 || reports ? atol(argv[2]) : 0;
	const struct pattern *pattern = n > 0 ? find(argv[1]) : NULL;

	if (argc == 2 && strcmp(argv[1], "--list") == 0)
		return list();
	if (!pattern) {
		fputs("usage: ashlar-patterns --list | PATTERN N [report]\n", stderr);
		return 2;
	}
	if (reports) {
		be_an_older_kernel();
		clock_step = (uint64_t)pattern->ns;
	}
	if (pattern->run == sized)
		find_operators();
	live_a_little(pattern->size, pattern->company);
	pattern->run(pattern->warm_up, pattern->size);
	if (reports)
		report(pattern, n);
	else
		pattern->run(n, pattern->size);
	return 0;
}
