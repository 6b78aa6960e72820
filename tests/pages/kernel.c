/* SPDX-License-Identifier: MIT */
#include "kernel.h"

#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "expect.h"

struct area {
	uintptr_t begin, end;
	bool library;  /* belongs to libashlar.so */
	bool writable; /* the loader made it writable, if only for relocation */
};

/* Segments of the program and its libraries; the test's own mappings. */
static struct area segment[256], own[256];
static size_t nsegments, nowns;
static char text[1 << 20];

void kernel_not_ours(const void *p, size_t size)
{
	EXPECT(nowns < sizeof own / sizeof *own);
	own[nowns++] = (struct area){.begin = (uintptr_t)p, .end = (uintptr_t)p + size};
}

static int note_segments(struct dl_phdr_info *object, size_t size, void *unused)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	for (int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &object->dlpi_phdr[i];
		uintptr_t begin = object->dlpi_addr + ph->p_vaddr;

		if (ph->p_type != PT_LOAD)
			continue;
		EXPECT(nsegments < sizeof segment / sizeof *segment);
		segment[nsegments++] = (struct area){
			.begin = begin & -page,
			.end = (begin + ph->p_memsz + page - 1) & -page,
			.library = object->dlpi_name && strstr(object->dlpi_name, "libashlar.so") != NULL,
			.writable = ph->p_flags & PF_W,
		};
	}
	return 0;
}

static const struct area *area_of(const struct area *areas, size_t n, uintptr_t p)
{
	for (size_t i = 0; i < n; i++) {
		if (p >= areas[i].begin && p < areas[i].end)
			return &areas[i];
	}
	return NULL;
}

static void read_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got;

	EXPECT(fd >= 0);
	while ((got = read(fd, text + n, sizeof text - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	EXPECT(got == 0 && n > 0 && n < sizeof text - 1);
	text[n] = '\0';
}

struct mapping {
	uintptr_t begin, end;
	char perms[5];
	char name[256];
	size_t rss;
};

/* The next mapping of the text from *at on; false at its end. */
static bool next_mapping(const char **at, struct mapping *m)
{
	const char *rss;
	int used = 0;

	if (sscanf(*at, "%lx-%lx %4s %*s %*s %*s%n", &m->begin, &m->end, m->perms, &used) != 3)
		return false;
	*at += used;
	m->name[0] = '\0';
	sscanf(*at, "%*[ ]%255[^\n]", m->name);
	rss = strstr(*at, "\nRss:");
	EXPECT(rss != NULL && sscanf(rss, "\nRss: %zu kB", &m->rss) == 1);
	m->rss *= 1024;
	/* The last line of each. */
	*at = strstr(rss, "\nVmFlags:");
	EXPECT(*at != NULL);
	*at = strchr(*at + 1, '\n');
	EXPECT(*at != NULL);
	++*at;
	return true;
}

/* The data of an object and memory that the loader took next to it are one mapping: cuts the second off. */
static void cut(struct mapping *m, uintptr_t end)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = m->end > end ? (m->end - end) / page : 0;
	unsigned char in_core[64];

	if (!n)
		return;
	EXPECT(n <= sizeof in_core && mincore((void *)end, n * page, in_core) == 0);
	for (size_t i = 0; i < n; i++)
		m->rss -= in_core[i] & 1 ? page : 0;
	m->end = end;
}

/* Adds the mapping where it belongs; true when it is ashlar's. */
static bool sort(struct kernel *k, struct mapping *m)
{
	const struct area *object = area_of(segment, nsegments, m->begin);
	uintptr_t here = (uintptr_t)pthread_self();

	k->process += m->rss;
	if (object && !(object->library && object->writable)) {
		k->library += object->library ? m->rss : 0;
		return false;
	}
	if (!object && (m->name[0] || area_of(own, nowns, m->begin) || (here >= m->begin && here < m->end)))
		return false;
	if (object)
		cut(m, object->end);
	k->resident += m->rss;
	/* The loader makes data that it has relocated read-only again. */
	if (m->perms[1] == 'w' || object)
		k->accessible += m->end - m->begin;
	else
		k->reserved += m->end - m->begin;
	return true;
}

void kernel_look(struct kernel *k)
{
	const char *at = text;
	struct mapping m;

	if (!nsegments)
		dl_iterate_phdr(note_segments, NULL);
	read_text("/proc/self/smaps");
	*k = (struct kernel){0};
	while (next_mapping(&at, &m))
		sort(k, &m);
}

size_t kernel_rollup(void)
{
	const char *rss;
	size_t n;

	read_text("/proc/self/smaps_rollup");
	rss = strstr(text, "\nRss:");
	EXPECT(rss != NULL && sscanf(rss, "\nRss: %zu kB", &n) == 1);
	return n * 1024;
}

void kernel_tell(void)
{
	struct kernel k = {0};
	const char *at = text;
	struct mapping m;

	while (next_mapping(&at, &m)) {
		if (sort(&k, &m))
			note("%lx-%lx %s %zu KiB, %zu resident %s", m.begin, m.end, m.perms, (m.end - m.begin) / 1024,
			     m.rss / 1024, m.name);
	}
}
