/* SPDX-License-Identifier: MIT
 *
 * If this breaks, a guest's test reports facts that it has not checked.
 */
#include "fact.h"

#include <ashlar/ashlar.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_uint untrue;

static void say(const char *prefix, const char *sentence, va_list args)
{
	char line[512];
	size_t n = (size_t)snprintf(line, sizeof line, "%s", prefix);

	vsnprintf(line + n, sizeof line - n - 1, sentence, args);
	n = strlen(line);
	line[n++] = '\n';
	if (write(STDOUT_FILENO, line, n) != (ssize_t)n)
		_exit(2);
}

bool fact(bool is_true, const char *sentence, ...)
{
	va_list args;

	if (!is_true)
		untrue++;
	va_start(args, sentence);
	say(is_true ? "true: " : "FALSE: ", sentence, args);
	va_end(args);
	return is_true;
}

void fact_note(const char *sentence, ...)
{
	va_list args;

	va_start(args, sentence);
	say("note: ", sentence, args);
	va_end(args);
}

static void give_up(const char *what, const char *name)
{
	fact(false, "%s %s", what, name);
	_exit(2);
}

void fact_begin(unsigned seconds)
{
	const char *mark = getenv("VM_MARK");

	alarm(seconds);
	if (!mark)
		give_up("could not run: the environment does not name the allocator by", "VM_MARK");
	if (!dlsym(RTLD_DEFAULT, mark))
		give_up("could not run: not the allocator under test, it has no", mark);
}

int fact_end(void)
{
	int (*check)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "ashlar_structure_check");

	if (check)
		fact(check() == 0, "the heap's structures hold after all this");
	return untrue ? 1 : 0;
}

size_t fact_number_in(const char *path, const char *key)
{
	char text[8192];
	char *at;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (n <= 0)
		give_up("could not read", path);
	close(fd);
	text[n] = '\0';
	at = strstr(text, key);
	if (!at)
		give_up("no such line:", key);
	return strtoull(at + strlen(key), NULL, 10);
}

unsigned fact_arenas(void)
{
	int (*stats)(struct ashlar_stats *, size_t) =
		(int (*)(struct ashlar_stats *, size_t))dlsym(RTLD_DEFAULT, "ashlar_stats");
	struct ashlar_stats s;

	if (!stats || stats(&s, sizeof s) != 0)
		give_up("the allocator tells nothing:", "ashlar_stats");
	return s.narenas;
}
