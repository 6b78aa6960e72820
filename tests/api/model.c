/* SPDX-License-Identifier: MIT
 *
 * model — random calls of every entry point, each answer compared with a
 * shadow of the heap. If this fails, the allocator gives out memory that is
 * owned, misaligned, too short or not zeroed, loses what a program wrote, or
 * miscounts what it holds.
 *
 * It is not a benchmark. The seed is printed; with one thread, the same seed
 * and count of operations make the same calls in the same order again:
 *
 *   model --operations=N --seed=S --threads=T
 *
 * MALLOC_CONF is read here too, for what it promises of fresh memory (zero,
 * junk). The shadow lives in mmap'd memory. Threads have objects of their own
 * but share the shadow map, so that no two of all threads' objects overlap.
 */
#include "entry.h"
#include <pthread.h>
#include <sys/random.h>
#include "pattern.h"
#include "shadow.h"

enum { LIVE_MAX = 12000, LIVE_BYTES_MAX = 96 << 20, ACCOUNT_EVERY = 1 << 15, WALK_EVERY = 1 << 19 };

/* Who gave an object out, hence who may take it back. */
enum family {
	FROM_MALLOC,
	FROM_ALIGNED_ALLOC,
	FROM_MEMALIGN,
	FROM_NEW,
	FROM_NEW_ARRAY,
	FROM_NEW_ALIGNED,
	FROM_NEW_ARRAY_ALIGNED
};

struct object {
	unsigned char *p;
	size_t size; /* as asked for; p[0 .. usable) is filled */
	size_t usable;
	size_t align;
	uint64_t id;
	enum family family;
};

struct model {
	struct object *live;
	size_t n;
	size_t usable; /* sum over live */
	size_t target; /* of n, in this phase */
	size_t peak;
	uint64_t random;
	uint64_t operation;
	uint64_t operations;
	uint64_t seed;
	unsigned thread;
};

static struct {
	uint64_t seed;
	uint64_t operations;
	unsigned threads;
	bool zero;
	bool junk;
	bool full;
	size_t baseline;
} setup = {.operations = 1000000, .threads = 1};

#define WRONG(m, ...) \
	do { \
		say("model: seed %llu, thread %u, operation %llu: ", (unsigned long long)setup.seed, (m)->thread, \
		    (unsigned long long)(m)->operation); \
		say(__VA_ARGS__); \
		say("\n"); \
		_exit(1); \
	} while (0)

static uint64_t below(struct model *m, uint64_t bound)
{
	return random_below(&m->random, bound);
}

/* Sizes: most are small, one in twenty large, one in 5,000 many MiB; one in four at or beside a power of two. */
static size_t draw_size(struct model *m)
{
	static const struct {
		unsigned upto, lo, hi;
	} bands[] = {
		{6000, 0, 8}, {8500, 8, 12}, {9500, 12, 15}, {9970, 15, 18}, {9998, 18, 22}, {10000, 22, 26},
	};
	unsigned roll = (unsigned)below(m, 10000), band = 0;
	while (roll >= bands[band].upto)
		band++;
	unsigned bits = bands[band].lo + (unsigned)below(m, bands[band].hi - bands[band].lo + 1);
	size_t size = (size_t)1 << bits;
	if (below(m, 4) == 0)
		return size + below(m, 33) - (size < 16 ? 0 : 16);
	return bits ? size / 2 + below(m, size / 2 + 1) : below(m, 2);
}

/* jemalloc 5.3.0 answers memalign(64, 0) unaligned. */
static size_t draw_aligned_size(struct model *m)
{
	size_t size = draw_size(m);
	return is_ashlar || size ? size : 1;
}

static size_t draw_align(struct model *m)
{
	unsigned roll = (unsigned)below(m, 1000);
	if (roll < 900)
		return (size_t)8 << below(m, 7);
	return (size_t)1024 << (roll < 998 ? below(m, 7) : below(m, 15));
}

/* The alignment that a plain request of this size gets. */
static size_t natural_align(size_t size)
{
	return size <= 8 ? 8 : 16;
}

