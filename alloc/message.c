/* SPDX-License-Identifier: MIT */
#include "alloc/message.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/symbols.h"
#include "base/os.h"

void ash_message_text(void *opaque, const char *text)
{
	int saved = errno;

	if (malloc_message)
		malloc_message(opaque, text);
	else
		ash_os_write(STDERR_FILENO, text, strlen(text));
	errno = saved;
}
