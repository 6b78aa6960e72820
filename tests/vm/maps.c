/* SPDX-License-Identifier: MIT
 *
 * The machine allows few mappings a process (vm.max_map_count, 256 in this test; servers reach the usual 65530). If
 * this fails, a program with many large objects or threads dies, or is refused memory while there is plenty.
 */
#include "fact.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIB ((size_t)1024)
#define OBJECTS 4000
#define THREADS 300

static char *objects[OBJECTS];

/* Takes an object and signs it; false when malloc failed in another way than NULL with ENOMEM. */
static bool take(size_t i, size_t size)
{
	errno = 0;
	objects[i] = malloc(size);
	if (!objects[i])
		return errno == ENOMEM;
	memcpy(objects[i], &i, sizeof i);
	objects[i][size - 1] = (char)i;
	return true;
}

static bool signed_by(size_t i, size_t size)
{
	return !objects[i] || (memcmp(objects[i], &i, sizeof i) == 0 && objects[i][size - 1] == (char)i);
}

static void give(size_t i)
{
	free(objects[i]);
	objects[i] = NULL;
}

static size_t count(void)
{
	size_t n = 0;

	for (size_t i = 0; i < OBJECTS; i++)
		n += objects[i] != NULL;
	return n;
}

/* Many large objects, every second one freed, the holes taken by others: the worst for who maps each by itself. */
static void many_large_objects(void)
{
	bool refused_well = true, intact = true;

	for (size_t i = 0; i < OBJECTS; i++)
		refused_well &= take(i, 48 * KIB);
	fact(count() >= 1000, "%zu of %d objects of 48 KiB were given, at least 1000", count(), OBJECTS);
	for (size_t i = 0; i < OBJECTS; i += 2)
		give(i);
	for (size_t i = 0; i < OBJECTS; i += 4)
		refused_well &= take(i, 80 * KIB);
	for (size_t i = 0; i < OBJECTS; i++)
		intact &= signed_by(i, i % 4 ? 48 * KIB : 80 * KIB);
	fact(intact, "all %zu objects that are left have their content", count());
	fact(refused_well, "what was refused was NULL with ENOMEM");
	for (size_t i = 0; i < OBJECTS; i++)
		give(i);
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void *allocating_thread(void *unused)
{
	bool ok = true;

	for (size_t size = 16; size <= 256 * KIB; size *= 4) {
		char *p;

		errno = 0;
		p = malloc(size);
		ok &= p ? true : errno == ENOMEM;
		if (p)
			p[size - 1] = 1;
		free(p);
	}
	pthread_mutex_lock(&gate); /* lives, with its stack, until all have started */
	pthread_mutex_unlock(&gate);
	return ok ? &gate : NULL;
}

static void many_threads(void)
{
	static pthread_t threads[THREADS];
	size_t n = 0, well = 0;
	int error = 0;

	pthread_mutex_lock(&gate);
	while (n < THREADS && (error = pthread_create(&threads[n], NULL, allocating_thread, NULL)) == 0)
		n++;
	fact(n < THREADS && (error == EAGAIN || error == ENOMEM), "a thread too many is refused with EAGAIN");
	fact(n >= 40, "%zu threads live at once, at least 40", n);
	pthread_mutex_unlock(&gate);
	for (size_t i = 0; i < n; i++) {
		void *result = NULL;

		pthread_join(threads[i], &result);
		well += result != NULL;
	}
	fact(well == n, "each of them got memory, or NULL with ENOMEM");
}

/* Uses up every mapping that is left: neighbours of different protection cannot merge. Returns their number. */
static size_t use_up_mappings(char *area, size_t pages, size_t page)
{
	size_t n = 0;

	while (n < pages && mprotect(area + n * page, page, PROT_READ) == 0)
		n += 2;
	return n;
}

static void nothing_left_to_map(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = 2000;
	char *held = malloc(300 * KIB);
	char *area = mmap(NULL, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool refused_well = true;

	if (!fact(held && area != MAP_FAILED, "an area is mapped and an object taken"))
		return;
	fact(use_up_mappings(area, pages, page) < pages, "no mapping is left");
	for (size_t i = 0; i < 500; i++)
		refused_well &= take(i, 16 + 1000 * i);
	fact(refused_well, "%zu of 500 objects were given, the others were NULL with ENOMEM", count());
	for (size_t i = 0; i < 500; i++)
		give(i);
	free(held);
	munmap(area, pages * page);
}

int main(void)
{
	char *p;

	fact_begin(300);
	fact(fact_number_in("/proc/sys/vm/max_map_count", "") == 256, "vm.max_map_count is 256");
	many_large_objects();
	many_threads();
	nothing_left_to_map();
	p = malloc(64 * KIB * KIB);
	fact(p != NULL, "after all this malloc of 64 MiB works");
	free(p);
	return fact_end();
}
