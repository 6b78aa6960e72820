/* SPDX-License-Identifier: MIT
 *
 * The process's cgroup is a path in the hierarchy that controls the CPU; a
 * mount shows the hierarchy from some cgroup on, its root. Where the mount's
 * root is our cgroup or one above it, the rest of the path leads from the mount
 * point to our cgroup, and every directory on that way may set a limit: the
 * smallest counts. A limit above the mount's root is one that nobody here can
 * see; container engines set theirs on the root itself.
 */
#include "numa/quota.h"

#include <string.h>

#include "base/compiler.h"
#include "base/os.h"
#include "base/print.h"

/* Mounts of cgroups have short lines; those of overlays, which are skipped, can have long ones. */
#define LINE_BYTES 2048
#define GROUP_BYTES 1024
#define POINT_BYTES 1024 /* of a mount point behind the test's root */
#define NAME_BYTES 32    /* "/cpu.cfs_period_us" */

/* ---- lines of a file */

struct reader {
	int fd;
	bool cut; /* the rest of a line that was too long comes next */
	size_t at, end;
	char text[LINE_BYTES];
};

static bool reader_open(struct reader *r, const char *root, const char *path)
{
	ash_format(r->text, LINE_BYTES, "%s%s", root, path);
	r->fd = ash_os_open(r->text);
	r->cut = false;
	r->at = r->end = 0;
	return r->fd >= 0;
}

static bool reader_fill(struct reader *r)
{
	size_t n;

	memmove(r->text, r->text + r->at, r->end - r->at);
	r->end -= r->at;
	r->at = 0;
	n = ash_os_read(r->fd, r->text + r->end, LINE_BYTES - 1 - r->end);
	r->end += n;
	return n > 0;
}

/* The line [at, end) of the text, terminated there. */
static char *reader_cut(struct reader *r, size_t end, size_t next)
{
	char *line = r->text + r->at;

	r->text[end] = '\0';
	r->at = next;
	return line;
}

/* The next line, without its end; of a line that is too long the beginning. NULL: no more. */
static char *reader_line(struct reader *r)
{
	for (;;) {
		char *newline = memchr(r->text + r->at, '\n', r->end - r->at);
		bool rest = r->cut;

		if (newline) {
			char *line = reader_cut(r, (size_t)(newline - r->text), (size_t)(newline - r->text) + 1);

			r->cut = false;
			if (!rest)
				return line;
		} else if (r->end - r->at == LINE_BYTES - 1) {
			char *line = reader_cut(r, r->end, r->end);

			r->cut = true;
			if (!rest)
				return line;
		} else if (!reader_fill(r)) {
			bool more = !rest && r->at < r->end;

			return more ? reader_cut(r, r->end, r->end) : NULL;
		}
	}
}

/* ---- words */

/* True when `word` is one of the words in a list with commas. */
static bool list_has(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (;;) {
		if (strncmp(list, word, n) == 0 && (list[n] == ',' || !list[n] || list[n] == ' '))
			return true;
		list = strchr(list, ',');
		if (!list)
			return false;
		list++;
	}
}

/* The n-th field behind this one; "" when there is none. */
static char *field(char *line, unsigned n)
{
	while (n-- && *line) {
		line += strcspn(line, " ");
		line += *line == ' ';
	}
	return line;
}

/* Ends the field, and turns \040 and its like into what they stand for. */
static void field_decode(char *p)
{
	char *out = p;

	for (; *p && *p != ' '; p++) {
		bool octal = p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' &&
			     p[3] <= '7';

		*out++ = octal ? (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0')) : *p;
		p += octal ? 3 : 0;
	}
	*out = '\0';
}

/* The number at *text, which moves behind it; 0 where there is none, as in "max" and "-1". */
static uint64_t number(const char **text)
{
	uint64_t n = 0;

	for (; **text >= '0' && **text <= '9'; ++*text) {
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, (unsigned)(**text - '0'), &n))
			n = UINT64_MAX;
	}
	*text += strspn(*text, " ");
	return n;
}

/* ---- the cgroup of this process */

struct group {
	bool v1;
	char path[GROUP_BYTES]; /* "" when unknown */
};

/* One line "id:controllers:path" of /proc/self/cgroup; true when it settles the matter. */
static bool group_line(struct group *group, char *line)
{
	char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
	bool v1, v2;

	if (!path)
		return false;
	*controllers++ = '\0';
	*path++ = '\0';
	v1 = list_has(controllers, "cpu");
	v2 = strcmp(line, "0") == 0 && !*controllers;
	if (!v1 && !v2)
		return false;
	group->v1 = v1;
	group->path[0] = '\0';
	if (*path == '/' && strlen(path) < GROUP_BYTES)
		strcpy(group->path, path);
	/* A controller that v1 has does not work in v2. */
	return v1;
}

