/* SPDX-License-Identifier: MIT
 *
 * A program written for jemalloc: by its header, its variables and its functions
 * with flags. If this fails, such a program does not build or run in our prefix.
 * What it prints is the same on Debian's jemalloc but for the version.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jemalloc/jemalloc.h>

/* Seen by the library if it is linked, in whatever way. */
const char *malloc_conf = "dirty_decay_ms:4321,narenas:3";

static size_t characters, calls;

static void take(void *opaque, const char *text)
{
	characters += strlen(text);
	calls++;
}

static void expect(const char *what, int good)
{
	printf("%s: %s\n", what, good ? "yes" : "NO");
}

static void flags(void)
{
	char *p = mallocx(1000, MALLOCX_ALIGN(256) | MALLOCX_ZERO), *q;
	unsigned arena;
	size_t size = sizeof(arena);

	expect("aligned and zeroed", (uintptr_t)p % 256 == 0 && p[0] == 0 && p[999] == 0);
	expect("nallocx is the usable size",
	       nallocx(1000, MALLOCX_ALIGN(256)) == sallocx(p, 0) && malloc_usable_size(p) == sallocx(p, 0));
	memset(p, 'x', 1000);
	q = rallocx(p, 50000, MALLOCX_ALIGN(256));
	expect("rallocx keeps what was there", q[0] == 'x' && q[999] == 'x');
	expect("xallocx says at least what there is", xallocx(q, 50000, 0, MALLOCX_ALIGN(256)) >= 50000);
	sdallocx(q, 50000, MALLOCX_ALIGN(256));
	expect("an arena is made", mallctl("arenas.create", &arena, &size, NULL, 0) == 0);
	p = mallocx(100, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
	expect("and serves", p != NULL);
	dallocx(p, MALLOCX_TCACHE_NONE);
}

static void names(void)
{
	const char *version;
	ssize_t decay;
	unsigned narenas;
	size_t mib[4], miblen = 4, size = sizeof(version);

	expect("the version begins with that of the header", mallctl("version", &version, &size, NULL, 0) == 0 &&
								     strncmp(version, "5.3.", 4) == 0 &&
								     JEMALLOC_VERSION_MAJOR == 5);
	fprintf(stderr, "%s %s\n", version, JEMALLOC_VERSION);
	size = sizeof(decay);
	expect("malloc_conf of the program is read",
	       mallctl("opt.dirty_decay_ms", &decay, &size, NULL, 0) == 0 && decay == 4321);
	size = sizeof(narenas);
	expect("by its name's numbers, too", mallctlnametomib("opt.narenas", mib, &miblen) == 0 && miblen == 2 &&
						     mallctlbymib(mib, miblen, &narenas, &size, NULL, 0) == 0 &&
						     narenas == 3);
}

static void messages(void)
{
	malloc_message = take;
	malloc_stats_print(NULL, NULL, "mdablx");
	malloc_message = NULL;
	expect("malloc_message takes the statistics", calls > 0 && characters > 500);
	characters = calls = 0;
	malloc_stats_print(take, NULL, "J");
	expect("and so does a function of the call", calls > 0 && characters > 500);
}

int main(void)
{
	void *(*const standard[])(size_t) = {malloc, valloc};

	for (unsigned i = 0; i < 2; i++)
		free(standard[i](100));
	flags();
	names();
	messages();
	return 0;
}