static struct object *draw_object(struct model *m)
{
	/* The latest, an early one, or any: stacks, queues and heaps all occur. */
	switch (below(m, 4)) {
	case 0:
		return &m->live[m->n - 1];
	case 1:
		return &m->live[below(m, (m->n + 15) / 16)];
	default:
		return &m->live[below(m, m->n)];
	}
}

/* The usable size of what a call gave; alignment first, since the library may stumble over a misaligned pointer. */
static size_t check_alignment(struct model *m, const void *p, size_t size, size_t align, const char *call)
{
	if ((uintptr_t)p % align != 0)
		WRONG(m, "%s(%zu) gave %p, which is not %zu-aligned", call, size, p, align);
	return api.malloc_usable_size((void *)p);
}

static void check_placement(struct model *m, const struct object *o, const char *call)
{
	if (o->usable < o->size)
		WRONG(m, "%s(%zu) gave %p with a usable size of only %zu", call, o->size, (void *)o->p, o->usable);
	if (!shadow_mark(o->p, o->usable))
		WRONG(m, "%s(%zu) gave %p (usable %zu), which overlaps a live object", call, o->size, (void *)o->p,
		      o->usable);
}

static void check_fresh(struct model *m, const struct object *o, bool zeroed, const char *call)
{
	size_t promised = is_ashlar ? o->usable : o->size;
	if ((zeroed || setup.zero) && !bytes_are_sampled(o->p, promised, 0))
		WRONG(m, "%s(%zu) gave %p (usable %zu), which is not all zero", call, o->size, (void *)o->p, o->usable);
	if (!zeroed && !setup.zero && setup.junk && !bytes_are_sampled(o->p, promised, 0xa5))
		WRONG(m, "%s(%zu) gave %p (usable %zu), which is not all junk", call, o->size, (void *)o->p, o->usable);
}

static void adopt(struct model *m, struct object o)
{
	m->live[m->n++] = o;
	m->usable += o.usable;
	if (m->usable > m->peak)
		m->peak = m->usable;
	pattern_fill(o.p, o.usable, o.id);
}

static void admit(struct model *m, void *p, size_t size, size_t align, enum family family, bool zeroed,
		  const char *call)
{
	if (!p)
		WRONG(m, "%s(%zu), alignment %zu, gave NULL (errno %d)", call, size, align, errno);
	struct object o = {p, size, check_alignment(m, p, size, align, call), align, random_next(&m->random), family};
	check_placement(m, &o, call);
	check_fresh(m, &o, zeroed, call);
	adopt(m, o);
}

static void check_intact(struct model *m, const struct object *o, const char *when)
{
	if (!pattern_intact(o->p, o->usable, o->id))
		WRONG(m, "%p of %zu bytes (usable %zu) was overwritten, seen %s", (void *)o->p, o->size, o->usable,
		      when);
	if (api.malloc_usable_size(o->p) != o->usable)
		WRONG(m, "the usable size of %p went from %zu to %zu", (void *)o->p, o->usable,
		      api.malloc_usable_size(o->p));
}

/* Takes o out of the model; the caller gives it back to the allocator. */
static struct object dismiss(struct model *m, struct object *o, const char *call)
{
	check_intact(m, o, call);
	if (!shadow_unmark(o->p, o->usable))
		WRONG(m, "the test lost track of %p", (void *)o->p);
	struct object gone = *o;
	m->usable -= gone.usable;
	*o = m->live[--m->n];
	return gone;
}

static void allocate_c(struct model *m)
{
	size_t size = draw_size(m), n;
	switch (below(m, 8)) {
	case 0:
	case 1:
		n = 1 + below(m, 64);
		admit(m, api.calloc(n, (size + n - 1) / n), (size + n - 1) / n * n, natural_align(size), FROM_MALLOC,
		      true, "calloc");
		break;
	case 2:
		admit(m, api.realloc(NULL, size), size, natural_align(size), FROM_MALLOC, false, "realloc");
		break;
	case 3:
		n = 1 + below(m, 64);
		admit(m, api.reallocarray(NULL, n, size / n), size / n * n, natural_align(size / n * n), FROM_MALLOC,
		      false, "reallocarray");
		break;
	default:
		admit(m, api.malloc(size), size, natural_align(size), FROM_MALLOC, false, "malloc");
	}
}

