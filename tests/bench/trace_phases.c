/* SPDX-License-Identifier: MIT
 *
 * A program whose memory is worth comparing with that of its replay: trees of small objects that one thread builds and another frees,
 * a large table of which only every fourth page is ever written, a buffer that grows by realloc, reserves of which the head is used.
 * Prints the peak of its anonymous memory above what it began with, in KiB, as it was at its own marks.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 6
#define OBJECTS 150000
#define TABLE_BYTES (48l << 20)
#define GROWN_BYTES (12l << 20)
#define RESERVES 64
#define RESERVE_BYTES (1 << 20)

static void **objects; /* OBJECTS; not static memory, which no trace has */
static char *reserves[RESERVES];
static long idle_kib, peak_kib;

static long anonymous_kib(void)
{
	long kib = -1;
	char line[256];
	FILE *f = fopen("/proc/self/smaps_rollup", "r");

	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		sscanf(line, "Anonymous: %ld", &kib);
	if (f != NULL)
		fclose(f);
	if (kib < 0)
		abort();
	return kib;
}

static void mark(void)
{
	long kib = anonymous_kib() - idle_kib;

	peak_kib = kib > peak_kib ? kib : peak_kib;
}

static void build(uint64_t *r)
{
	for (int i = 0; i < OBJECTS; i++) {
		size_t size;

		*r = *r * 6364136223846793005u + 1442695040888963407u;
		size = 16 + (*r >> 33) % 240;
		objects[i] = memset(malloc(size), 1, size);
	}
}

static void *free_most(void *arg)
{
	for (int i = 0; i < OBJECTS; i++)
		if (i % 16 != 0) {
			free(objects[i]);
			objects[i] = NULL;
		}
	return NULL;
}

static void grow_a_buffer(void)
{
	size_t size = 1000;
	char *p = malloc(size);

	memset(p, 1, size);
	while (size < GROWN_BYTES) {
		p = realloc(p, size * 2);
		memset(p + size, 1, size);
		size *= 2;
	}
	mark();
	free(p);
}

int main(void)
{
	uint64_t r = 1;
	char *table;

	idle_kib = anonymous_kib();
	objects = calloc(OBJECTS, sizeof *objects);
	table = calloc(TABLE_BYTES, 1);
	for (int round = 0; round < ROUNDS; round++) {
		pthread_t thread;

		build(&r);
		for (long at = TABLE_BYTES / ROUNDS * round; at < TABLE_BYTES / ROUNDS * (round + 1); at += 4 * 4096)
			table[at] = 1;
		for (int i = round; i < RESERVES; i += ROUNDS) {
			reserves[i] = malloc(RESERVE_BYTES);
			memset(reserves[i], 1, 100000);
		}
		grow_a_buffer();
		mark();
		if (pthread_create(&thread, NULL, free_most, NULL) != 0)
			abort();
		pthread_join(thread, NULL);
		for (int i = 0; i < OBJECTS; i++)
			free(objects[i]);
		mark();
	}
	for (int i = 0; i < RESERVES; i++)
		free(reserves[i]);
	mark();
	printf("anonymous_peak_kib %ld\n", peak_kib);
	free(table);
	free(objects);
	return 0;
}
