/* SPDX-License-Identifier: MIT
 *
 * plugin — a plug-in that is linked to libashlar and loaded by a program that
 * is not (plugin_host.c).
 *
 * The name malloc belongs to the program: the dynamic linker takes the first
 * definition, which is the C library's or that of an allocator which the
 * program runs on. That is what a plug-in wants, since memory that it returns
 * is freed by the program. For memory of its own it asks its library by handle,
 * as below. (dlopen with RTLD_DEEPBIND would give the plug-in ashlar's malloc
 * by name, and then free(strdup("x")) crosses two heaps: do not.)
 */
#define _GNU_SOURCE
#include <ashlar/ashlar.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	void *(*malloc)(size_t size);
	void (*free)(void *p);
} own;

/* The library is loaded already: it is this plug-in's dependency. */
__attribute__((constructor)) static void find_own_heap(void)
{
	void *ashlar = dlopen("libashlar.so.1", RTLD_NOW | RTLD_NOLOAD);

	if (ashlar == NULL)
		return;
	own.malloc = (void *(*)(size_t))dlsym(ashlar, "malloc");
	own.free = (void (*)(void *))dlsym(ashlar, "free");
}

static size_t bytes_in_use(void)
{
	struct ashlar_stats stats;

	return ashlar_stats(&stats, sizeof(stats)) == 0 ? stats.in_use : 0;
}

/* The text is the caller's: it is freed with free(). */
char *plugin_work(size_t bytes)
{
	size_t before = bytes_in_use(), grown;
	char *scratch, *text;

	if (own.malloc == NULL || own.free == NULL)
		return strdup("no heap of its own");
	scratch = own.malloc(bytes);
	if (scratch == NULL)
		return strdup("no memory");
	memset(scratch, 1, bytes);
	grown = bytes_in_use() - before;
	own.free(scratch);
	if (asprintf(&text, "ashlar %s served %zu bytes of scratch memory", ashlar_version(), grown) < 0)
		return NULL;
	return text;
}
