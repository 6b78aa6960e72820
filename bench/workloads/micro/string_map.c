/* SPDX-License-Identifier: MIT
 *
 * An in-memory key-value store or an interpreter's dictionaries: a chained hash table of string keys and values; entries
 * come, change their value and go at random, the table doubles as it fills.
 */
#include "bench/harness.h"

#include <stdio.h>

#define KEYS 60000

struct entry {
	struct entry *next;
	uint64_t hash;
	char *key;
	char *value;
};

struct map {
	struct entry **buckets;
	size_t mask;
	size_t count;
};

static uint64_t hash_of(const char *key)
{
	uint64_t h = 14695981039346656037u;

	while (*key)
		h = (h ^ (unsigned char)*key++) * 1099511628211u;
	return h;
}

static void make_key(char *key, uint64_t number)
{
	/* 5 to 38 characters, always the same for one number */
	int n = snprintf(key, 48, "k%lu", (unsigned long)(number * 7919));
	int padding = (int)(number * 2654435761u >> 7) & 31;

	memset(key + n, '.', (size_t)padding);
	key[n + padding] = '\0';
}

static struct entry **find(struct map *m, const char *key, uint64_t hash)
{
	struct entry **e = &m->buckets[hash & m->mask];

	while (*e && ((*e)->hash != hash || strcmp((*e)->key, key) != 0))
		e = &(*e)->next;
	return e;
}

static void enlarge(struct map *m)
{
	struct map larger = {.mask = m->mask * 2 + 1};

	larger.buckets = calloc(larger.mask + 1, sizeof *larger.buckets);
	for (size_t i = 0; i <= m->mask; i++) {
		for (struct entry *e = m->buckets[i], *next; e; e = next) {
			struct entry **head = &larger.buckets[e->hash & larger.mask];

			next = e->next;
			e->next = *head;
			*head = e;
		}
	}
	free(m->buckets);
	m->buckets = larger.buckets;
	m->mask = larger.mask;
}

static void insert(struct map *m, struct entry **at, const char *key, uint64_t hash, size_t value_size)
{
	struct entry *e = bench_malloc(sizeof *e);

	*e = (struct entry){.hash = hash, .key = strdup(key), .value = bench_malloc(value_size)};
	*at = e;
	if (++m->count > m->mask)
		enlarge(m);
}

static void drop(struct map *m, struct entry **at)
{
	struct entry *e = *at;

	*at = e->next;
	free(e->key);
	free(e->value);
	free(e);
	m->count--;
}

/* Half the keys are in at any time: a missing one is put in, one that is there loses or changes its value. */
static void visit(struct map *m, struct bench_random *r)
{
	char key[96];
	size_t value_size = bench_skewed(r, 16, 6);

	make_key(key, bench_between(r, 0, KEYS - 1));
	uint64_t hash = hash_of(key);
	struct entry **at = find(m, key, hash);

	if (*at == NULL) {
		insert(m, at, key, hash, value_size);
	} else if (bench_between(r, 0, 1) == 0) {
		drop(m, at);
	} else {
		free((*at)->value);
		(*at)->value = bench_malloc(value_size);
	}
}

static void string_map(struct bench *b)
{
	struct map m = {.mask = 15, .buckets = calloc(16, sizeof *m.buckets)};
	struct bench_random r = bench_seed(9);

	while (bench_next(b))
		for (int i = 0; i < 10000; i++)
			visit(&m, &r);
	for (size_t i = 0; i <= m.mask; i++)
		while (m.buckets[i])
			drop(&m, &m.buckets[i]);
	free(m.buckets);
	bench_operations(b, 10000);
}

BENCH_WORKLOAD(micro, string_map, .run = string_map, .iterations = 150);
