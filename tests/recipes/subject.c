/* SPDX-License-Identifier: MIT
 *
 * subject — what a recipe of docs/tuning.md is tried on: does one thing with the
 * heap and prints what became of it, one KEY=VALUE a line.
 *
 * If a recipe has no effect on it, the document promises an operator what does
 * not happen.
 *
 *   subject VERB [NUMBER]
 */
#define _GNU_SOURCE
#include <ashlar/ashlar.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define CHURNED 20000

static _Noreturn void stop(const char *why)
{
	fprintf(stderr, "subject: %s: %s\n", why, strerror(errno));
	exit(1);
}

static void *must(void *p)
{
	if (!p)
		stop("no memory");
	return p;
}

/* The compiler is not to know what becomes of it. */
static void *opaque(void *p)
{
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static void nap(unsigned ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

static unsigned now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned)(t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

static struct ashlar_stats stats(void)
{
	struct ashlar_stats s;

	if (ashlar_stats(&s, sizeof(s)) != 0)
		stop("no statistics");
	return s;
}

static void show(const char *key, size_t value)
{
	printf("%s=%zu\n", key, value);
	fflush(stdout);
}

static unsigned char *touched(size_t size)
{
	return memset(must(malloc(size)), 0x77, size);
}

/* `count` objects of `size` bytes, linked through their first words. */
static void **chain(size_t count, size_t size)
{
	void **last = NULL;

	for (size_t i = 0; i < count; i++) {
		void **p = (void **)touched(size);

		*p = last;
		last = p;
	}
	return last;
}

static void chain_free(void **p)
{
	for (void **next; p; p = next) {
		next = *p;
		free(p);
	}
}

/* ---- threads */

static bool is_helper(const char *thread)
{
	char path[32 + sizeof(((struct dirent64 *)0)->d_name)], name[16] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%s/comm", thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, name, sizeof(name) - 1) < 0)
		stop(path);
	close(fd);
	return strcmp(name, "ashlar-helper\n") == 0;
}

/* Counts the process's threads; `helper`: is one of them ashlar's? Without malloc, which opendir would call. */
static unsigned threads_seen(bool *helper)
{
	char list[4096] __attribute__((aligned(8)));
	int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long size = fd < 0 ? -1 : syscall(SYS_getdents64, fd, list, sizeof(list));
	unsigned count = 0;

	if (size <= 0)
		stop("/proc/self/task");
	close(fd);
	*helper = false;
	for (long at = 0; at < size; at += ((struct dirent64 *)(list + at))->d_reclen) {
		const char *name = ((struct dirent64 *)(list + at))->d_name;

		if (*name == '.')
			continue;
		count++;
		*helper |= is_helper(name);
	}
	return count;
}

static void *rests(void *barrier)
{
	free(opaque(must(malloc(100))));
	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	return NULL;
}

static pthread_barrier_t barrier;

/* Another thread that has a cache, and waits. */
static pthread_t company(void)
{
	pthread_t thread;

	pthread_barrier_init(&barrier, NULL, 2);
	if (pthread_create(&thread, NULL, rests, &barrier) != 0)
		stop("no thread");
	pthread_barrier_wait(&barrier);
	return thread;
}

static void company_leaves(pthread_t thread)
{
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
}

/* Works until ashlar's thread is there, or for so long. */
static bool helper_comes(unsigned ms)
{
	unsigned since = now_ms();
	bool helper;

	do {
		chain_free(chain(CHURNED, 100));
		nap(10);
		threads_seen(&helper);
	} while (!helper && now_ms() - since < ms);
	return helper;
}

/* ---- what goes back */

/* One free object of 1.5 MiB, too little for any cap: after how many ms is it gone, in a process with a helper? */
static void fades(unsigned most)
{
	unsigned char *p = touched(MIB + MIB / 2);
	unsigned since;

	company();
	if (!helper_comes(20000))
		stop("no helper");
	malloc_trim(0);
	since = now_ms();
	free(p);
	while (stats().dirty > MIB && now_ms() - since < most)
		nap(2);
	show("ms", now_ms() - since);
}

static void at_once(unsigned unused)
{
	size_t before;

	(void)unused;
	void **objects = chain(200, 100000);
	before = stats().purge_calls;
	chain_free(objects);
	show("dirty", stats().dirty);
	show("calls", stats().purge_calls - before);
}

/* 64 MiB are freed, and calls go on for so long. */
static void keeps(unsigned ms)
{
	unsigned since = now_ms();

	chain_free(chain(64, MIB));
	while (now_ms() - since < ms) {
		chain_free(chain(1000, 100));
		nap(10);
	}
	show("dirty", stats().dirty);
	show("purged", stats().purged);
	show("trimmed", (size_t)malloc_trim(0));
	show("left", stats().dirty);
}

static void trims(unsigned unused)
{
	(void)unused;
	chain_free(chain(8000, 1000));
	chain_free(chain(100, 10000));
	show("before", stats().held - stats().in_use);
	show("trimmed", (size_t)malloc_trim(0));
	show("after", stats().held - stats().in_use - stats().metadata);
}

/* Frees 64 MiB of small objects, all but one in a hundred, and is silent in its only thread. */
static void silent(unsigned ms)
{
	void **p = chain(600000, 100);
	struct ashlar_pages pages;

	for (unsigned i = 0; p; i++) {
		void **next = *p;

		if (i % 100)
			free(p);
		p = next;
	}
	nap(ms);
	if (ashlar_pages(&pages, sizeof(pages)) != 0)
		stop("no pages");
	show("in_use", stats().in_use);
	show("idle", pages.slab_idle.resident + pages.dirty.resident + stats().cached);
}

/* The number behind `key` in a file of lines, in KiB or as it stands. */
static size_t number_in(const char *path, const char *key)
{
	static char text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *found;

	if (n < 0)
		stop(path);
	close(fd);
	text[n] = '\0';
	found = strstr(text, key);
	return found ? strtoul(found + strlen(key), NULL, 10) : 0;
}

/* One free object of 1.5 MiB: is it offered to the system before it is gone, or given back at once? */
static void offers(unsigned most)
{
	unsigned char *p = touched(MIB + MIB / 2);
	unsigned since;
	size_t lazy = 0;

	company();
	if (!helper_comes(20000))
		stop("no helper");
	malloc_trim(0);
	since = now_ms();
	free(p);
	while (lazy < 1024 && stats().dirty > MIB && now_ms() - since < most) {
		lazy = number_in("/proc/self/smaps_rollup", "LazyFree:");
		nap(2);
	}
	show("offered", lazy >= 1024);
	show("ms", now_ms() - since);
}

static size_t committed(void)
{
	struct ashlar_pages pages;

	if (ashlar_pages(&pages, sizeof(pages)) != 0)
		stop("no pages");
	return pages.committed;
}

static void shrinks(unsigned unused)
{
	(void)unused;
	void **p;
	size_t full;

	/* The stream's buffer is not to lie behind the others. */
	show("threads", stats().nthreads);
	p = chain(64, MIB);
	full = committed();
	chain_free(p);
	malloc_trim(0);
	show("full", full);
	show("empty", committed());
}

/* What the kernel has been told of the mapping that holds an object, in a heap of so many MiB. */
static void advises(unsigned mib)
{
	uintptr_t p = (uintptr_t)chain(mib, MIB), begin, end;
	char line[512];
	bool ours = false;
	FILE *maps = fopen("/proc/self/smaps", "re");

	if (!maps)
		stop("/proc/self/smaps");
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2)
			ours = begin <= p && p < end;
		if (!ours || strncmp(line, "VmFlags:", 8) != 0)
			continue;
		show("huge", strstr(line, " hg") != NULL);
		show("none", strstr(line, " nh") != NULL);
	}
	fclose(maps);
}

