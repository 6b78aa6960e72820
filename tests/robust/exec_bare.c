/* SPDX-License-Identifier: MIT
 *
 * exec_bare PROGRAM — starts PROGRAM with no argument and no environment at all.
 */
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char *const none[] = {NULL};

	execve(argv[argc - 1], none, none);
	perror("could not run: exec_bare");
	return 99;
}