static void allocate_aligned(struct model *m)
{
	size_t size = draw_aligned_size(m), align = draw_align(m), page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = NULL;
	int before = errno;
	switch (below(m, 10)) {
	case 0:
		admit(m, api.valloc(size ? size : 1), size ? size : 1, page, FROM_MEMALIGN, false, "valloc");
		break;
	case 1:
		admit(m, api.pvalloc(size ? size : 1), size ? size : 1, page, FROM_MEMALIGN, false, "pvalloc");
		break;
	case 2:
	case 3:
		admit(m, api.memalign(align, size), size, align, FROM_MEMALIGN, false, "memalign");
		break;
	case 4:
	case 5:
	case 6:
		admit(m, api.aligned_alloc(align, size), size, align, FROM_ALIGNED_ALLOC, false, "aligned_alloc");
		break;
	default:
		if (api.posix_memalign(&p, align, size) != 0 || errno != before)
			WRONG(m, "posix_memalign(%zu, %zu) fails or sets errno (%d)", align, size, errno);
		admit(m, p, size, align, FROM_MEMALIGN, false, "posix_memalign");
	}
}

static void allocate_cxx(struct model *m)
{
	size_t size = draw_aligned_size(m), align = draw_align(m), plain = natural_align(size);
	switch (below(m, 8)) {
	case 0:
		admit(m, api._Znwm(size), size, plain, FROM_NEW, false, "new");
		break;
	case 1:
		admit(m, api._Znam(size), size, plain, FROM_NEW_ARRAY, false, "new[]");
		break;
	case 2:
		admit(m, api._ZnwmRKSt9nothrow_t(size, &nothrow_tag), size, plain, FROM_NEW, false, "nothrow new");
		break;
	case 3:
		admit(m, api._ZnamRKSt9nothrow_t(size, &nothrow_tag), size, plain, FROM_NEW_ARRAY, false,
		      "nothrow new[]");
		break;
	case 4:
		admit(m, api._ZnwmSt11align_val_t(size, align), size, align, FROM_NEW_ALIGNED, false, "aligned new");
		break;
	case 5:
		admit(m, api._ZnamSt11align_val_t(size, align), size, align, FROM_NEW_ARRAY_ALIGNED, false,
		      "aligned new[]");
		break;
	case 6:
		admit(m, api._ZnwmSt11align_val_tRKSt9nothrow_t(size, align, &nothrow_tag), size, align,
		      FROM_NEW_ALIGNED, false, "aligned nothrow new");
		break;
	default:
		admit(m, api._ZnamSt11align_val_tRKSt9nothrow_t(size, align, &nothrow_tag), size, align,
		      FROM_NEW_ARRAY_ALIGNED, false, "aligned nothrow new[]");
	}
}

/* A sized free may name any size from the one asked for to the usable one. */
static size_t draw_sized(struct model *m, const struct object *o)
{
	return below(m, 4) ? o->size : o->size + below(m, o->usable - o->size + 1);
}

static void give_back_c(struct model *m, const struct object *o)
{
	unsigned roll = (unsigned)below(m, 8);
	if (o->family == FROM_MALLOC && roll < 3)
		api.free_sized(o->p, draw_sized(m, o));
	else if (o->family == FROM_ALIGNED_ALLOC && roll < 6)
		api.free_aligned_sized(o->p, o->align, draw_sized(m, o));
	else if (o->family == FROM_MALLOC && roll == 3 && api.realloc(o->p, 0) != NULL)
		WRONG(m, "realloc(p, 0) gave a pointer");
	else if (o->family != FROM_MALLOC || roll > 3)
		api.free(o->p);
}

