/* SPDX-License-Identifier: MIT
 *
 * stress — threads that come and go, and free what others allocated. If this
 * fails, the heap breaks where threads meet: in remote frees, in caches of
 * threads that ended, in destructors that allocate after the cache is gone.
 *
 * It is not a benchmark: it does a number of operations, however long they take.
 *
 *   stress --threads=N --generations=N --operations=N --seed=S [--shadow] [--contend] [--trim]
 *
 * N threads run at a time; each slot is filled again when its thread ends, as
 * often as there are generations; operations are those of one thread. --shadow
 * also compares each object with all others' places, at the price of atomic
 * operations that may hide a race. --contend lets the threads meet at one lock
 * first, so that on most machines several arenas take part. --trim adds a thread
 * that takes the others' caches out of their hands all the time. One seed makes
 * the same requests, but the threads' meeting differs from run to run.
 */
#include "entry.h"
#include <pthread.h>
#include <sys/random.h>
#include "parcel.h"
#include "shadow.h"
#include "trimmer.h"

enum { SLOTS = 64, MAILBOXES = 512, DESTRUCTOR_ROUNDS = 3 };

struct worker {
	uint64_t random;
	uint64_t held[SLOTS];
	unsigned rounds; /* of the destructor, still to come */
};

static struct {
	unsigned threads;
	unsigned generations;
	unsigned operations;
	uint64_t seed;
	bool shadow;
	bool contend;
	bool trim;
} setup = {8, 20, 20000, 0, false, false, false};

static _Atomic uint64_t mailboxes[MAILBOXES];
static _Atomic uint64_t worker_count;
static pthread_key_t early_key, late_key;
static pthread_barrier_t all_there;

static uint64_t below(struct worker *w, uint64_t bound)
{
	return random_below(&w->random, bound);
}

static uint64_t sealed(void *p, size_t size, uint64_t id)
{
	uint64_t word = parcel_pack(p, size, id);
	if (setup.shadow && !shadow_mark(p, api.malloc_usable_size(p)))
		DIE("%p of %zu bytes overlaps a live object", p, size);
	return word;
}

static struct parcel_head opened(uint64_t word, const char *when)
{
	struct parcel_head head = parcel_check(word, when);
	if (setup.shadow && !shadow_unmark(parcel_pointer(word), api.malloc_usable_size(parcel_pointer(word))))
		DIE("%p is not where it was", (void *)parcel_pointer(word));
	return head;
}

static void destroy(struct worker *w, uint64_t word)
{
	if (!word)
		return;
	struct parcel_head head = opened(word, "as it was freed");
	int before = errno = 4242;
	if (below(w, 4) == 0)
		api.realloc(parcel_pointer(word), 0);
	else
		api.free(parcel_pointer(word));
#ifndef __SANITIZE_THREAD__ /* which sets errno when it reports */
	if (errno != before)
		DIE("freeing %llu bytes set errno to %d", (unsigned long long)head.size, errno);
#endif
}

static size_t draw_size(struct worker *w)
{
	unsigned roll = (unsigned)below(w, 1000);
	if (roll < 700)
		return 1 + below(w, 256);
	if (roll < 950)
		return 1 + below(w, 4096);
	if (roll < 990)
		return 1 + below(w, 40000);
	return 1 + below(w, roll < 999 ? 300000 : 4u << 20);
}

static void *zeroed(size_t size)
{
	void *p = api.calloc(1, size);
	if (p && !bytes_are_sampled(p, size, 0))
		DIE("calloc of %zu bytes gave %p, which is not all zero", size, p);
	return p;
}

static void *aligned(size_t alignment, size_t size)
{
	void *p = NULL;
	if (api.posix_memalign(&p, alignment, size) != 0 || (uintptr_t)p % alignment != 0)
		DIE("posix_memalign(%zu, %zu) gave %p", alignment, size, p);
	return p;
}

static uint64_t create(struct worker *w)
{
	size_t size = draw_size(w);
	uint64_t id = random_next(&w->random);
	switch (below(w, 10)) {
	case 0:
		return sealed(zeroed(size), size, id);
	case 1:
		return sealed(aligned((size_t)16 << below(w, 9), size), size, id);
	case 2:
		return sealed(api.realloc(NULL, size), size, id);
	default:
		return sealed(api.malloc(size), size, id);
	}
}

/* Puts a parcel (or nothing) into any mailbox and frees what lay there. */
static void post(struct worker *w, uint64_t word)
{
	destroy(w, atomic_exchange_explicit(&mailboxes[below(w, MAILBOXES)], word, memory_order_acq_rel));
}

