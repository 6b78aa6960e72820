/* SPDX-License-Identifier: MIT
 *
 * Linked with the static library, run as itself and as a setuid copy: the list compares what it says. If this fails, the
 * user who starts a setuid program steers its heap through the environment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>

int main(void)
{
	char *p = malloc(100);

	if (!p)
		return 2;
	snprintf(p, 100, "secure %lu", getauxval(AT_SECURE));
	puts(p);
	free(p);
	return 0;
}
