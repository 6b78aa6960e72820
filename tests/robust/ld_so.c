/* SPDX-License-Identifier: MIT
 *
 * If this fails, ld.so's own allocations break: dlopen and dlclose loops, in one
 * thread and in four at once, with thread-local storage made on first use.
 *
 * ld_so PLUGIN
 */
#include <dlfcn.h>

#include "check.h"

static const char *plugin;

static void open_use_close(size_t n)
{
	void *handle = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
	CHECK(handle != NULL);
	void *(*make)(size_t) = (void *(*)(size_t))dlsym(handle, "plugin_make");
	void (*forget)(void) = (void (*)(void))dlsym(handle, "plugin_forget");
	CHECK(make != NULL && forget != NULL);
	void *p = make(n);
	forget();
	CHECK(dlclose(handle) == 0);
	CHECK(dlopen("/nonexistent/library.so", RTLD_NOW) == NULL && dlerror() != NULL);
	drop(p, n);
}

static void *loop(void *arg)
{
	for (size_t i = 0; i < 100; i++)
		open_use_close(1 + i * 31);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread[4];

	watchdog(60);
	plugin = argv[argc - 1];
	loop(NULL);
	for (unsigned i = 0; i < 4; i++)
		thread[i] = start(loop, NULL);
	for (unsigned i = 0; i < 4; i++)
		join(thread[i]);
	return puts("done") < 0;
}