static void give_back_plain_cxx(struct model *m, const struct object *o)
{
	bool array = o->family == FROM_NEW_ARRAY;
	switch (below(m, 3)) {
	case 0:
		(array ? api._ZdaPv : api._ZdlPv)(o->p);
		break;
	case 1:
		(array ? api._ZdaPvm : api._ZdlPvm)(o->p, draw_sized(m, o));
		break;
	default:
		(array ? api._ZdaPvRKSt9nothrow_t : api._ZdlPvRKSt9nothrow_t)(o->p, &nothrow_tag);
	}
}

static void give_back_aligned_cxx(struct model *m, const struct object *o)
{
	bool array = o->family == FROM_NEW_ARRAY_ALIGNED;
	switch (below(m, 3)) {
	case 0:
		(array ? api._ZdaPvSt11align_val_t : api._ZdlPvSt11align_val_t)(o->p, o->align);
		break;
	case 1:
		(array ? api._ZdaPvmSt11align_val_t : api._ZdlPvmSt11align_val_t)(o->p, draw_sized(m, o), o->align);
		break;
	default:
		(array ? api._ZdaPvSt11align_val_tRKSt9nothrow_t
		       : api._ZdlPvSt11align_val_tRKSt9nothrow_t)(o->p, o->align, &nothrow_tag);
	}
}

static void release(struct model *m, struct object *victim)
{
	struct object o = dismiss(m, victim, "as it was freed");
	int before = errno = 1000 + (int)below(m, 1000);
	if (o.family <= FROM_MEMALIGN)
		give_back_c(m, &o);
	else if (o.family <= FROM_NEW_ARRAY)
		give_back_plain_cxx(m, &o);
	else
		give_back_aligned_cxx(m, &o);
	if (errno != before)
		WRONG(m, "freeing %p of %zu bytes set errno to %d", (void *)o.p, o.size, errno);
}

static size_t draw_new_size(struct model *m, size_t old)
{
	switch (below(m, 4)) {
	case 0:
		return old + 1 + below(m, old / 8 + 64);
	case 1:
		return old < 2 ? 1 : 1 + below(m, old - 1);
	case 2:
		return old < (1u << 20) ? old * 2 + 1 : old + 1;
	default:
		return 1 + draw_size(m);
	}
}

static void resize(struct model *m, struct object *victim)
{
	if (victim->family > FROM_MEMALIGN)
		return;
	struct object o = dismiss(m, victim, "as it was reallocated");
	size_t size = draw_new_size(m, o.size), n = 1 + below(m, 8);
	bool array = below(m, 4) == 0;
	size = array ? (size + n - 1) / n * n : size;
	unsigned char *p = array ? api.reallocarray(o.p, n, size / n) : api.realloc(o.p, size);
	if (!p)
		WRONG(m, "realloc(%p, %zu) gave NULL (errno %d)", (void *)o.p, size, errno);
	size_t align = natural_align(size);
	struct object grown = {p, size, check_alignment(m, p, size, align, "realloc"), align, o.id, FROM_MALLOC};
	check_placement(m, &grown, "realloc");
	if (!pattern_kept(p, o.usable < size ? o.usable : size, o.usable, o.id))
		WRONG(m, "realloc of %zu bytes (usable %zu) to %zu lost contents", o.size, o.usable, size);
	grown.id = random_next(&m->random);
	adopt(m, grown);
}

