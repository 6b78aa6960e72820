/* SPDX-License-Identifier: MIT
 *
 * One process that meets the faults of its arguments (kinds.h), from its first
 * call on. If this fails, a program that runs into a limit for a moment loses
 * memory, gets a wrong errno, reads wrong bytes, or never recovers.
 *
 * Every request of the first part may get NULL, but only with ENOMEM. Then the
 * faults end: all structures are whole, all objects hold their bytes, every
 * request works, memory goes back, and what was allocated can be had again.
 * tests/faults/faults.c compares what is left in the end with a run without faults.
 */
#define _GNU_SOURCE
#include <ashlar/ashlar.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject.h"
#include "pattern.h"

enum {
	SLOTS = 32,
	OPERATIONS = 80,
	THREADS = 3,
	STACK = 256 * 1024,
	DOUBLINGS = 4,
	UNTOUCHED = 4242, /* an errno that no call gives */
	WATCHDOG = 60,
	HUGE_SIZE = 70 << 20,
	HUGE_STEP = 7 << 20,
	PIECES = 18,
	PIECE = 1 << 20,
	PAUSE_MS = 11000, /* longer than the library waits after a refusal */
	CONTENTIONS = 50000,
	NAP_US = 100,
	SLOW_FORKS = 4, /* while other threads are in the system */
	LOOKS = 300,    /* at what is still kept for reuse */
	LOOK_MS = 100,
	KEPT = 1 << 20 /* bytes that may stay so */
};

struct object {
	unsigned char *p;
	size_t size;
	uint64_t id;
};

struct actor {
	pthread_t thread;
	bool runs;
	uint64_t random;
	uint64_t id;
	struct object slot[SLOTS];
	void *stack;
};

/* Nothing of the test itself comes from the heap or from a call that can be refused. */
static struct actor actors[1 + THREADS];
static bool gone;
static uint64_t refusals;

