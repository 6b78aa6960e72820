/* SPDX-License-Identifier: MIT
 *
 * If a damaged trace got through here, the replayer would free what was never allocated and blame the allocator.
 */
#define _GNU_SOURCE
#include "read.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STREAM_STEP ((size_t)16 << 20)
#define ENVIRONMENT_MAX 4096

void *pages_map(size_t bytes)
{
	void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		       0);

	return p == MAP_FAILED ? NULL : p;
}

void pages_unmap(void *p, size_t bytes)
{
	if (p != NULL)
		munmap(p, bytes ? bytes : 1);
}

static const char *map_file(struct trace *t, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat s;
	void *p = MAP_FAILED;

	if (fd < 0)
		return strerror(errno);
	if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_size > 0)
		p = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return "not a file with something in it";
	t->mapping = p;
	t->mapped = t->bytes = (size_t)s.st_size;
	return NULL;
}

/* The whole environment but LD_PRELOAD: xz is not to run on the allocator that is being measured. */
static void plain_environment(char *environment[ENVIRONMENT_MAX])
{
	size_t n = 0;

	for (char **e = environ; *e != NULL && n < ENVIRONMENT_MAX - 1; e++)
		if (strncmp(*e, "LD_PRELOAD=", 11) != 0)
			environment[n++] = *e;
	environment[n] = NULL;
}

static const char *spawn_xz(const char *path, int *out, pid_t *pid)
{
	static char *environment[ENVIRONMENT_MAX];
	char *const command[] = {"xz", "-dcq", "--", (char *)(uintptr_t)path, NULL};
	posix_spawn_file_actions_t actions;
	int ends[2], error;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return strerror(errno);
	plain_environment(environment);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	error = posix_spawnp(pid, "xz", &actions, NULL, command, environment);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	*out = ends[0];
	if (error == 0)
		return NULL;
	close(ends[0]);
	return error == ENOENT ? "no xz to read it with: install the package xz-utils" : strerror(error);
}