/* Requests that no machine can answer: NULL, the right errno, nothing changed. */
static void refuse(struct model *m)
{
	if (!is_ashlar) /* glibc 2.36 and jemalloc 5.3.0 each get one of these wrong */
		return;
	size_t size = (size_t)PTRDIFF_MAX + below(m, (size_t)PTRDIFF_MAX + 1);
	struct object *o = m->n ? draw_object(m) : NULL;
	void *p = NULL;
	int error = ENOMEM;
	errno = 0;
	switch (below(m, 7)) {
	case 0:
		p = api.malloc(size);
		break;
	case 1:
		p = api.calloc(size / 2, 5);
		break;
	case 2:
		p = o && o->family <= FROM_MEMALIGN ? api.realloc(o->p, size) : api.realloc(NULL, size);
		break;
	case 3:
		p = o && o->family <= FROM_MEMALIGN ? api.reallocarray(o->p, size / 2, 5) : api.malloc(size);
		break;
	case 4:
		p = api.aligned_alloc(draw_align(m), size);
		break;
	case 5:
		p = api.aligned_alloc(3 + 2 * below(m, 100), 64);
		error = EINVAL;
		break;
	default:
		errno = api.posix_memalign(&p, draw_align(m), size);
	}
	if (p || errno != error)
		WRONG(m, "an impossible request of %zu bytes gave %p with errno %d", size, p, errno);
	if (o)
		check_intact(m, o, "after a refused request");
}

static void free_nothing(void)
{
	api.free(NULL);
	api.free_sized(NULL, 64);
	api.free_aligned_sized(NULL, 64, 64);
	api._ZdlPv(NULL);
	api._ZdaPvm(NULL, 16);
	api._ZdlPvmSt11align_val_t(NULL, 64, 64);
}

static void check_account(struct model *m)
{
	struct ashlar_stats s;
	if (api.ashlar_stats(&s, sizeof(s)) != 0)
		WRONG(m, "ashlar_stats fails");
	/* Under check:full the usable size is the requested one, while the heap counts whole slots. Where a helper
	 * thread may be, the C library's bookkeeping of it counts: less than 1 KiB. */
	size_t expected = setup.baseline + m->usable, surplus = 0;
	if (setup.full && m->n > 0)
		surplus = SIZE_MAX - expected;
	else if (setup.threads > 1 && !option_is("helper_thread:false"))
		surplus = 1023;
	if (s.in_use < expected || s.in_use > expected + surplus)
		WRONG(m, "the heap counts %zu bytes in use beyond its start, the model %zu", s.in_use - setup.baseline,
		      m->usable);
	if (s.small_in_use + s.large_in_use != s.in_use)
		WRONG(m, "small %zu and large %zu in use do not add up to %zu", s.small_in_use, s.large_in_use,
		      s.in_use);
	if (s.in_use + s.cached + s.dirty + s.metadata > s.held)
		WRONG(m, "held %zu is less than in use %zu + cached %zu + dirty %zu + metadata %zu", s.held, s.in_use,
		      s.cached, s.dirty, s.metadata);
	if (s.held > 3 * m->peak + (96u << 20))
		WRONG(m, "held %zu after a peak of %zu bytes in use", s.held, m->peak);
}

static void check_structures(struct model *m)
{
	int broken = api.ashlar_structure_check();
	if (broken != 0)
		WRONG(m, "%d broken structures", broken);
}

static void new_phase(struct model *m)
{
	/* Few objects and many, so that slabs and regions fill up and empty again. */
	m->target = below(m, 3) ? below(m, LIVE_MAX) : below(m, 100);
	if (below(m, 8) == 0) {
		while (m->n > 0)
			release(m, &m->live[m->n - 1]);
	}
}

static void allocate(struct model *m)
{
	unsigned roll = (unsigned)below(m, 100);
	if (roll < 70)
		allocate_c(m);
	else if (roll < 85)
		allocate_aligned(m);
	else
		allocate_cxx(m);
}

static void step(struct model *m)
{
	if (m->operation % 20000 == 0)
		new_phase(m);
	bool full = m->n >= LIVE_MAX - 1 || m->usable > LIVE_BYTES_MAX;
	unsigned roll = (unsigned)below(m, 1000);
	if (full || (m->n > m->target && roll < 550))
		release(m, draw_object(m));
	else if (roll < 700 || m->n == 0)
		allocate(m);
	else if (roll < 800)
		release(m, draw_object(m));
	else if (roll < 950)
		resize(m, draw_object(m));
	else if (roll < 985)
		check_intact(m, draw_object(m), "while it was live");
	else if (roll < 995)
		refuse(m);
	else
		free_nothing();
}