void *__real_mmap(void *hint, size_t size, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *p, size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
ssize_t __real_write(int fd, const void *buf, size_t size);

/* ---- single calls */

static uint64_t below(struct actor *a, uint64_t bound)
{
	return random_below(&a->random, bound);
}

/* Judges one answer: memory with errno as it was, or NULL with ENOMEM while faults last. */
static void *judged(const char *call, size_t size, void *p)
{
	int error = errno;

	if (p && error != UNTOUCHED)
		inject_die("%s(%zu) gave memory and set errno to %d", call, size, error);
	if (p)
		return p;
	if (error != ENOMEM)
		inject_die("%s(%zu) gave NULL and errno %d", call, size, error);
	if (gone)
		inject_die("%s(%zu) gave NULL after the faults were gone", call, size);
	__atomic_add_fetch(&refusals, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void *aligned(size_t align, size_t size)
{
	void *p = (void *)1;
	int status;

	errno = UNTOUCHED;
	status = posix_memalign(&p, align, size);
	if (errno != UNTOUCHED)
		inject_die("posix_memalign(%zu, %zu) set errno to %d", align, size, errno);
	if (status && p != (void *)1)
		inject_die("posix_memalign(%zu, %zu) failed and changed its result", align, size);
	if (!status && (uintptr_t)p % align)
		inject_die("posix_memalign(%zu, %zu) gave %p", align, size, p);
	errno = status ? status : UNTOUCHED;
	return judged("posix_memalign", size, status ? NULL : p);
}

static void *zeros(size_t size)
{
	void *p;

	errno = UNTOUCHED;
	p = judged("calloc", size, calloc(1, size));
	if (p && !bytes_are_sampled(p, size, 0))
		inject_die("calloc(%zu) gave memory that is not zero", size);
	return p;
}

static void *requested(struct actor *a, size_t size)
{
	switch (below(a, 5)) {
	case 0:
		return zeros(size);
	case 1:
		return aligned((size_t)8 << below(a, 10), size);
	case 2:
		errno = UNTOUCHED;
		return judged("realloc", size, realloc(NULL, size));
	default:
		errno = UNTOUCHED;
		return judged("malloc", size, malloc(size));
	}
}

static void release(void *p)
{
	errno = UNTOUCHED;
	free(p);
	if (errno != UNTOUCHED)
		inject_die("free set errno to %d", errno);
}

/* ---- objects that know their contents */

static size_t some_size(struct actor *a)
{
	uint64_t drawn = below(a, 128);

	return 1 + below(a, drawn < 1 ? 1 << 20 : drawn < 6 ? 150000 : drawn < 32 ? 32768 : 2048);
}

static void object_make(struct actor *a, struct object *o)
{
	o->size = some_size(a);
	o->id = a->id += 1 + THREADS;
	o->p = requested(a, o->size);
	if (o->p)
		pattern_fill(o->p, o->size, o->id);
}

static void object_check(const struct object *o)
{
	if (!pattern_intact(o->p, o->size, o->id))
		inject_die("%p of %zu bytes does not hold its contents", (void *)o->p, o->size);
}

static void object_resize(struct object *o, size_t size)
{
	size_t kept = o->size < size ? o->size : size;
	void *p;

	object_check(o);
	errno = UNTOUCHED;
	p = judged("realloc", size, realloc(o->p, size));
	if (!p) {
		object_check(o);
		return;
	}
	o->p = p;
	if (!pattern_kept(o->p, kept, o->size, o->id))
		inject_die("realloc from %zu to %zu bytes lost contents", o->size, size);
	o->size = size;
	pattern_fill(o->p, o->size, o->id);
}

static void object_end(struct object *o)
{
	object_check(o);
	release(o->p);
	o->p = NULL;
}

static void actor_operates(struct actor *a, unsigned operations)
{
	for (unsigned i = 0; i < operations; i++) {
		struct object *o = &a->slot[below(a, SLOTS)];

		if (!o->p)
			object_make(a, o);
		else if (below(a, 2))
			object_end(o);
		else
			object_resize(o, below(a, 2) ? some_size(a) : o->size + 1 + o->size / 2);
	}
}

static void actor_checks(const struct actor *a)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		if (a->slot[i].p)
			object_check(&a->slot[i]);
	}
}

static void actor_ends(struct actor *a)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		if (a->slot[i].p)
			object_end(&a->slot[i]);
	}
}

/* ---- larger undertakings */

static struct ashlar_stats statistics(void)
{
	struct ashlar_stats stats;

	if (ashlar_stats(&stats, sizeof(stats)) != 0)
		inject_die("no statistics");
	return stats;
}

/* Threads meet at one lock until that brings another arena into being. */
static void contend(void)
{
	for (unsigned i = 0; i < CONTENTIONS && (i % 200 || statistics().narenas < 2); i++) {
		errno = UNTOUCHED;
		release(judged("malloc", 64, malloc(64)));
	}
}

/* Threads that have worked rest with their caches full, until they are told to go on. */
static unsigned resting;
static bool awake;

/* Somebody waits for a thread that is in the system to give memory back. */
static void give_back(void)
{
	unsigned char *p;

	errno = UNTOUCHED;
	p = judged("malloc", PIECE, malloc(PIECE));
	if (p)
		pattern_write(p, 0, 64, PIECE);
	release(p);
	malloc_trim(0);
}

static void *thread(void *arg)
{
	if (inject_flag(CONTEND))
		contend();
	actor_operates(arg, OPERATIONS);
	__atomic_add_fetch(&resting, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&awake, __ATOMIC_SEQ_CST)) {
		if (inject_purge_is_awaited())
			give_back();
		usleep(NAP_US);
	}
	actor_operates(arg, OPERATIONS / 8);
	return NULL;
}

static void threads_rest(void)
{
	unsigned begun = 0;

	for (unsigned i = 1; i <= THREADS; i++)
		begun += actors[i].runs;
	while (__atomic_load_n(&resting, __ATOMIC_SEQ_CST) < begun)
		usleep(NAP_US);
}