static void keep(struct worker *w, uint64_t word)
{
	uint64_t *slot = &w->held[below(w, SLOTS)];
	destroy(w, *slot);
	*slot = word;
}

static void resize(struct worker *w)
{
	uint64_t *slot = &w->held[below(w, SLOTS)];
	if (!*slot)
		return;
	struct parcel_head head = opened(*slot, "as it was reallocated");
	size_t size = draw_size(w), skip = head.size < PARCEL_TINY ? 0 : PARCEL_TINY;
	size_t usable = api.malloc_usable_size(parcel_pointer(*slot)), filled = skip ? usable - skip : head.size;
	unsigned char *p = api.realloc(parcel_pointer(*slot), size);
	size_t left = size < skip ? 0 : size - skip;
	if (!p || !pattern_kept(p + skip, left < filled ? left : filled, filled, head.id))
		DIE("realloc of %llu bytes to %zu gave %p and lost contents", (unsigned long long)head.size, size,
		    (void *)p);
	*slot = sealed(p, size, random_next(&w->random));
}

/* More objects of one size than a cache holds, freed in one of two orders. */
static void burst(struct worker *w)
{
	uint64_t words[200];
	unsigned n = 1 + (unsigned)below(w, 200);
	size_t size = 1 + below(w, 2048);
	bool reversed = below(w, 2);
	for (unsigned i = 0; i < n; i++)
		words[i] = sealed(api.malloc(size), size, random_next(&w->random));
	for (unsigned i = 0; i < n; i++)
		destroy(w, words[reversed ? n - 1 - i : i]);
}

static void work(struct worker *w, unsigned operations)
{
	for (unsigned i = 0; i < operations; i++) {
		unsigned roll = (unsigned)below(w, 1000);
		if (roll < 400)
			post(w, create(w));
		else if (roll < 700)
			keep(w, create(w));
		else if (roll < 880)
			post(w, 0);
		else if (roll < 996)
			resize(w);
		else
			burst(w);
	}
}

/* The last act of a thread, when the allocator's own thread state may be gone: some parcels go to others. */
static void at_thread_end(struct worker *w, pthread_key_t key)
{
	work(w, 50);
	for (unsigned i = 0; i < SLOTS; i++) {
		if (below(w, 2)) {
			post(w, w->held[i]);
			w->held[i] = 0;
		}
	}
	if (w->rounds-- > 0) {
		pthread_setspecific(key, w);
		return;
	}
	for (unsigned i = 0; i < SLOTS; i++)
		post(w, w->held[i]);
	api.free(w);
}

/* Runs once, before the other, since its key is older. */
static void early_destructor(void *worker)
{
	work(worker, 20);
}

static void late_destructor(void *worker)
{
	at_thread_end(worker, late_key);
}

/* More objects than a cache holds, at once in all threads: until that has brought a second arena into being. */
static void contend(void)
{
	enum { MANY = 500 };
	void *objects[MANY];
	struct ashlar_stats s = {.narenas = 0};
	for (unsigned i = 0; i < 4000 && s.narenas < 2; i++) {
		for (unsigned j = 0; j < MANY; j++)
			objects[j] = api.malloc(64);
		for (unsigned j = 0; j < MANY; j++)
			api.free(objects[j]);
#ifdef __SANITIZE_THREAD__ /* statistics read the heads of caches that move: their figures are exact at rest only */
		s.narenas = i / 50;
#else
		api.ashlar_stats(&s, sizeof(s));
#endif
	}
}

static void *run_worker(void *unused)
{
	struct worker *w = api.calloc(1, sizeof(*w));
	uint64_t number = atomic_fetch_add(&worker_count, 1);
	w->random = random_mix(setup.seed + number);
	w->rounds = DESTRUCTOR_ROUNDS - 1;
	pthread_setspecific(early_key, w);
	pthread_setspecific(late_key, w);
	if (below(w, 8) == 0) { /* a thread whose first calls are frees of what others allocated */
		for (unsigned i = 0; i < MAILBOXES; i++)
			post(w, 0);
	}
	if (setup.contend)
		contend();
	work(w, setup.operations);
	return unused;
}

static void *only_be_there(void *unused)
{
	pthread_barrier_wait(&all_there);
	return unused;
}

/* Small stacks, so that libc keeps all of them, with what it allocated for each: that is in the baseline then. */
static void start(pthread_t *thread, void *(*function)(void *))
{
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 << 10);
	if (pthread_create(thread, &attributes, function, NULL) != 0)
		DIE("pthread_create fails");
	pthread_attr_destroy(&attributes);
}

