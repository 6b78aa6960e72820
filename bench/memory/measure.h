/* SPDX-License-Identifier: MIT
 *
 * measure — what the memory workloads share: options, resident memory, time, random numbers, stages of threads, one line of figures.
 *
 * A workload is a program of its own, for libc only, so that it runs under any preloaded allocator. Nothing here calls
 * malloc: tables come from shared mappings that are resident from the start and are subtracted from every figure.
 */
#ifndef ASHLAR_BENCH_MEMORY_MEASURE_H
#define ASHLAR_BENCH_MEMORY_MEASURE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define MIB (1024.0 * 1024)

static size_t own_bytes; /* resident memory that is the workload's own, not the allocator's */

__attribute__((noreturn, cold)) static inline void die(const char *what)
{
	dprintf(2, "%s\n", what);
	_exit(2);
}

/* ---- options: --name, --name=value */

static int option_count;
static char **option_words;

static inline const char *option(const char *name)
{
	size_t n = strlen(name);

	for (int i = 1; i < option_count; i++) {
		const char *word = option_words[i];
		if (word == NULL || strncmp(word, "--", 2) != 0 || strncmp(word + 2, name, n) != 0)
			continue;
		if (word[n + 2] != '\0' && word[n + 2] != '=')
			continue;
		option_words[i] = NULL;
		return word[n + 2] == '=' ? word + n + 3 : "";
	}
	return NULL;
}

static inline long option_number(const char *name, long otherwise)
{
	const char *value = option(name);
	char *end;

	if (value == NULL)
		return otherwise;
	otherwise = strtol(value, &end, 10);
	if (*value == '\0' || *end != '\0' || otherwise < 0)
		die("an option needs a number: --name=NUMBER");
	return otherwise;
}

static inline void options_begin(int argc, char **argv)
{
	option_count = argc;
	option_words = argv;
}

static inline void options_end(void)
{
	for (int i = 1; i < option_count; i++)
		if (option_words[i] != NULL)
			die("an unknown option or argument");
}

/* ---- time */

static inline double clock_now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline double now(void)
{
	return clock_now(CLOCK_MONOTONIC);
}

static inline double cpu_now(void)
{
	return clock_now(CLOCK_PROCESS_CPUTIME_ID);
}

static inline void rest(double seconds)
{
	struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};

	if (seconds > 0)
		while (nanosleep(&t, &t) != 0)
			;
}

static inline void rest_until(double moment)
{
	rest(moment - now());
}

/* ---- memory */

/* Resident from the first moment; shared, so that neither fork nor a count of private anonymous memory meets it. */
static inline void *table(size_t bytes)
{
	void *p;

	bytes = (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p == MAP_FAILED)
		die("no memory for a table");
	own_bytes += bytes;
	return p;
}

static inline size_t read_file(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got;

	if (fd < 0)
		die("a file of /proc/self cannot be read");
	while (n < room - 1 && (got = read(fd, text + n, room - 1 - n)) > 0)
		n += (size_t)got;
	text[n] = '\0';
	close(fd);
	return n;
}

/* "Name:   123 kB" anywhere in the text, in bytes. */
static inline size_t field(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	if (at == NULL)
		die("a file of /proc/self lacks a line");
	return strtoul(at + strlen(name), NULL, 10) * 1024;
}

/* Fast enough for samples on the way; up to some 100 KiB inexact, since the kernel counts per CPU. */
static inline size_t rss_now(void)
{
	char text[128];
	char *at = text;
	size_t pages;

	read_file("/proc/self/statm", text, sizeof text);
	strtoul(at, &at, 10);
	pages = strtoul(at, &at, 10);
	return pages * PAGE - own_bytes;
}

struct memory {
	size_t rss;           /* all resident memory */
	size_t private_dirty; /* written and of this process alone */
	size_t anonymous;     /* heap, stacks, written data: without files and without tables */
};

/* Exact, and slow: the kernel walks the page tables. */
static inline struct memory memory_now(void)
{
	static char text[4096];

	read_file("/proc/self/smaps_rollup", text, sizeof text);
	return (struct memory){
		.rss = field(text, "\nRss:") - own_bytes,
		.private_dirty = field(text, "\nPrivate_Dirty:"),
		.anonymous = field(text, "\nAnonymous:"),
	};
}

static inline size_t peak_rss(void)
{
	static char text[8192];

	read_file("/proc/self/status", text, sizeof text);
	return field(text, "\nVmHWM:") - own_bytes;
}

