/* SPDX-License-Identifier: MIT
 *
 * The option parser reads what users write, in every process, before main. If
 * it failed, a typing error in an environment variable would end a program.
 *
 * An input is the text of one source; then its lines are the entries of an
 * environment. Options stay in their ranges, reading a text twice is the same
 * as once, every message is one line, and there are few of them.
 */
#include <setjmp.h>
#include <string.h>

#include "base/options.h"
#include "fuzz.h"

static jmp_buf stopped;

/* abort_conf:true, and nothing else, may end the process. */
static _Noreturn void conf_abort(void);

#define abort conf_abort
#include "alloc/conf.c"
#undef abort

enum { ENTRIES = 64 };

static size_t messages;

static _Noreturn void conf_abort(void)
{
	HOLDS(ash_options.abort_conf);
	longjmp(stopped, 1);
}

void __wrap_ash_os_write(int fd, const void *buf, size_t size);

void __wrap_ash_os_write(int fd, const void *buf, size_t size)
{
	const char *text = buf;

	HOLDS(fd == 2);
	HOLDS(size > strlen("ashlar: \n") && memcmp(text, "ashlar: ", strlen("ashlar: ")) == 0);
	HOLDS(text[size - 1] == '\n');
	messages++;
}

bool __wrap_ash_os_secure(void);

bool __wrap_ash_os_secure(void)
{
	return false;
}

static unsigned parts(const char *text, char mark)
{
	unsigned n = 1;

	for (; *text; text++)
		n += *text == mark;
	return n;
}

static bool letters_are_right(const char *value, const char *letters)
{
	size_t n = strlen(value);

	return n <= strlen(letters) && strspn(value, letters) == n;
}

static void options_are_in_range(void)
{
/* Any other byte in a bool would be a write of something else. */
#define BOOL(name, value, doc) HOLDS(*(const unsigned char *)&ash_options.name <= 1);
#define NUMBER(name, value, smallest, largest, unit, doc) \
	HOLDS(ash_options.name == (value) || \
	      (ash_options.name >= (int64_t)(smallest) && ash_options.name <= (int64_t)(largest)));
#define CLIPPED(name, value, smallest, largest, unit, doc) \
	HOLDS(ash_options.name >= (int64_t)(smallest) && ash_options.name <= (int64_t)(largest));
#define SHARE(name, value, doc) HOLDS(ash_options.name >= 0 && ash_options.name < (int64_t)1 << 32);
#define CHOICE(name, value, choices, doc) HOLDS(ash_options.name < parts(choices, '|'));
#define LETTERS(name, letters, doc) HOLDS(letters_are_right(ash_options.name, letters));
#include "base/option.def"
}

/* False: abort_conf stopped it. */
static bool read_text(const char *text)
{
	if (setjmp(stopped))
		return false;
	texts[CONF_FROM_LINK] = text;
	sources_read(CONF_FROM_LINK, CONF_FROM_LINK);
	return true;
}

static bool read_lines(char **entries)
{
	if (setjmp(stopped))
		return false;
	environment_look(entries);
	sources_read(CONF_FROM_VARIABLE, CONF_FROM_ASHLAR);
	return true;
}

static void text_is_read(const char *text)
{
	static struct options once;
	bool whole;

	messages = 0;
	whole = read_text(text);
	options_are_in_range();
	/* The text itself, the stop, and what is said of a pair: a sign, a comma, a value; what was set, and has no effect. */
	HOLDS(messages <= 2 + 4 * parts(text, ','));
	once = ash_options;
	HOLDS(read_text(text) == whole);
	HOLDS(memcmp(&once, &ash_options, sizeof(once)) == 0);
}

static void lines_are_read(char *text)
{
	char *entries[ENTRIES + 1];
	unsigned n = 0;

	for (char *line = strtok(text, "\n"); line && n < ENTRIES; line = strtok(NULL, "\n"))
		entries[n++] = line;
	entries[n] = NULL;
	read_lines(entries);
	options_are_in_range();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct options defaults;
	static bool begun;
	/* Of its own size: a read behind the end is seen. */
	char *text = malloc(size + 1);

	if (!begun)
		defaults = ash_options;
	begun = true;
	HOLDS(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	ash_options = defaults;
	text_is_read(text);
	ash_options = defaults;
	lines_are_read(text);
	ash_options = defaults;
	free(text);
	return 0;
}
