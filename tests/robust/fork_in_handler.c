/* SPDX-License-Identifier: MIT
 *
 * If this fails, a signal handler that forks while it interrupts malloc never
 * comes back, or its child cannot go on with what was interrupted.
 */
#include "check.h"

#include <signal.h>
#include <sys/time.h>

#define FORKS 300

static volatile sig_atomic_t forks, in_child;

/* The parent waits for the child, which returns into whatever was interrupted. */
static void fork_and_wait(int signal)
{
	int saved = errno, status;
	pid_t child;

	(void)signal;
	if (in_child)
		return;
	child = fork();
	if (child == 0) {
		in_child = 1;
		errno = saved;
		return;
	}
	CHECK(child > 0);
	while (waitpid(child, &status, 0) < 0)
		CHECK(errno == EINTR);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	forks++;
	errno = saved;
}

int main(void)
{
	struct sigaction action = {.sa_handler = fork_and_wait, .sa_flags = SA_RESTART};
	struct itimerval often = {{0, 3000}, {0, 3000}};

	CHECK(sigaction(SIGVTALRM, &action, NULL) == 0);
	CHECK(setitimer(ITIMER_VIRTUAL, &often, NULL) == 0);
	watchdog(60);
	while (forks < FORKS) {
		use_every_size();
		if (in_child) {
			use_every_size();
			_exit(0);
		}
	}
	puts("done");
	return 0;
}