/* On stacks of the test's: glibc keeps those that it made, and what belongs to them. With the stack goes the thread's
 * local storage: a look at it after the thread's end faults. */
static void threads_begin(void)
{
	resting = 0;
	awake = false;
	for (unsigned i = 1; i <= THREADS; i++) {
		pthread_attr_t attr;
		int error;

		actors[i].stack = __real_mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (actors[i].stack == MAP_FAILED)
			inject_die("no memory for a stack");
		pthread_attr_init(&attr);
		pthread_attr_setstack(&attr, actors[i].stack, STACK);
		error = __real_pthread_create(&actors[i].thread, &attr, thread, &actors[i]);
		actors[i].runs = !error;
		/* glibc allocates a table for each thread. */
		if (error && (gone || error != EAGAIN))
			inject_die("a thread could not begin: %d", error);
	}
}

static void threads_end(void)
{
	__atomic_store_n(&awake, true, __ATOMIC_SEQ_CST);
	for (unsigned i = 1; i <= THREADS; i++) {
		if (actors[i].runs && pthread_join(actors[i].thread, NULL) != 0)
			inject_die("a thread could not be joined");
		actors[i].runs = false;
		__real_munmap(actors[i].stack, STACK);
	}
}

static void structures_are_whole(const char *when)
{
	int broken = ashlar_structure_check();

	if (broken)
		inject_die("%d broken structures %s", broken, when);
}

static void fork_works(struct actor *a)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		inject_die("fork failed: errno %d", errno);
	if (child == 0) {
		alarm(WATCHDOG);
		actor_checks(a);
		actor_operates(a, OPERATIONS / 4);
		actor_ends(a);
		structures_are_whole("in a child");
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child || status != 0)
		inject_die("a forked child ended with status 0x%x", (unsigned)status);
}

/* Two buffers double in turn up to 640 KB, so that each is in the other's way, and halve again. */
static void buffers_grow(struct actor *a)
{
	struct object buffer[2] = {{NULL, 40000, a->id += 1 + THREADS}, {NULL, 40000, a->id += 1 + THREADS}};

	for (unsigned i = 0; i < 2; i++) {
		errno = UNTOUCHED;
		buffer[i].p = judged("malloc", buffer[i].size, malloc(buffer[i].size));
		if (buffer[i].p)
			pattern_fill(buffer[i].p, buffer[i].size, buffer[i].id);
	}
	for (unsigned i = 0; i < 2 * DOUBLINGS; i++) {
		if (buffer[i % 2].p)
			object_resize(&buffer[i % 2], buffer[i % 2].size * 2);
	}
	for (unsigned i = 0; i < 2 * DOUBLINGS; i++) {
		if (buffer[i % 2].p)
			object_resize(&buffer[i % 2], buffer[i % 2].size / 2);
	}
	for (unsigned i = 0; i < 2; i++) {
		if (buffer[i].p)
			object_end(&buffer[i]);
	}
}

static void marks_write(unsigned char *p)
{
	for (size_t at = 0; at + HUGE_STEP <= HUGE_SIZE; at += HUGE_STEP)
		pattern_write(p + at, 0, 64, at);
}

static void marks_check(const unsigned char *p)
{
	for (size_t at = 0; at + HUGE_STEP <= HUGE_SIZE; at += HUGE_STEP) {
		if (!pattern_holds(p + at, 0, 64, at))
			inject_die("a moved object does not hold its contents at %zu", at);
	}
}

/* It has no room where it is. */
static void huge_object_moves(void)
{
	unsigned char *p, *moved;
	void *neighbour;

	errno = UNTOUCHED;
	p = judged("malloc", HUGE_SIZE, malloc(HUGE_SIZE));
	errno = UNTOUCHED;
	neighbour = judged("malloc", PIECE, malloc(PIECE));
	if (p) {
		marks_write(p);
		errno = UNTOUCHED;
		moved = judged("realloc", 2 * HUGE_SIZE, realloc(p, 2 * HUGE_SIZE));
		p = moved ? moved : p;
		marks_check(p);
	}
	release(p);
	release(neighbour);
}

