/* SPDX-License-Identifier: MIT
 *
 * If this fails, the allocator disturbs what belongs to the program, or is
 * disturbed by what the program may do to its own process.
 *
 * surroundings HOW, one of the names in the table at the end.
 */
#include <ashlar/ashlar.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "check.h"

static unsigned open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The three standard ones, as the test's driver gives them, and no other. */
static void opens_no_descriptor(void)
{
	CHECK(open_descriptors() == 3);
	use_every_size();
	CHECK(open_descriptors() == 3);
}

/* A daemon closes everything and opens its own files, which get the low numbers. */
static void closed_descriptors(void)
{
	char path[] = "/tmp/ashlar-closed-XXXXXX";
	int out = dup(STDOUT_FILENO), file, high;
	struct stat st;

	CHECK(out >= 0 && (high = fcntl(out, F_DUPFD, 500)) >= 0);
	for (int fd = 0; fd < 500; fd++)
		close(fd);
	CHECK((file = mkstemp(path)) == 0 && dup(file) == 1 && dup(file) == 2);
	unlink(path);
	use_every_size();
	join(start((void *(*)(void *))(void (*)(void))use_every_size, NULL));
	CHECK(fstat(file, &st) == 0 && st.st_size == 0);
	CHECK(dup2(high, STDOUT_FILENO) == STDOUT_FILENO);
}

static size_t narenas(void)
{
	struct ashlar_stats stats;

	CHECK(ashlar_stats(&stats, sizeof stats) == 0);
	return stats.narenas;
}

static volatile bool stop_now;

static void *contend(void *arg)
{
	while (!stop_now)
		use_every_size();
	return arg;
}

/* Started with an affinity of one CPU (taskset): one arena is all that may come to be. */
static void one_cpu(void)
{
	pthread_t thread[8];
	cpu_set_t set;

	CHECK(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1);
	for (unsigned i = 0; i < 8; i++)
		thread[i] = start(contend, NULL);
	usleep(300000);
	stop_now = true;
	for (unsigned i = 0; i < 8; i++)
		join(thread[i]);
	CHECK(narenas() == 1);
}

/* The CPUs that a thread may use change while it runs. */
static void affinity_changes(void)
{
	cpu_set_t all, one;

	CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
	pthread_t thread = start(contend, NULL);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
		use_every_size();
		CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
	}
	stop_now = true;
	join(thread);
}

/* A limit of address space that comes after the start: what is held stays usable, a refusal is ENOMEM. */
static void limit_lowered(void)
{
	struct rlimit none = {1, 1};
	void *p[2000];
	unsigned n = 0;

	use_every_size();
	void *kept = take(100000);
	CHECK(setrlimit(RLIMIT_AS, &none) == 0);
	errno = 0;
	while (n < 2000 && (p[n] = malloc(100000)) != NULL)
		n++;
	CHECK(n == 2000 || errno == ENOMEM);
	errno = 0;
	CHECK(malloc((size_t)1 << 42) == NULL && errno == ENOMEM);
	drop(kept, 100000);
	while (n > 0)
		free(p[--n]);
	drop(take(100), 100);
	drop(take(90000), 90000);
}

/* The program's own environment, changed at run time, is not ours to keep pointers into. */
static void environment_changes(void)
{
	for (unsigned i = 0; i < 2000; i++) {
		char name[32], value[64];

		snprintf(name, sizeof name, "NAME%u", i % 100);
		snprintf(value, sizeof value, "value %u", i);
		CHECK(setenv(name, value, 1) == 0 && strcmp(getenv(name), value) == 0);
		if (i % 3 == 0)
			unsetenv(name);
	}
	CHECK(clearenv() == 0);
	CHECK(setenv("MALLOC_CONF", "bogus:1", 1) == 0);
	use_every_size();
}

/* Signals that were blocked or ignored stay so: the library touches no handler and no mask. */
static void signals_untouched(void)
{
	sigset_t mask;

	use_every_size();
	CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
	for (int sig = 1; sig < 32; sig++) {
		struct sigaction action;

		CHECK(sigismember(&mask, sig) == 0);
		if (sig != SIGALRM && sigaction(sig, NULL, &action) == 0)
			CHECK(action.sa_handler == SIG_DFL);
	}
}

static const struct {
	const char *how;
	void (*run)(void);
} ways[] = {
	{"opens_no_descriptor", opens_no_descriptor},
	{"closed_descriptors", closed_descriptors},
	{"one_cpu", one_cpu},
	{"affinity_changes", affinity_changes},
	{"limit_lowered", limit_lowered},
	{"environment_changes", environment_changes},
	{"signals_untouched", signals_untouched},
};

int main(int argc, char **argv)
{
	watchdog(30);
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
		if (strcmp(ways[i].how, argv[argc - 1]) == 0) {
			ways[i].run();
			return puts("done") < 0;
		}
	CHECK(!"a known way");
}
