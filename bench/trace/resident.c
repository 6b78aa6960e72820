/* SPDX-License-Identifier: MIT
 *
 * If this missed pages, a replay would need less memory than the program did; if it looked too often, recording would be
 * slow. It looks when an object is freed, and at all objects whenever 1/64 of the large live bytes (at least 256 KiB)
 * were newly allocated: at no time can more than that be written and unseen, except by a program that allocates nothing.
 */
#define _GNU_SOURCE
#include "resident.h"
#include "log.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#define VECTOR_PAGES 4096
#define UNSEEN_LEAST 262144
#define PATIENCE 4   /* after so many looks that found nothing new an object is looked at more and more rarely, */
#define QUIET_MAX 10 /* at last in every 64th round */
#define FIRST_CAPACITY 1024

_Atomic unsigned char resident_filter[1 << FILTER_SHIFT];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for all below */
static struct large *table;                              /* open addressing, linear */
static size_t capacity, count;
static uint64_t live, unseen;
static unsigned rounds;
static unsigned char vector[VECTOR_PAGES];

static size_t page_bytes(void)
{
	static size_t bytes;

	if (bytes == 0)
		bytes = (size_t)sysconf(_SC_PAGESIZE);
	return bytes;
}

static size_t place_of(uint64_t address)
{
	return (size_t)(((address >> 4) * 0x9e3779b97f4a7c15u) >> 20) & (capacity - 1);
}

/* Where the object is, or the hole where it would be. */
static size_t find(uint64_t address)
{
	size_t i = place_of(address);

	while (table[i].address != 0 && table[i].address != address)
		i = (i + 1) & (capacity - 1);
	return i;
}

static bool grow(void)
{
	size_t old_capacity = capacity, bytes = (capacity ? capacity * 2 : FIRST_CAPACITY) * sizeof *table;
	struct large *old = table, *new = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (new == MAP_FAILED)
		return false;
	table = new;
	capacity = bytes / sizeof *table;
	for (size_t i = 0; i < old_capacity; i++)
		if (old[i].address != 0)
			table[find(old[i].address)] = old[i];
	if (old != NULL)
		munmap(old, old_capacity * sizeof *old);
	return true;
}

static void filter_add(uint64_t address, int step)
{
	_Atomic unsigned char *c = &resident_filter[resident_hash(address)];
	unsigned char n = atomic_load_explicit(c, memory_order_relaxed);

	if (n != 255)
		atomic_store_explicit(c, (unsigned char)(n + step), memory_order_relaxed);
}

/* Without memory for the table the object's pages are not looked at; it is recorded all the same. */
static void insert(struct large l)
{
	if (count * 2 >= capacity && !grow())
		return;
	table[find(l.address)] = l;
	filter_add(l.address, 1);
	count++;
	live += l.size;
}

/* Linear probing without tombstones: what follows moves up into the hole, unless it would come before its place. */
static void erase(size_t hole)
{
	filter_add(table[hole].address, -1);
	count--;
	live -= table[hole].size;
	for (size_t i = (hole + 1) & (capacity - 1); table[i].address != 0; i = (i + 1) & (capacity - 1)) {
		size_t from_place = (i - place_of(table[i].address)) & (capacity - 1);

		if (from_place >= ((i - hole) & (capacity - 1))) {
			table[hole] = table[i];
			hole = i;
		}
	}
	table[hole].address = 0;
}

static uint64_t first_byte(const struct large *l)
{
	return l->address & ~(uint64_t)(page_bytes() - 1);
}

static size_t pages_of(const struct large *l)
{
	return (size_t)((l->address + l->size - first_byte(l) + page_bytes() - 1) / page_bytes());
}

/* Fills the vector for up to VECTOR_PAGES pages; pages that are not mapped count as absent. */
static size_t look_at(const struct large *l, size_t page)
{
	size_t pages = pages_of(l) - page;

	if (pages > VECTOR_PAGES)
		pages = VECTOR_PAGES;
	if (mincore((char *)(uintptr_t)first_byte(l) + page * page_bytes(), pages * page_bytes(), vector) != 0)
		memset(vector, 0, pages);
	return pages;
}

static size_t resident_of(const struct large *l)
{
	size_t pages = pages_of(l), resident = 0;

	for (size_t at = 0, n; at < pages; at += n) {
		n = look_at(l, at);
		for (size_t i = 0; i < n; i++)
			resident += vector[i] & 1;
	}
	return resident;
}

/* Tells all resident pages once there are more than were told; ashlar-trace keeps the new ones. */
static void tell(struct large *l)
{
	size_t pages = pages_of(l), resident;

	if (l->known >= pages)
		return;
	resident = resident_of(l);
	l->quiet = resident > l->known ? 0 : l->quiet + (l->quiet < QUIET_MAX);
	if (resident <= l->known)
		return;
	l->known = resident;
	for (size_t at = 0, n; at < pages; at += n) {
		n = look_at(l, at);
		log_touch(l->address, at, vector, n);
	}
}

static bool is_due(size_t i)
{
	unsigned rarely = table[i].quiet > PATIENCE ? table[i].quiet - PATIENCE : 0;

	return (rounds + i) % (1u << rarely) == 0;
}

static void check_locked(bool all)
{
	rounds++;
	unseen = 0;
	for (size_t i = 0; i < capacity; i++)
		if (table[i].address != 0 && (all || is_due(i)))
			tell(&table[i]);
}

static void check_if_much_is_unseen(uint64_t added)
{
	unseen += added;
	if (unseen > UNSEEN_LEAST && unseen > live / 64)
		check_locked(false);
}

void resident_check(bool all)
{
	pthread_mutex_lock(&lock);
	check_locked(all);
	pthread_mutex_unlock(&lock);
}

void resident_add(const void *p, size_t size)
{
	pthread_mutex_lock(&lock);
	insert((struct large){.address = (uintptr_t)p, .size = size});
	check_if_much_is_unseen(size);
	pthread_mutex_unlock(&lock);
}

/* The object's entry, taken out; looked at first if it is asked to. */
static struct large take(const void *p, bool look, size_t new_size)
{
	struct large l = {0};
	size_t i;

	pthread_mutex_lock(&lock);
	i = capacity ? find((uintptr_t)p) : 0;
	if (capacity && table[i].address != 0) {
		if (look || new_size < table[i].size - table[i].size / 4)
			tell(&table[i]);
		l = table[i];
		erase(i);
	}
	pthread_mutex_unlock(&lock);
	return l;
}

void resident_remove(const void *p)
{
	take(p, true, 0);
}

struct large resident_take(const void *p, size_t new_size)
{
	return take(p, false, new_size);
}

void resident_put(struct large l, const void *p, size_t size)
{
	uint64_t grown = size > l.size ? size - l.size : 0;

	if (size < LARGE_BYTES)
		return;
	l.address = (uintptr_t)p;
	l.size = size;
	if (l.known > pages_of(&l))
		l.known = pages_of(&l);
	l.quiet = 0;
	pthread_mutex_lock(&lock);
	insert(l);
	check_if_much_is_unseen(grown);
	pthread_mutex_unlock(&lock);
}

size_t resident_own_bytes(void)
{
	return capacity * sizeof *table;
}