/* Much at once, then nothing of it: what is kept for reuse passes every cap. */
static void burst(void)
{
	static unsigned char *piece[PIECES];

	for (unsigned i = 0; i < PIECES; i++) {
		errno = UNTOUCHED;
		piece[i] = judged("malloc", PIECE, malloc(PIECE));
		if (piece[i])
			pattern_write(piece[i], 0, 64, i);
	}
	for (unsigned i = 0; i < PIECES; i++) {
		if (piece[i] && !pattern_holds(piece[i], 0, 64, i))
			inject_die("piece %u of a burst does not hold its contents", i);
		release(piece[i]);
	}
}

/* Time passes, and the library has occasions to notice. */
static void pass(uint64_t ms)
{
	inject_pass_ms(ms);
	for (unsigned i = 0; i < 40; i++) {
		errno = UNTOUCHED;
		release(judged("malloc", 40000, malloc(40000)));
	}
}

static void everything(struct actor *main_actor)
{
	actor_operates(main_actor, OPERATIONS);
	threads_begin();
	if (!gone)
		fork_works(main_actor);
	for (unsigned i = 0; inject_flag(SLOW) && i < SLOW_FORKS; i++) {
		inject_await_purge();
		fork_works(main_actor);
	}
	actor_operates(main_actor, OPERATIONS);
	threads_rest();
	malloc_trim(0);
	inject_pass_ms(300);
	threads_end();
	buffers_grow(main_actor);
	burst();
	if (inject_flag(HUGE))
		huge_object_moves();
	if (inject_flag(TALKING))
		ashlar_stats_print(STDERR_FILENO);
	pass(1500);
	malloc_trim(0);
	fork_works(main_actor);
}

/* ---- after the faults */

static void plant_faults(void)
{
	if (inject_flag(PLANT_LEAK) && !malloc(100))
		inject_die("no memory for a planted leak");
	for (unsigned i = 0; inject_flag(PLANT_STAIN) && i < SLOTS; i++) {
		if (actors[0].slot[i].p)
			actors[0].slot[i].p[0] ^= 1;
	}
	if (inject_flag(PLANT_HANG))
		pause();
	if (inject_flag(PLANT_KEPT)) {
		errno = ENOMEM;
		judged("malloc", 1, NULL);
	}
}

/* Whatever was refused before. */
static void memory_goes_back(void)
{
	pass(PAUSE_MS);
	malloc_trim(0);
	for (unsigned i = 0; i < LOOKS && statistics().dirty > KEPT; i++)
		pass(LOOK_MS);
	if (statistics().dirty > KEPT)
		inject_die("%zu bytes are still kept for reuse after %u s", statistics().dirty, LOOKS * LOOK_MS / 1000);
}

static void all_is_well(struct actor *main_actor)
{
	structures_are_whole("when the faults are gone");
	for (unsigned i = 0; i <= THREADS; i++)
		actor_checks(&actors[i]);
	everything(main_actor);
	for (unsigned i = 0; i <= THREADS; i++)
		actor_ends(&actors[i]);
	memory_goes_back();
	structures_are_whole("in the end");
}

static void tell(void)
{
	struct ashlar_stats stats = statistics();
	struct result result = {.uses = inject_uses(), .refused = inject_refused(), .refusals = refusals};

	result.in_use = stats.in_use;
	result.held = stats.held;
	result.dirty = stats.dirty;
	if (__real_write(FD_RESULT, &result, sizeof(result)) != sizeof(result))
		inject_die("the result could not be written");
}

int main(void)
{
	struct actor *main_actor = &actors[0];

	alarm(inject_flag(PLANT_HANG) ? 1 : WATCHDOG);
	for (unsigned i = 0; i <= THREADS; i++) {
		actors[i].random = inject_seed() * (1 + THREADS) + i;
		actors[i].id = i;
	}
	everything(main_actor);
	inject_end();
	gone = true;
	plant_faults();
	all_is_well(main_actor);
	tell();
	return 0;
}
