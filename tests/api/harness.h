/* SPDX-License-Identifier: MIT
 *
 * harness — what every program of this folder begins with: checks that name
 * file and line, a list of tests run one after the other under a watchdog, and
 * a child process whose last words are kept.
 *
 * It never allocates, so that a broken allocator still gets its message out.
 * Only one thread may use the child helpers.
 */
#ifndef TESTS_API_HARNESS_H
#define TESTS_API_HARNESS_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct test {
	const char *name;
	void (*run)(void);
};

#define TEST(name) \
	{ \
#name, name \
	}
#define RUN_TESTS(tests) run_tests(tests, sizeof(tests) / sizeof((tests)[0]))

static unsigned check_failures;

__attribute__((format(printf, 1, 2), unused)) static void say(const char *format, ...)
{
	char line[1024];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	size_t length = n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1;
	if (write(STDERR_FILENO, line, length) < 0)
		_exit(3);
}

/* The end of a test program that cannot go on. */
#define DIE(...) \
	do { \
		say("%s:%d: ", __FILE__, __LINE__); \
		say(__VA_ARGS__); \
		say("\n"); \
		_exit(1); \
	} while (0)

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			say("%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			check_failures++; \
		} \
	} while (0)

/* The same, with a printf-like tail that tells the case. */
#define CHECK_CASE(condition, ...) \
	do { \
		if (!(condition)) { \
			say("%s:%d: not true: %s: ", __FILE__, __LINE__, #condition); \
			say(__VA_ARGS__); \
			say("\n"); \
			check_failures++; \
		} \
	} while (0)

#define CHECK_EQUAL(a, b) \
	do { \
		unsigned long long check_a = (unsigned long long)(a), check_b = (unsigned long long)(b); \
		if (check_a != check_b) { \
			say("%s:%d: %s is %llu, %s is %llu\n", __FILE__, __LINE__, #a, check_a, #b, check_b); \
			check_failures++; \
		} \
	} while (0)

__attribute__((unused)) static int run_tests(const struct test *tests, size_t n)
{
	unsigned failed = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned before = check_failures;
		alarm(120);
		tests[i].run();
		alarm(0);
		bool ok = check_failures == before;
		failed += !ok;
		say("%s %s\n", ok ? "ok    " : "FAILED", tests[i].name);
	}
	say("%zu passed, %u failed\n", n - failed, failed);
	return failed != 0;
}

/* How a child ended and what it wrote to stderr. */
struct outcome {
	int signal; /* 0: it exited */
	int status;
	size_t length;
	char text[4096];
};

__attribute__((unused)) static void child_collect(pid_t pid, int fd, struct outcome *out)
{
	memset(out, 0, sizeof(*out));
	for (;;) {
		ssize_t n = read(fd, out->text + out->length, sizeof(out->text) - 1 - out->length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		out->length += (size_t)n;
	}
	close(fd);
	int status = 0;
	if (waitpid(pid, &status, 0) != pid)
		DIE("waitpid: errno %d", errno);
	out->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	out->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Runs run() in a child, under a watchdog of its own and without a core file. */
__attribute__((unused)) static void run_in_child(void (*run)(void), struct outcome *out)
{
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
		run();
		_exit(check_failures != 0);
	}
	close(fds[1]);
	child_collect(pid, fds[0], out);
}

/* One line, ours, with this word in it. An emulator adds lines of its own to an abort: those do not count. */
__attribute__((unused)) static bool is_one_line_of_ashlar(const struct outcome *out, const char *word)
{
	const char *end = strchr(out->text, '\n'), *found = strstr(out->text, word);
	if (strncmp(out->text, "ashlar: ", 8) != 0 || !end || !found || found > end)
		return false;
	return end[1] == 0 || strncmp(end + 1, "qemu: ", 6) == 0;
}

#endif