static void take_part(pthread_t *threads)
{
	pthread_barrier_init(&all_there, NULL, setup.threads);
	for (unsigned i = 0; i < setup.threads; i++)
		start(&threads[i], only_be_there);
	for (unsigned i = 0; i < setup.threads; i++)
		pthread_join(threads[i], NULL);
}

static void churn(pthread_t *threads)
{
	for (unsigned generation = 0; generation < setup.generations; generation++) {
		for (unsigned i = 0; i < setup.threads; i++) {
			if (generation > 0)
				pthread_join(threads[i], NULL);
			start(&threads[i], run_worker);
		}
	}
	for (unsigned i = 0; i < setup.threads; i++)
		pthread_join(threads[i], NULL);
}

static void empty_mailboxes(void)
{
	struct worker w = {.random = setup.seed};
	for (unsigned i = 0; i < MAILBOXES; i++)
		destroy(&w, atomic_exchange(&mailboxes[i], 0));
}

static void check_end(size_t baseline)
{
	int broken = api.ashlar_structure_check();
	if (broken != 0)
		DIE("%d broken structures (seed %llu)", broken, (unsigned long long)setup.seed);
	struct ashlar_stats s;
	if (api.ashlar_stats(&s, sizeof(s)) != 0)
		DIE("ashlar_stats fails");
	/* A helper thread may have come: the C library's bookkeeping of it is less than 1 KiB. */
	if (s.in_use < baseline || s.in_use >= baseline + 1024)
		DIE("all is freed, but %zu bytes are in use, %zu were at the start (seed %llu)", s.in_use, baseline,
		    (unsigned long long)setup.seed);
	if (s.in_use + s.cached + s.dirty + s.metadata > s.held)
		DIE("held %zu is less than in use %zu + cached %zu + dirty %zu + metadata %zu", s.held, s.in_use,
		    s.cached, s.dirty, s.metadata);
	say("ok     held %zu, in use %zu, cached %zu, dirty %zu, %u arenas\n", s.held, s.in_use, s.cached, s.dirty,
	    s.narenas);
}

static unsigned number(const char *text, unsigned smallest, unsigned largest)
{
	unsigned long n = strtoul(text, NULL, 0);
	if (n < smallest || n > largest)
		DIE("%s: a number from %u to %u is needed", text, smallest, largest);
	return (unsigned)n;
}

static void read_arguments(int argc, char **argv)
{
	if (getrandom(&setup.seed, sizeof(setup.seed), 0) != sizeof(setup.seed))
		DIE("getrandom fails");
	setup.seed &= 0xffffffff;
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--threads=", 10) == 0)
			setup.threads = number(argv[i] + 10, 1, 1024);
		else if (strncmp(argv[i], "--generations=", 14) == 0)
			setup.generations = number(argv[i] + 14, 1, 1000000);
		else if (strncmp(argv[i], "--operations=", 13) == 0)
			setup.operations = number(argv[i] + 13, 1, 1000000000);
		else if (strncmp(argv[i], "--seed=", 7) == 0)
			setup.seed = strtoull(argv[i] + 7, NULL, 0);
		else if (strcmp(argv[i], "--shadow") == 0)
			setup.shadow = true;
		else if (strcmp(argv[i], "--contend") == 0)
			setup.contend = true;
		else if (strcmp(argv[i], "--trim") == 0)
			setup.trim = true;
		else
			DIE("unknown argument %s", argv[i]);
	}
}

int main(int argc, char **argv)
{
	static pthread_t threads[1024];
	const char *options = getenv("MALLOC_CONF");
	alarm(1800);
	entry_load();
	read_arguments(argc, argv);
	say("stress: seed %llu, %u threads, %u generations, %u operations each, MALLOC_CONF=%s%s\n",
	    (unsigned long long)setup.seed, setup.threads, setup.generations, setup.operations, options ? options : "",
	    setup.shadow ? ", with a shadow" : "");
	shadow_init();
	pthread_key_create(&early_key, early_destructor);
	pthread_key_create(&late_key, late_destructor);
	take_part(threads);
	size_t baseline = is_ashlar ? stats_in_use() : 0;
	if (setup.trim)
		trimmer_start();
	churn(threads);
	if (setup.trim)
		trimmer_stop();
	empty_mailboxes();
	if (is_ashlar)
		check_end(baseline);
	return 0;
}
