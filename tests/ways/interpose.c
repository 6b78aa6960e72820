/* SPDX-License-Identifier: MIT
 *
 * Prints in which file the program finds each of the names given to it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		void *p = dlsym(RTLD_DEFAULT, argv[i]);
		Dl_info info;

		if (p && dladdr(p, &info))
			printf("%s %s\n", argv[i], info.dli_fname);
		else
			printf("%s nowhere\n", argv[i]);
	}
	return 0;
}
