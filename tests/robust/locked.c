/* SPDX-License-Identifier: MIT
 *
 * If this fails, a real-time program that locks its memory fails, or finds all
 * address space that ashlar reserved made resident.
 *
 * locked now|future|onfault
 */
#include <sys/mman.h>

#include "check.h"

static size_t status_kib(const char *field)
{
	char line[256];
	size_t kib = 0;
	FILE *f = must(fopen("/proc/self/status", "r"));

	while (fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, field, strlen(field)) == 0)
			kib = strtoul(line + strlen(field) + 1, NULL, 10);
	fclose(f);
	return kib;
}

int main(int argc, char **argv)
{
	const char *when = argv[argc - 1];
	int flags = strcmp(when, "now") == 0 ? MCL_CURRENT : MCL_CURRENT | MCL_FUTURE;

	watchdog(40);
	if (strcmp(when, "onfault") == 0)
		flags |= MCL_ONFAULT;
	use_every_size();
	if (mlockall(flags) != 0) {
		fprintf(stderr, "could not run: mlockall needs CAP_IPC_LOCK (be root): %s\n", strerror(errno));
		return 99;
	}
	for (unsigned i = 0; i < 20; i++)
		use_every_size();
	for (unsigned i = 0; i < 64; i++)
		drop(take((size_t)1 << 20), (size_t)1 << 20);
	CHECK(status_kib("VmRSS:") < 256 << 10);
	CHECK(munlockall() == 0);
	use_every_size();
	return puts("done") < 0;
}