static void run(struct model *m)
{
	bool alone = setup.threads == 1 && is_ashlar;
	new_phase(m);
	for (m->operation = 1; m->operation <= m->operations; m->operation++) {
		step(m);
		if (alone && m->operation % ACCOUNT_EVERY == 0)
			check_account(m);
		if (alone && m->operation % WALK_EVERY == 0)
			check_structures(m);
	}
	while (m->n > 0)
		release(m, draw_object(m));
}

static void *run_thread(void *model)
{
	run(model);
	return NULL;
}

static void model_init(struct model *m, unsigned thread)
{
	memset(m, 0, sizeof(*m));
	m->live = shadow_map(LIVE_MAX * sizeof(struct object));
	m->random = random_mix(setup.seed + thread);
	m->operations = setup.operations / setup.threads;
	m->thread = thread;
}

static void run_threads(void *(*function)(void *), struct model *models)
{
	pthread_t threads[64];
	for (unsigned i = 1; i < setup.threads; i++) {
		if (pthread_create(&threads[i], NULL, function, &models[i]) != 0)
			DIE("pthread_create fails");
	}
	function(&models[0]);
	for (unsigned i = 1; i < setup.threads; i++)
		pthread_join(threads[i], NULL);
}

static pthread_barrier_t all_there;

static void *only_be_there(void *unused)
{
	pthread_barrier_wait(&all_there);
	return unused;
}

/* What libc allocates for a thread stays with its stack, which libc keeps for the next: that is not ours to count. */
static void take_baseline(struct model *models)
{
	pthread_barrier_init(&all_there, NULL, setup.threads);
	run_threads(only_be_there, models);
	setup.baseline = is_ashlar ? stats_in_use() : 0;
}

static void check_end(struct model *models)
{
	struct model all = models[0];
	for (unsigned i = 1; i < setup.threads; i++) {
		all.usable += models[i].usable;
		all.peak += models[i].peak;
	}
	if (all.usable != 0)
		WRONG(&all, "the test lost track of %zu bytes", all.usable);
	if (!is_ashlar)
		return;
	check_account(&all);
	check_structures(&all);
}

static void read_arguments(int argc, char **argv)
{
	if (getrandom(&setup.seed, sizeof(setup.seed), 0) != sizeof(setup.seed))
		DIE("getrandom fails");
	setup.seed &= 0xffffffff;
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--seed=", 7) == 0)
			setup.seed = strtoull(argv[i] + 7, NULL, 0);
		else if (strncmp(argv[i], "--operations=", 13) == 0)
			setup.operations = strtoull(argv[i] + 13, NULL, 0);
		else if (strncmp(argv[i], "--threads=", 10) == 0)
			setup.threads = (unsigned)strtoul(argv[i] + 10, NULL, 0);
		else
			DIE("unknown argument %s: --operations=N --seed=S --threads=T are known", argv[i]);
	}
	if (setup.threads < 1 || setup.threads > 64)
		DIE("--threads= takes 1 to 64");
}

static void read_options(void)
{
	const char *options = getenv("MALLOC_CONF");
	setup.zero = option_is("zero:true");
	setup.junk = option_is("junk:true");
	setup.full = option_is("check:full");
	say("model: seed %llu, %llu operations, %u threads, MALLOC_CONF=%s\n", (unsigned long long)setup.seed,
	    (unsigned long long)setup.operations, setup.threads, options ? options : "");
}

int main(int argc, char **argv)
{
	static struct model models[64];
	alarm(1200);
	entry_load();
	read_arguments(argc, argv);
	read_options();
	shadow_init();
	for (unsigned i = 0; i < setup.threads; i++)
		model_init(&models[i], i);
	take_baseline(models);
	run_threads(run_thread, models);
	check_end(models);
	say("ok     %llu operations, at most %zu bytes in use at a time by the first thread\n",
	    (unsigned long long)setup.operations, models[0].peak);
	return 0;
}
