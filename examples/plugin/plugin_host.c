/* SPDX-License-Identifier: MIT
 *
 * plugin_host — a program that loads plug-ins and knows nothing of ashlar.
 *
 *   ./plugin_host ./plugin.so
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

static void die(const char *why)
{
	fprintf(stderr, "plugin_host: %s\n", why);
	exit(1);
}

static void run(const char *path)
{
	void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	char *(*work)(size_t bytes);
	char *text;

	if (plugin == NULL)
		die(dlerror());
	work = (char *(*)(size_t))dlsym(plugin, "plugin_work");
	if (work == NULL)
		die(dlerror());
	text = work(1000000);
	if (text == NULL)
		die("no memory");
	printf("%s: %s\n", path, text);
	free(text);
	dlclose(plugin);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run(argv[i]);
	return 0;
}