static inline long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static inline void *need(void *p)
{
	if (p == NULL)
		die("out of memory");
	return p;
}

/* ---- random numbers, the same in every run */

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *r)
{
	uint64_t x = r->state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* low <= result <= high */
static inline size_t between(struct random *r, size_t low, size_t high)
{
	return low + random_next(r) % (high - low + 1);
}

static inline void shuffle(struct random *r, uint32_t *order, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = (uint32_t)between(r, 0, i - 1), t = order[i - 1];
		order[i - 1] = order[j];
		order[j] = t;
	}
}

/* ---- objects that know what was written to them */

struct object {
	char *at;
	size_t size;
};

static inline struct object object_new(size_t size)
{
	struct object o = {need(malloc(size)), size};

	memset(o.at, (int)(size & 0x7f), size);
	return o;
}

static inline void object_check(const struct object *o, char mark)
{
	if (o->at[0] != mark || o->at[o->size - 1] != mark)
		die("an object lost its contents");
}

static inline void object_drop(struct object *o)
{
	if (o->at == NULL)
		return;
	object_check(o, (char)(o->size & 0x7f));
	free(o->at);
	o->at = NULL;
}

/* ---- stages: threads arrive, sleep, and go on together */

struct stages {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned open, arrived;
};

#define STAGES \
	{ \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 \
	}

/* A thread says that it has come to the given stage (1, 2, ...) and sleeps until that is opened. */
static inline void stage_arrive(struct stages *s, unsigned stage)
{
	pthread_mutex_lock(&s->lock);
	s->arrived++;
	pthread_cond_broadcast(&s->changed);
	while (s->open < stage)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* The main thread waits until all have arrived. */
static inline void stage_await(struct stages *s, unsigned threads)
{
	pthread_mutex_lock(&s->lock);
	while (s->arrived < threads)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static inline bool stage_complete(struct stages *s, unsigned threads)
{
	bool complete;

	pthread_mutex_lock(&s->lock);
	complete = s->arrived >= threads;
	pthread_mutex_unlock(&s->lock);
	return complete;
}

static inline void stage_open(struct stages *s)
{
	pthread_mutex_lock(&s->lock);
	s->arrived = 0;
	s->open++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

/* Small stacks: a thousand of them are not to matter. */
static inline pthread_t thread_start(void *(*function)(void *), void *argument)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 * 1024);
	if (pthread_create(&thread, &attributes, function, argument) != 0)
		die("no thread");
	pthread_attr_destroy(&attributes);
	return thread;
}

/* What a thread's work will need of its stack, made resident before the first measurement. */
__attribute__((noinline, unused)) static void stack_touch(void)
{
	volatile char room[12 * 1024];

	for (size_t i = 0; i < sizeof room; i += 512)
		room[i] = 1;
}

/* ---- what is printed: one line of key=value; and samples over time: seconds, resident bytes, live bytes */

static char figure_text[2048];
static size_t figure_length;
static FILE *trace_file;
static double trace_start;

__attribute__((format(printf, 2, 3))) static inline void figure(const char *key, const char *format, ...)
{
	va_list arguments;

	figure_length += (size_t)snprintf(figure_text + figure_length, sizeof figure_text - figure_length,
					  "%s%s=", figure_length > 0 ? " " : "", key);
	va_start(arguments, format);
	figure_length += (size_t)vsnprintf(figure_text + figure_length, sizeof figure_text - figure_length - 1, format,
					   arguments);
	va_end(arguments);
	if (figure_length >= sizeof figure_text - 1)
		die("too many figures");
}

static inline void figures_print(void)
{
	figure_text[figure_length++] = '\n';
	if (write(1, figure_text, figure_length) != (ssize_t)figure_length)
		die("the figures cannot be written");
	if (trace_file != NULL && fclose(trace_file) != 0)
		die("the trace cannot be written");
}

/* --trace=FILE; its buffer is a table, so that writing it meets no allocator. */
static inline void trace_begin(void)
{
	const char *path = option("trace");

	trace_start = now();
	if (path == NULL)
		return;
	trace_file = fopen(path, "we");
	if (trace_file == NULL)
		die("the trace cannot be written");
	setvbuf(trace_file, table(64 * 1024), _IOFBF, 64 * 1024);
}

static inline void trace_sample(size_t rss, size_t live)
{
	if (trace_file != NULL)
		fprintf(trace_file, "%.3f %zu %zu\n", now() - trace_start, rss, live);
}

#endif
