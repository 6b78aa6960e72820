/* SPDX-License-Identifier: MIT
 *
 * A dashboard that reads malloc_stats_print's text by lines and columns would
 * break if ours were laid out otherwise, and one that reads its JSON if a number
 * stood under another's key. So our printer prints jemalloc's own statistics
 * here, in a process whose malloc is jemalloc 5.3.0, and each character must be
 * what jemalloc itself prints of the same moment.
 *
 * stats_as_jemalloc, with LD_PRELOAD=libjemalloc.so.2
 */
#define _GNU_SOURCE
#include <ashlar/ashlar.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/ctl.h"
#include "alloc/stats_print.h"

typedef void write_fn(void *opaque, const char *text);
typedef void print_fn(write_fn *write, void *opaque, const char *letters);

/* Of the preloaded jemalloc. */
static int (*their_mallctl)(const char *, void *, size_t *, void *, size_t);
static int (*their_nametomib)(const char *, size_t *, size_t *);
static int (*their_bymib)(const size_t *, size_t, void *, size_t *, void *, size_t);
static void *(*their_mallocx)(size_t, int);
static print_fn *their_print;

/* ---- what our printer is linked with instead of the library */

int mallctl(const char *name, void *old, size_t *old_len, void *new, size_t new_len)
{
	/* The statistics stay those that jemalloc has just printed. */
	if (strcmp(name, "epoch") == 0)
		return 0;
	return their_mallctl(name, old, old_len, new, new_len);
}

int mallctlnametomib(const char *name, size_t *mib, size_t *depth)
{
	return their_nametomib(name, mib, depth);
}

int mallctlbymib(const size_t *mib, size_t depth, void *old, size_t *old_len, void *new, size_t new_len)
{
	return their_bymib(mib, depth, old, old_len, new, new_len);
}

int ashlar_stats(struct ashlar_stats *out, size_t size)
{
	memset(out, 0, size);
	return 0;
}

int ashlar_pages(struct ashlar_pages *out, size_t size)
{
	memset(out, 0, size);
	return 0;
}

const char *ashlar_version(void)
{
	return "VERSION";
}

/* ---- a heap that has something of everything */

static int find(void)
{
	*(void **)(void *)&their_mallctl = dlsym(RTLD_NEXT, "mallctl");
	*(void **)(void *)&their_nametomib = dlsym(RTLD_NEXT, "mallctlnametomib");
	*(void **)(void *)&their_bymib = dlsym(RTLD_NEXT, "mallctlbymib");
	*(void **)(void *)&their_mallocx = dlsym(RTLD_NEXT, "mallocx");
	*(void **)(void *)&their_print = dlsym(RTLD_NEXT, "malloc_stats_print");
	return their_mallctl && their_nametomib && their_bymib && their_mallocx && their_print;
}

static void *work(void *unused)
{
	static void *volatile objects[2000];

	for (size_t i = 0; i < 2000; i++)
		objects[i] = malloc(i * 37 % 70000);
	for (size_t i = 0; i < 2000; i++) {
		if (i % 7)
			free(objects[i]);
	}
	return unused;
}

/* An arena made by hand, with objects. */
static unsigned arena(void)
{
	size_t size = sizeof(unsigned);
	unsigned id = 0;

	if (their_mallctl("arenas.create", &id, &size, NULL, 0) != 0)
		abort();
	for (size_t n = 100; n < 20000; n += 300)
		their_mallocx(n, (int)((id + 1) << 20 | 0x100));
	return id;
}

static void fill(bool destroy)
{
	pthread_t thread[3];
	char name[64];

	for (int i = 0; i < 3; i++) {
		pthread_create(&thread[i], NULL, work, NULL);
		pthread_join(thread[i], NULL);
	}
	arena();
	snprintf(name, sizeof(name), "arena.%u.destroy", arena());
	if (destroy && their_mallctl(name, NULL, NULL, NULL, 0) != 0)
		abort();
}

/* ---- both */

struct text {
	char bytes[1 << 20];
	size_t used;
};