/* Reads all of `fd` into memory that grows by mremap. */
static const char *read_stream(struct trace *t, int fd)
{
	size_t room = STREAM_STEP, used = 0;
	char *p = pages_map(room);

	while (p != NULL) {
		ssize_t n = read(fd, p + used, room - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
		if (used == room) {
			void *more = mremap(p, room, room + STREAM_STEP, MREMAP_MAYMOVE);

			if (more == MAP_FAILED)
				return "no memory for it";
			p = more;
			room += STREAM_STEP;
		}
	}
	if (p == NULL)
		return "no memory for it";
	t->mapping = p;
	t->mapped = room;
	t->bytes = used;
	return NULL;
}

static const char *map_xz(struct trace *t, const char *path)
{
	const char *wrong = access(path, R_OK) != 0 ? strerror(errno) : NULL;
	int fd = -1, status = 0;
	pid_t pid;

	if (wrong == NULL)
		wrong = spawn_xz(path, &fd, &pid);
	if (wrong != NULL)
		return wrong;
	wrong = read_stream(t, fd);
	close(fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (wrong == NULL && status != 0)
		wrong = "xz cannot decompress it: damaged, or not made by xz";
	return wrong;
}

/* Sizes in the header are believed only as far as the body has bytes for them. */
static const char *check_header(const struct trace *t)
{
	const struct trace_header *h = t->mapping;

	if (t->bytes >= sizeof h->magic && h->magic == RECORDING_MAGIC)
		return "a recording, not a trace: make one of it by ashlar-trace pack";
	if (t->bytes < sizeof h->magic || h->magic != TRACE_MAGIC)
		return "not a trace (its magic number is missing)";
	if (t->bytes >= 16 && h->version != TRACE_VERSION)
		return "a trace of another version; record it again, or use the tools that made it";
	if (t->bytes < sizeof *h || h->header_bytes != sizeof *h || h->body_bytes > t->bytes - sizeof *h)
		return "cut short";
	if (h->body_bytes < t->bytes - sizeof *h)
		return "damaged (it goes on behind its end)";
	if (check_sum(CHECK_START, h, offsetof(struct trace_header, check)) != h->check)
		return "damaged (the check sum of its header is wrong)";
	if (check_sum(CHECK_START, h + 1, h->body_bytes) != h->body_check)
		return "damaged (the check sum of its events is wrong)";
	if (h->events > h->body_bytes || h->objects > h->events || h->threads == 0 || h->threads > h->events + 1 ||
	    h->threads > INT32_MAX)
		return "damaged (its header counts more than it holds)";
	if (memchr(h->program, 0, NAME_BYTES) == NULL || memchr(h->allocator, 0, NAME_BYTES) == NULL)
		return "damaged (a name without end)";
	return NULL;
}

const char *trace_open(struct trace *t, const char *path)
{
	size_t length = strlen(path);
	bool packed = length > 3 && strcmp(path + length - 3, ".xz") == 0;
	const char *wrong;

	*t = (struct trace){0};
	wrong = packed ? map_xz(t, path) : map_file(t, path);
	if (wrong == NULL)
		wrong = check_header(t);
	if (wrong != NULL) {
		trace_close(t);
		return wrong;
	}
	t->header = t->mapping;
	t->body = (const unsigned char *)(t->header + 1);
	return NULL;
}

void trace_close(struct trace *t)
{
	if (t->mapping != NULL)
		munmap((void *)(uintptr_t)t->mapping, t->mapped);
	*t = (struct trace){0};
}

struct reader trace_reader(const struct trace *t)
{
	return (struct reader){
		.left = {.at = t->body, .end = t->body + t->header->body_bytes},
		.threads = 1,
		.threads_max = (uint32_t)t->header->threads,
		.objects_max = t->header->objects,
	};
}

static bool stop(struct reader *r, const char *why)
{
	r->wrong = why;
	return false;
}

/* Threads come in the order of their numbers. */
static bool switch_thread(struct reader *r)
{
	uint64_t thread = get_varint(&r->left);

	if (r->left.bad || thread > r->threads || thread >= r->threads_max)
		return stop(r, "damaged (a thread out of order)");
	if (thread == r->threads)
		r->threads++;
	r->thread = (uint32_t)thread;
	return true;
}

static bool read_size(struct reader *r, struct event *e)
{
	e->size = get_varint(&r->left);
	return e->size <= OBJECT_MAX || stop(r, "damaged (an object larger than memory)");
}

static bool read_object(struct reader *r, struct event *e)
{
	uint64_t age = get_varint(&r->left);

	if (age >= r->objects)
		return stop(r, "damaged (an object that was never allocated)");
	e->object = r->objects - 1 - age;
	return true;
}

bool run_next(struct event *e, uint64_t *page, uint64_t *pages)
{
	if (e->run_count == 0)
		return false;
	e->run_count--;
	*page = e->run_page + get_varint(&e->runs);
	*pages = get_varint(&e->runs);
	e->run_page = *page + *pages;
	return true;
}

/* Walks over the runs, so that later readers can trust them. */
static bool read_runs(struct reader *r, struct event *e)
{
	uint64_t page, pages, limit = OBJECT_MAX / TRACE_PAGE + 2;
	struct event walk;

	e->run_count = get_varint(&r->left);
	e->runs = r->left;
	e->run_page = 0;
	walk = *e;
	if (e->run_count == 0 || e->run_count > RUNS_SEEN_MAX)
		return stop(r, "damaged (impossible runs of pages)");
	while (run_next(&walk, &page, &pages))
		if (walk.runs.bad || page > limit || pages == 0 || pages > limit)
			return stop(r, "damaged (impossible runs of pages)");
	r->left = walk.runs;
	return true;
}

static bool read_allocation(struct reader *r, struct event *e)
{
	if (!read_size(r, e))
		return false;
	e->shift = e->kind == EVENT_ALIGNED ? get_byte(&r->left) : 0;
	if (e->shift > ALIGNMENT_SHIFT_MAX)
		return stop(r, "damaged (an impossible alignment)");
	if (r->objects == r->objects_max)
		return stop(r, "damaged (more objects than its header counts)");
	e->object = r->objects++;
	return true;
}

static bool read_fields(struct reader *r, struct event *e)
{
	switch (e->kind) {
	case EVENT_MALLOC:
	case EVENT_CALLOC:
	case EVENT_ALIGNED:
		return read_allocation(r, e);
	case EVENT_FREE:
	case EVENT_FREE_SIZED:
		return read_object(r, e);
	case EVENT_RESIZED:
		return read_object(r, e) && read_size(r, e);
	case EVENT_TOUCH:
		return read_object(r, e) && read_runs(r, e);
	case EVENT_SAMPLE:
		e->size = get_varint(&r->left);
		e->kib = get_varint(&r->left);
		return true;
	case EVENT_THREAD_END:
		return true;
	default:
		return stop(r, "damaged (an unknown kind of event)");
	}
}

bool reader_next(struct reader *r, struct event *e)
{
	if (r->wrong != NULL || r->left.at == r->left.end)
		return false;
	e->kind = get_byte(&r->left);
	while (e->kind == EVENT_THREAD) {
		if (!switch_thread(r))
			return false;
		e->kind = get_byte(&r->left);
	}
	e->thread = r->thread;
	if (!read_fields(r, e))
		return false;
	r->events++;
	return !r->left.bad || stop(r, "damaged (an event is cut off)");
}
