/* SPDX-License-Identifier: MIT */
#include "alloc/stats_print.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc/ctl.h"
#include "alloc/message.h"
#include "alloc/stats_json.h"
#include "alloc/stats_text.h"
#include "base/identity.h"
#include "base/options.h"
#include "base/print.h"

/* All values are those of one moment: 0, or the error of the refresh. */
static int refresh(void)
{
	uint64_t epoch = 1;
	size_t size = sizeof(epoch);

	return mallctl("epoch", &epoch, &size, &epoch, size);
}

static void tell_failure(void (*write)(void *, const char *), void *opaque, const char *what)
{
	char line[ASH_LINE_MAX];

	ash_format(line, sizeof(line), "%s%s in mallctl(\"epoch\", ...)\n", ash_message_prefix, what);
	write(opaque, line);
}

void malloc_stats_print(void (*write)(void *, const char *), void *opaque, const char *letters)
{
	char spare[STATS_SPARE];
	struct report r;
	int saved = errno, error;

	write = write ? write : ash_message_text;
	error = refresh();
	if (error == EAGAIN) {
		tell_failure(write, opaque, "Memory allocation failure");
		errno = saved;
		return;
	}
	if (error) {
		tell_failure(write, opaque, "Failure");
		abort();
	}
	ash_report_begin(&r, write, opaque, spare, sizeof(spare));
	r.wants = ash_report_wants(letters);
	if (r.wants.json)
		ash_stats_json(&r);
	else
		ash_stats_text(&r);
	ash_report_end(&r);
	errno = saved;
}

void ash_stats_print_at_exit(void)
{
	malloc_stats_print(NULL, NULL, ash_options.stats_print_opts);
}