static void keep(void *opaque, const char *text)
{
	struct text *t = opaque;
	size_t n = strlen(text);

	if (t->used + n >= sizeof(t->bytes))
		abort();
	memcpy(t->bytes + t->used, text, n + 1);
	t->used += n;
}

/* As often as it is there. */
static void replace(struct text *t, const char *what, const char *with)
{
	size_t n = strlen(what), m = strlen(with);

	for (char *p = t->bytes; (p = strstr(p, what)); p += m) {
		memmove(p + m, p + n, strlen(p + n) + 1);
		memcpy(p, with, m);
		t->used += m - n;
	}
}

/* What stands from one text to the other goes. */
static void cut(struct text *t, const char *from, const char *to)
{
	char *begin = strstr(t->bytes, from), *end = begin ? strstr(begin, to) : NULL;

	if (!end)
		return;
	memmove(begin, end, strlen(end) + 1);
	t->used -= (size_t)(end - begin);
}

/* jemalloc 5.3.0's JSON has the counters of mutexes under each other's names (the columns of its text): keys alone are compared. */
static void forget_counters(struct text *t)
{
	char *to = t->bytes;
	bool inside = false;

	for (const char *p = t->bytes; *p; p++) {
		inside = inside ? *p != '}' : strncmp(p, "\"num_ops\":", strlen("\"num_ops\":")) == 0;
		if (!inside || *p < '0' || *p > '9')
			*to++ = *p;
	}
	*to = '\0';
}

/* Ours says no option twice, and no word under another's name; what it adds comes last. */
static void forget_differences(struct text *theirs, struct text *ours)
{
	static const char twice[] = "\"stats_print\":false,\"stats_print_opts\":\"\",",
			  lines[] = "  opt.stats_print: false\n  opt.stats_print_opts: \"\"\n";
	char both[2 * sizeof(lines)], *own;

	snprintf(both, sizeof(both), "%s%s", twice, twice);
	replace(theirs, both, twice);
	snprintf(both, sizeof(both), "%s%s", lines, lines);
	replace(theirs, both, lines);
	replace(theirs, "\"nactive_huge\":0,\"nactive_huge\":0", "\"nactive_huge\":0,\"ndirty_huge\":0");
	cut(ours, "ashlar VERSION:\n", "--- End");
	forget_counters(theirs);
	forget_counters(ours);
	own = strstr(ours->bytes, ",\"ashlar\":{");
	if (own)
		strcpy(own, "}");
}

static int differ(const char *letters, const char *theirs, const char *ours)
{
	size_t i = 0, from;

	while (theirs[i] && theirs[i] == ours[i])
		i++;
	if (theirs[i] == ours[i])
		return 0;
	from = i > 100 ? i - 100 : 0;
	printf("letters \"%s\": jemalloc and ours\n%.200s\n\n%.200s\n\n", letters, theirs + from, ours + from);
	return 1;
}

static int compare(const char *letters)
{
	static struct text theirs, ours;

	theirs.used = ours.used = 0;
	their_print(keep, &theirs, letters);
	malloc_stats_print(keep, &ours, letters);
	forget_differences(&theirs, &ours);
	return differ(letters, theirs.bytes, ours.bytes);
}

int main(void)
{
	static const char *const letters[] = {"",   "g",  "m",         "d",   "a",  "b",    "l",         "x",  "e",
					      "h",  "ax", "gmdablxeh", "?zz", "J",  "Jg",   "Jm",        "Jd", "Ja",
					      "Jb", "Jl", "Jx",        "Je",  "Jh", "Jmda", "Jgmdablxeh"};
	int differences = 0;

	if (!find()) {
		puts("stats_as_jemalloc: needs Debian's libjemalloc2, preloaded");
		return 1;
	}
	/* As it starts; with some of everything; when rates are no longer counts; with an arena destroyed. */
	for (int round = 0; round < 4; round++) {
		if (round == 2)
			usleep(2100000);
		else if (round)
			fill(round == 3);
		for (size_t i = 0; i < sizeof(letters) / sizeof(*letters); i++)
			differences += compare(letters[i]);
	}
	printf("%d differences\n", differences);
	return differences != 0;
}