/* Stops for good where a debugger may look at it. */
static void waits(unsigned unused)
{
	(void)unused;
	chain_free(chain(12000, 1000));
	show("dirty", stats().dirty);
	for (;;)
		pause();
}

/* ---- ashlar's thread */

static void helper(unsigned ms)
{
	free(opaque(touched(2 * MIB)));
	company();
	show("helper", helper_comes(ms));
}

static void helper_alone(unsigned ms)
{
	free(opaque(touched(2 * MIB)));
	show("helper", helper_comes(ms));
}

/* All threads but the first end, and that one goes on; may the process enter a user namespace then, or after so long? */
static void enters(unsigned most)
{
	bool there;
	pthread_t thread = company();
	unsigned char *p = touched(2 * MIB);
	unsigned since;

	show("helper", helper_comes(most));
	company_leaves(thread);
	chain_free(chain(16, 3 * MIB));
	since = now_ms();
	while (threads_seen(&there) > 1 && now_ms() - since < most) {
		chain_free(chain(1000, 1000));
		nap(5);
	}
	show("threads", threads_seen(&there));
	show("ms", now_ms() - since);
	/* Not allowed, perhaps; but not refused for the threads. */
	errno = 0;
	show("refused", unshare(CLONE_NEWUSER) != 0 && errno == EINVAL);
	free(p);
}

