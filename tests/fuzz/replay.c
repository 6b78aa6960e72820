/* SPDX-License-Identifier: MIT
 *
 * Runs a target over saved inputs, without a fuzzer: what was once found stays found.
 *
 *   replay FILE|FOLDER...
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

enum { INPUT_MAX = 1 << 20, WATCHDOG = 240 };

static unsigned inputs;

static void run_file(const char *path)
{
	static uint8_t bytes[INPUT_MAX];
	FILE *file = fopen(path, "rb");
	uint8_t *exact;
	size_t size;

	if (!file) {
		perror(path);
		exit(1);
	}
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	/* In a block of its own size, so that a read behind it is seen. */
	exact = malloc(size + !size);
	if (!exact) {
		perror("replay");
		exit(1);
	}
	memcpy(exact, bytes, size);
	/* Told first: a target that fails ends the process. */
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	inputs++;
}

static void run_folder(const char *path, DIR *folder)
{
	char name[4096];

	for (const struct dirent *entry; (entry = readdir(folder));) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		run_file(name);
	}
}

int main(int argc, char **argv)
{
	alarm(WATCHDOG);
	for (int i = 1; i < argc; i++) {
		DIR *folder = opendir(argv[i]);

		if (folder) {
			run_folder(argv[i], folder);
			closedir(folder);
		} else if (errno == ENOTDIR) {
			run_file(argv[i]);
		} else {
			perror(argv[i]);
			return 1;
		}
	}
	printf("%u inputs\n", inputs);
	return inputs ? 0 : 1;
}