static bool group_find(struct group *group, struct reader *r, const char *root)
{
	char *line;

	group->path[0] = '\0';
	if (!reader_open(r, root, "/proc/self/cgroup"))
		return false;
	while ((line = reader_line(r)) && !group_line(group, line))
		;
	ash_os_close(r->fd);
	return group->path[0] != '\0';
}

/* ---- the limits on the way up */

/* A directory; room for a file's name is left behind it. */
struct path {
	size_t length;
	char text[POINT_BYTES + GROUP_BYTES + NAME_BYTES];
};

/* The first bytes of a file in the directory; "" when it cannot be read. */
static void path_read(struct path *dir, const char *name, char *text, size_t size)
{
	int fd;

	strcpy(dir->text + dir->length, name);
	fd = ash_os_open(dir->text);
	text[0] = '\0';
	if (fd < 0)
		return;
	text[ash_os_read(fd, text, size - 1)] = '\0';
	ash_os_close(fd);
}

/* The limit that one cgroup sets. */
static unsigned dir_quota(struct path *dir, bool v1)
{
	char text[64];
	const char *p = text;
	uint64_t quota, period, cpus;

	path_read(dir, v1 ? "/cpu.cfs_quota_us" : "/cpu.max", text, sizeof(text));
	quota = number(&p);
	if (!quota)
		return NO_QUOTA;
	if (v1) {
		path_read(dir, "/cpu.cfs_period_us", text, sizeof(text));
		p = text;
	}
	period = number(&p);
	if (!period)
		return NO_QUOTA;
	cpus = quota / period + (quota % period != 0);
	return cpus < NO_QUOTA ? (unsigned)cpus : NO_QUOTA;
}

/* The smallest limit from this directory up to the one whose path has `top` bytes. */
static unsigned path_quota(struct path *dir, size_t top, bool v1)
{
	unsigned least = dir_quota(dir, v1);

	while (dir->length > top) {
		unsigned quota;

		while (--dir->length > top && dir->text[dir->length] != '/')
			;
		quota = dir_quota(dir, v1);
		least = quota < least ? quota : least;
	}
	return least;
}

/* ---- mounts */

/* How many times "/.." stands at the beginning: so far above the root of our
 * cgroup namespace a path is. */
static size_t ups(const char *path)
{
	size_t n = 0;

	while (strncmp(path + 3 * n, "/..", 3) == 0 && (!path[3 * n + 3] || path[3 * n + 3] == '/'))
		n++;
	return n;
}

/* The way from cgroup `top` down to cgroup `path`, "" where only this is known
 * that there is one; NULL when there is none. */
static const char *way_down(const char *top, const char *path)
{
	size_t n = strcmp(top, "/") == 0 ? 0 : strlen(top);

	if (strncmp(path, top, n) == 0 && (!path[n] || path[n] == '/')) {
		path += n;
		if (strcmp(path, "/") == 0)
			return "";
		return ups(path) ? NULL : path;
	}
	/* Further up than we are, by names that this namespace does not show. */
	return ups(top) > ups(path) && ups(top) * 3 == strlen(top) ? "" : NULL;
}

/* True when a line of mountinfo is a mount of the hierarchy that controls the CPU. */
static bool mount_fits(char *line, bool v1)
{
	char *type = strstr(line, " - ");

	if (!type)
		return false;
	type += 3;
	if (!v1)
		return strncmp(type, "cgroup2 ", 8) == 0;
	return strncmp(type, "cgroup ", 7) == 0 && list_has(field(type, 2), "cpu");
}

/* The limits that this mount shows. */
static unsigned mount_quota(const struct group *group, char *line, const char *root)
{
	char *top = field(line, 3), *point = field(line, 4);
	const char *down;
	struct path dir;
	size_t above;

	field_decode(point);
	field_decode(top);
	down = way_down(top, group->path);
	if (!down || *point != '/' || strlen(root) + strlen(point) >= POINT_BYTES)
		return NO_QUOTA;
	above = ash_format(dir.text, POINT_BYTES, "%s%s", root, point);
	dir.length = above + strlen(down);
	strcpy(dir.text + above, down);
	return path_quota(&dir, above, group->v1);
}

static unsigned mounts_quota(const struct group *group, struct reader *r, const char *root)
{
	unsigned least = NO_QUOTA, quota;
	char *line;

	if (!reader_open(r, root, "/proc/self/mountinfo"))
		return NO_QUOTA;
	while ((line = reader_line(r))) {
		if (!mount_fits(line, group->v1))
			continue;
		quota = mount_quota(group, line, root);
		least = quota < least ? quota : least;
	}
	ash_os_close(r->fd);
	return least;
}

unsigned ash_cpu_quota(const char *root)
{
	struct reader r;
	struct group group;

	return group_find(&group, &r, root) ? mounts_quota(&group, &r, root) : NO_QUOTA;
}