/* ---- arenas, caches */

static volatile bool enough;

static void *contends(void *unused)
{
	while (!enough)
		chain_free(chain(200, 64));
	return unused;
}

/* Eight threads without pause, for so long or until there is a second arena. */
static void arenas(unsigned ms)
{
	pthread_t thread[8];
	unsigned since = now_ms();

	for (unsigned i = 0; i < 8; i++) {
		if (pthread_create(&thread[i], NULL, contends, NULL) != 0)
			stop("no thread");
	}
	while (stats().narenas < 2 && now_ms() - since < ms)
		nap(10);
	enough = true;
	for (unsigned i = 0; i < 8; i++)
		pthread_join(thread[i], NULL);
	show("arenas", stats().narenas);
}

static void caches(unsigned unused)
{
	(void)unused;
	chain_free(chain(1000, 64));
	show("cached", stats().cached);
	show("threads", stats().nthreads);
}

/* ---- heap errors, contents */

/* Filled by the program, freed, and taken again: what is in it? */
static void contents(unsigned size)
{
	unsigned char *p = touched(size), *gone = opaque(p);

	free(p);
	printf("freed=%02x\n", gone[size / 2]);
	p = must(malloc(size));
	printf("fresh=%02x\n", ((unsigned char *)opaque(p))[size / 2]);
}

/* 1 frees twice, 2 writes after free, 3 writes past the end, 4 frees a pointer into an object. Then says that it lives. */
static void errs(unsigned kind)
{
	char *p = must(malloc(100)), *gone = opaque(p);

	if (kind == 3)
		gone[101] = 'X';
	free(kind == 4 ? opaque(p + 16) : p);
	if (kind == 1)
		free(gone);
	if (kind == 2)
		gone[50] = 'X';
	if (kind == 2)
		chain_free(chain(CHURNED, 100));
	show("lives", 1);
	_exit(0);
}

static void asks_too_much(unsigned unused)
{
	(void)unused;
	show("null", opaque(malloc((size_t)1 << 50)) == NULL);
}

static const struct {
	const char *name;
	void (*does)(unsigned);
} verbs[] = {
	{"fades", fades},
	{"at_once", at_once},
	{"keeps", keeps},
	{"trims", trims},
	{"silent", silent},
	{"offers", offers},
	{"shrinks", shrinks},
	{"advises", advises},
	{"waits", waits},
	{"helper", helper},
	{"helper_alone", helper_alone},
	{"enters", enters},
	{"arenas", arenas},
	{"caches", caches},
	{"contents", contents},
	{"errs", errs},
	{"asks_too_much", asks_too_much},
};

int main(int argc, char **argv)
{
	alarm(100);
	for (unsigned i = 0; argc > 1 && i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strcmp(argv[1], verbs[i].name) == 0) {
			verbs[i].does(argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0);
			return fflush(stdout) != 0;
		}
	}
	fprintf(stderr, "subject: no such verb\n");
	return 2;
}
