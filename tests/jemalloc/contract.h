/* SPDX-License-Identifier: MIT
 *
 * contract — what every program of this folder begins with. The same binary is
 * run on Debian's libjemalloc and on ours, and has to pass on both: a test that
 * holds on one of them alone tests itself. Where the two differ on purpose the
 * test says DIFFERENCE(name), and docs/jemalloc.md gives the name's reason.
 */
#ifndef TESTS_JEMALLOC_CONTRACT_H
#define TESTS_JEMALLOC_CONTRACT_H

#include "../api/harness.h"
#include "jemalloc_abi.h"

#include <signal.h>
#include <sys/mman.h>

static bool ours;           /* not Debian's */
static bool named_jemalloc; /* the library speaks as libjemalloc.so.2: Debian's, or ours under that name */

/* True on ashlar, where this difference is meant; docs/jemalloc.md has a row of this name. */
#define DIFFERENCE(name) (ours)

#define DEBIAN_VERSION "5.3.0-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c"

/* A formatted mallctl name; valid to the end of the full expression's block. */
#define NAME(...) (name_of((char[96]){0}, 96, __VA_ARGS__))
__attribute__((format(printf, 3, 4), unused)) static const char *name_of(char *buffer, size_t size, const char *format,
									 ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(buffer, size, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= size)
		DIE("a mallctl name is too long");
	return buffer;
}

/* Reads a value of this size, or ends the program. */
__attribute__((unused)) static void ctl_read(const char *name, void *value, size_t size)
{
	size_t length = size;
	int rc = mallctl(name, value, &length, NULL, 0);
	if (rc != 0 || length != size)
		DIE("mallctl(%s): error %d, %zu bytes, expected %zu", name, rc, length, size);
}

#define CTL_READER(type, reader) \
	__attribute__((unused)) static type reader(const char *name) \
	{ \
		type value; \
		memset(&value, 0, sizeof(value)); \
		ctl_read(name, &value, sizeof(value)); \
		return value; \
	}
CTL_READER(bool, ctl_bool)
CTL_READER(unsigned, ctl_unsigned)
CTL_READER(size_t, ctl_size)
CTL_READER(ssize_t, ctl_ssize)
CTL_READER(uint64_t, ctl_u64)
CTL_READER(const char *, ctl_string)
CTL_READER(void *, ctl_pointer)

__attribute__((unused)) static int ctl_try_write(const char *name, const void *value, size_t size)
{
	return mallctl(name, NULL, NULL, (void *)value, size);
}

__attribute__((unused)) static void ctl_write(const char *name, const void *value, size_t size)
{
	int rc = ctl_try_write(name, value, size);
	if (rc != 0)
		DIE("mallctl(%s) of %zu bytes: error %d", name, size, rc);
}

__attribute__((unused)) static void ctl_do(const char *name)
{
	ctl_write(name, NULL, 0);
}

/* Only whether the read succeeds: the error code, the value thrown away. */
__attribute__((unused)) static int ctl_error(const char *name, size_t size)
{
	char value[256];
	size_t length = size;
	return mallctl(name, value, &length, NULL, 0);
}

__attribute__((unused)) static uint64_t refresh(void)
{
	uint64_t epoch = 1;
	size_t length = sizeof(epoch);
	if (mallctl("epoch", &epoch, &length, &epoch, sizeof(epoch)) != 0)
		DIE("mallctl(epoch)");
	return epoch;
}

__attribute__((unused)) static unsigned arena_create(struct extent_hooks *hooks)
{
	unsigned id = 0;
	size_t length = sizeof(id);
	int rc = mallctl("arenas.create", &id, &length, hooks ? (void *)&hooks : NULL, hooks ? sizeof(hooks) : 0);
	if (rc != 0)
		DIE("arenas.create: error %d", rc);
	return id;
}

/* The arena that an address belongs to. */
__attribute__((unused)) static unsigned arena_of(void *p)
{
	unsigned id = 0;
	size_t length = sizeof(id);
	int rc = mallctl("arenas.lookup", &id, &length, &p, sizeof(p));
	if (rc != 0)
		DIE("arenas.lookup(%p): error %d", p, rc);
	return id;
}

/* To be the start of main(): says which library runs, and that it is the one the caller meant (its last argument). */
__attribute__((unused)) static void which_library(int argc, char **argv)
{
	const char *meant = argc > 1 ? argv[argc - 1] : "", *version = NULL;
	size_t length = sizeof(version);
	if (!mallctl || mallctl("version", &version, &length, NULL, 0) != 0)
		DIE("no jemalloc here: preload one");
	ours = strcmp(version, DEBIAN_VERSION) != 0;
	named_jemalloc = strcmp(meant, "libashlar") != 0;
	bool right = ours ? strcmp(meant, "libashlar") == 0 || strcmp(meant, "libjemalloc") == 0
			  : strcmp(meant, "debian") == 0;
	if (!right)
		DIE("version \"%s\" runs; \"%s\" was meant (debian, libjemalloc or libashlar)", version, meant);
}

/* Runs this program again with these options, as `program CASE WHICH`; what it prints on stderr is kept. */
__attribute__((unused)) static void run_again(const char *options, const char *test_case, struct outcome *out)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		DIE("/proc/self/exe: errno %d", errno);
	self[n] = 0;
	const char *which = !ours ? "debian" : named_jemalloc ? "libjemalloc" : "libashlar";
	int fds[2];
	if (pipe(fds) != 0)
		DIE("pipe: errno %d", errno);
	pid_t pid = fork();
	if (pid < 0)
		DIE("fork: errno %d", errno);
	if (pid == 0) {
		struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		alarm(60);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		if (options)
			setenv("MALLOC_CONF", options, 1);
		else
			unsetenv("MALLOC_CONF");
		execl(self, self, test_case, which, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	child_collect(pid, fds[0], out);
}

/* Has this bit pattern from `p` on, for n bytes. */
__attribute__((unused)) static bool filled_with(const void *p, unsigned char byte, size_t n)
{
	const unsigned char *bytes = (const unsigned char *)p;
	for (size_t i = 0; i < n; i++)
		if (bytes[i] != byte)
			return false;
	return true;
}

#endif
