/* SPDX-License-Identifier: MIT
 *
 * check — what the robustness programs share: a CHECK that ends the program, a
 * watchdog, and objects whose bytes say whose they are.
 *
 * Nothing here allocates.
 */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(cond) ((cond) ? (void)0 : check_failed(__FILE__, __LINE__, #cond))

static inline void check_failed(const char *file, int line, const char *what)
{
	char text[256];
	int n = snprintf(text, sizeof text, "%s:%d: not so: %s (errno %d)\n", file, line, what, errno);

	if (write(STDERR_FILENO, text, (size_t)n) < 0)
		_exit(3);
	_exit(1);
}

/* A hang ends by SIGALRM instead of by meson's patience. */
static inline void watchdog(unsigned seconds)
{
	alarm(seconds);
}

static inline void *must(void *p)
{
	CHECK(p != NULL);
	return p;
}

/* An object carries its size and a pattern made from its address. */
static inline unsigned char *mark(void *p, size_t n)
{
	unsigned char *b = p;

	for (size_t i = 0; i < n; i += i < 64 ? 1 : 509)
		b[i] = (unsigned char)(((uintptr_t)p >> 3) + i);
	return b;
}

static inline void check_mark(void *p, size_t n)
{
	unsigned char *b = p;

	for (size_t i = 0; i < n; i += i < 64 ? 1 : 509)
		CHECK(b[i] == (unsigned char)(((uintptr_t)p >> 3) + i));
}

static inline void *take(size_t n)
{
	return mark(must(malloc(n)), n);
}

static inline void drop(void *p, size_t n)
{
	check_mark(p, n);
	free(p);
}

/* One object of every kind of size, small to huge, taken and dropped. */
static const size_t every_size[] = {0,     1,     8,     9,      16,     24,      33,     48,    64,    80,    100,
				    128,   160,   200,   240,    256,    300,     384,    448,   512,   600,   768,
				    896,   1024,  1280,  1536,   1792,   2048,    2500,   3072,  3584,  4096,  5120,
				    6144,  7168,  8192,  10240,  12288,  14336,   16384,  20480, 24576, 28672, 32768,
				    32769, 40000, 65536, 100000, 262144, 1048576, 3000000};
#define EVERY_SIZE (sizeof every_size / sizeof every_size[0])

static inline void use_every_size(void)
{
	void *p[EVERY_SIZE];

	for (size_t i = 0; i < EVERY_SIZE; i++)
		p[i] = take(every_size[i]);
	for (size_t i = 0; i < EVERY_SIZE; i++)
		drop(p[i], every_size[i]);
}

static inline pthread_t start(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, body, arg) == 0);
	return thread;
}

static inline void join(pthread_t thread)
{
	CHECK(pthread_join(thread, NULL) == 0);
}

static inline void wait_for(pid_t child)
{
	int status = -1;

	CHECK(child > 0);
	while (waitpid(child, &status, 0) < 0)
		CHECK(errno == EINTR);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif
