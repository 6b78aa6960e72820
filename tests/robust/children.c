/* SPDX-License-Identifier: MIT
 *
 * If this fails, a way to make a child breaks the heap of parent or child.
 *
 * children HOW, one of the names in the table at the end. Three threads allocate
 * all the while, so that a lock is always held by someone when a child is made.
 */
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "check.h"

extern char **environ;
static volatile bool stop_now;

static void *allocate_until_told(void *arg)
{
	while (!stop_now)
		use_every_size();
	return arg;
}

static void child_uses_heap(void)
{
	use_every_size();
	use_every_size();
}

static void forked(void)
{
	for (unsigned i = 0; i < 100; i++) {
		void *p = take(i * 50);
		pid_t child = fork();

		if (child == 0) {
			drop(p, i * 50);
			child_uses_heap();
			_exit(0);
		}
		wait_for(child);
		drop(p, i * 50);
	}
}

static void nest(unsigned depth)
{
	pid_t child = fork();

	if (child == 0) {
		child_uses_heap();
		if (depth > 0)
			nest(depth - 1);
		exit(0);
	}
	wait_for(child);
}

static void nested(void)
{
	for (unsigned i = 0; i < 10; i++)
		nest(5);
}

static void *child_thread(void *arg)
{
	for (unsigned i = 0; i < 3; i++)
		use_every_size();
	return arg;
}

/* A child of a multithreaded program becomes multithreaded itself. */
static void child_starts_threads(void)
{
	for (unsigned i = 0; i < 40; i++) {
		pid_t child = fork();

		if (child == 0) {
			pthread_t thread[4];

			for (unsigned t = 0; t < 4; t++)
				thread[t] = start(child_thread, NULL);
			for (unsigned t = 0; t < 4; t++)
				join(thread[t]);
			exit(0);
		}
		wait_for(child);
	}
}

static void *fork_some(void *arg)
{
	for (unsigned i = 0; i < 30; i++) {
		pid_t child = fork();

		if (child == 0) {
			child_uses_heap();
			_exit(0);
		}
		wait_for(child);
	}
	return arg;
}

static void threads_that_fork(void)
{
	pthread_t thread[3];

	for (unsigned i = 0; i < 3; i++)
		thread[i] = start(fork_some, NULL);
	for (unsigned i = 0; i < 3; i++)
		join(thread[i]);
}

pid_t _Fork(void);

/* _Fork runs no handlers: the child may still allocate (POSIX allows it less). */
static void fork_without_handlers(void)
{
	for (unsigned i = 0; i < 100; i++) {
		pid_t child = _Fork();

		if (child == 0) {
			child_uses_heap();
			_exit(0);
		}
		wait_for(child);
	}
}

static void handler_allocates(void)
{
	use_every_size();
}

/* Around libc altogether: no handlers, no bookkeeping of libc's. */
static void raw_fork(void)
{
	for (unsigned i = 0; i < 100; i++) {
		pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

		if (child == 0) {
			child_uses_heap();
			_exit(0);
		}
		wait_for(child);
	}
}

static void fork_handlers_allocate(void)
{
	CHECK(pthread_atfork(handler_allocates, handler_allocates, handler_allocates) == 0);
	forked();
}

static void vforked(void)
{
	for (unsigned i = 0; i < 100; i++) {
		pid_t child = vfork();

		if (child == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(1);
		}
		wait_for(child);
		use_every_size();
	}
}

static void spawned(void)
{
	char *const argv[] = {"true", NULL};

	for (unsigned i = 0; i < 100; i++) {
		pid_t child;

		CHECK(posix_spawn(&child, "/bin/true", NULL, NULL, argv, environ) == 0);
		wait_for(child);
		CHECK(posix_spawnp(&child, "no-such-program", NULL, NULL, argv, environ) == ENOENT);
	}
}

static void popened(void)
{
	for (unsigned i = 0; i < 50; i++) {
		char line[32];
		FILE *f = must(popen("echo out", "r"));

		CHECK(fgets(line, sizeof line, f) != NULL && strcmp(line, "out\n") == 0);
		CHECK(pclose(f) == 0);
	}
}

static void systemed(void)
{
	for (unsigned i = 0; i < 50; i++)
		CHECK(system("true") == 0);
}

static int clone_child(void *arg)
{
	void *p = malloc(1000);

	if (p == NULL)
		return 1;
	memset(p, 1, 1000);
	free(p);
	free(arg);
	p = malloc(200000);
	free(p);
	execl("/bin/true", "true", (char *)NULL);
	return 1;
}

/* The child shares memory and thread-local storage with the parent, which waits. */
static void raw_clone(void)
{
	enum { STACK = 262144 };
	char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	CHECK(stack != MAP_FAILED);
	for (unsigned i = 0; i < 100; i++) {
		wait_for(clone(clone_child, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, take(300)));
		use_every_size();
	}
}

static const struct {
	const char *how;
	void (*run)(void);
} ways[] = {
	{"fork", forked},
	{"nested", nested},
	{"child_starts_threads", child_starts_threads},
	{"threads_that_fork", threads_that_fork},
	{"fork_without_handlers", fork_without_handlers},
	{"raw_fork", raw_fork},
	{"fork_handlers_allocate", fork_handlers_allocate},
	{"vfork", vforked},
	{"posix_spawn", spawned},
	{"popen", popened},
	{"system", systemed},
	{"raw_clone", raw_clone},
};

int main(int argc, char **argv)
{
	pthread_t thread[3];

	watchdog(60);
	for (unsigned i = 0; i < 3; i++)
		thread[i] = start(allocate_until_told, NULL);
	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
		if (strcmp(ways[i].how, argv[argc - 1]) == 0) {
			ways[i].run();
			stop_now = true;
			for (unsigned t = 0; t < 3; t++)
				join(thread[t]);
			use_every_size();
			return puts("done") < 0;
		}
	CHECK(!"a known way");
}
