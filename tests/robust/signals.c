/* SPDX-License-Identifier: MIT
 *
 * If this fails, a signal that arrives inside malloc or free damages the heap,
 * or a handler cannot allocate even where it is allowed to.
 *
 * signals interrupt: handlers that do not allocate interrupt allocating threads.
 * signals outside:   handlers allocate and free, while the program is outside.
 * signals altstack:  the same on a small alternate stack.
 */
#include <signal.h>
#include <sys/time.h>

#include "check.h"

#define ENOUGH 200

static volatile sig_atomic_t seen;
static volatile bool stop_now;

static void count(int sig)
{
	seen++;
}

static void allocate(int sig)
{
	int saved = errno;

	use_every_size();
	if (++seen == ENOUGH) {
		/* A handler that takes longer than the timer's period would let nothing else run. */
		struct itimerval none = {{0, 0}, {0, 0}};

		setitimer(ITIMER_REAL, &none, NULL);
	}
	errno = saved;
}

static void every_microseconds(int us, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | flags};
	struct itimerval timer = {{0, us}, {0, us}};

	CHECK(sigaction(SIGALRM, &action, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void *allocate_until_told(void *arg)
{
	while (!stop_now)
		use_every_size();
	return arg;
}

static void interrupt(void)
{
	pthread_t thread[3];

	every_microseconds(300, count, 0);
	for (unsigned i = 0; i < 3; i++)
		thread[i] = start(allocate_until_told, NULL);
	for (unsigned i = 0; i < 6000; i++) {
		CHECK(pthread_kill(thread[i % 3], SIGUSR1) == 0);
		drop(take(i), i);
		usleep(50);
	}
	stop_now = true;
	for (unsigned i = 0; i < 3; i++)
		join(thread[i]);
	CHECK(seen > 100);
}

static void outside(int flags)
{
	volatile unsigned long spin = 0;

	every_microseconds(1000, allocate, flags);
	while (seen < ENOUGH)
		spin++;
}

static void altstack(void)
{
	static char stack[16384 + 8192];
	stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};

	CHECK(sigaltstack(&alternate, NULL) == 0);
	outside(SA_ONSTACK);
}

/* The timer took the alarm: a thread is the watchdog here. */
static void *bark(void *arg)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	sleep(60);
	CHECK(!"ended in time");
	return arg;
}

int main(int argc, char **argv)
{
	const char *what = argv[argc - 1];

	start(bark, NULL);
	if (strcmp(what, "interrupt") == 0)
		interrupt();
	else if (strcmp(what, "outside") == 0)
		outside(0);
	else if (strcmp(what, "altstack") == 0)
		altstack();
	else
		CHECK(!"a known case");
	return puts("done") < 0;
}
