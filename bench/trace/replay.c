/* SPDX-License-Identifier: MIT
 *
 * ashlar-replay — runs the allocation history of a real program, threads included, against whatever allocator is
 * preloaded, and says what time and memory that took.
 *
 *   [LD_PRELOAD=ALLOCATOR] ashlar-replay [--json] [--paced] [--series FILE] TRACE[.xz]
 *
 * Objects are written to: small ones at the head and on each page, large ones on the pages that the program was seen to
 * have written. All tables of the replay are mapped and filled before the measurement, nothing of it is in `peak_kib -
 * idle_kib`; a sample of resident memory is taken at 400 points of the history by the thread that passes there.
 */
#define _GNU_SOURCE
#include "schedule.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 1024
#define SAMPLES_WANTED 400
#define HEAD_BYTES 32
#define END_LIVE_LEAST 1048576 /* resident over nearly nothing says nothing: -1 */
#define WAITED_FOR 1           /* in a slot: somebody sleeps until it is filled */
#define SPINS 100
#define FAR UINT64_MAX

struct position {
	_Alignas(64) _Atomic uint64_t clock; /* of the thread's last sync; FAR: nobody need wait for it */
	atomic_bool taken;
	atomic_uint asleep; /* until wake() */
};

struct worker {
	const struct actions *actions;
	struct position *position;
};

struct sample {
	double seconds;
	uint64_t kib, anonymous_kib, live, program_kib;
	bool compare; /* with program_kib */
};

struct usage {
	double user, sys, wall;
	long minor_faults, major_faults;
};

static struct schedule plan;
static _Atomic uintptr_t *slots;
static struct position *positions;
static atomic_uint positions_used; /* those before it have been used */
static struct worker *workers;
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t wanted = FAR; /* sleep_lock: the least position that a sleeper waits for */
static atomic_uint running;
static struct sample samples[SAMPLES_MAX];
static _Atomic uint64_t next_sample;
static atomic_uint sample_count;
static int statm = -1;
static uint64_t page_kib;
static bool paced;
static struct timespec began;
static void (*sized_free)(void *p, size_t size);

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
	char line[4600] = "ashlar-replay: ";
	size_t used = strlen(line);
	va_list args;

	va_start(args, format);
	vsnprintf(line + used, sizeof line - used - 1, format, args);
	va_end(args);
	strcat(line, "\n");
	(void)!write(2, line, strlen(line));
	_exit(1);
}

static void futex_wait(void *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake_all(void *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static double seconds_since_start(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)(t.tv_sec - began.tv_sec) + (double)(t.tv_nsec - began.tv_nsec) * 1e-9;
}

/* Resident memory, by the kernel. */

static uint64_t number_after(const char **at)
{
	uint64_t n = 0;

	while (**at == ' ')
		++*at;
	for (; **at >= '0' && **at <= '9'; ++*at)
		n = n * 10 + (uint64_t)(**at - '0');
	return n;
}

static void read_resident(uint64_t *kib, uint64_t *anonymous_kib)
{
	char text[256];
	const char *at = text;
	ssize_t n = pread(statm, text, sizeof text - 1, 0);
	uint64_t resident, shared;

	if (n <= 0)
		fail("cannot read /proc/self/statm");
	text[n] = '\0';
	number_after(&at);
	resident = number_after(&at);
	shared = number_after(&at);
	*kib = resident * page_kib;
	*anonymous_kib = (resident - shared) * page_kib;
}

static uint64_t kib_in(const char *path, const char *key)
{
	char text[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	const char *at = NULL;

	if (n > 0) {
		text[n] = '\0';
		at = strstr(text, key);
	}
	if (at == NULL)
		fail("no %s in %s", key, path);
	close(fd);
	at += strlen(key);
	at += strspn(at, "\t ");
	return number_after(&at);
}

/* The kernel walks the page tables for it; its counters may lag behind by some pages a thread. */
static uint64_t exact_kib(void)
{
	return kib_in("/proc/self/smaps_rollup", "\nRss:");
}

/* From here on the highest resident memory counts, not that of making the schedule. */
static void forget_peak(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "5", 1) != 1)
		fail("cannot reset VmHWM by /proc/self/clear_refs: %s", strerror(errno));
	close(fd);
}

static void take_sample(const struct sync *sync)
{
	unsigned i = atomic_fetch_add(&sample_count, 1);
	struct sample *s = &samples[i];

	if (i >= SAMPLES_MAX)
		return;
	read_resident(&s->kib, &s->anonymous_kib);
	s->seconds = seconds_since_start();
	s->live = sync->live;
	s->program_kib = sync->program_kib;
	s->compare = sync->is_sample;
}

static void sample_if_due(const struct sync *sync)
{
	uint64_t due = atomic_load_explicit(&next_sample, memory_order_relaxed);

	if (sync->is_sample)
		take_sample(sync);
	else if (sync->clock >= due &&
		 atomic_compare_exchange_strong(&next_sample, &due, sync->clock + plan.clock_end / SAMPLES_WANTED))
		take_sample(sync);
}

/* Rule 2 of schedule.h. */

static uint64_t least_position(void)
{
	uint64_t least = FAR;
	unsigned used = atomic_load(&positions_used);

	for (unsigned i = 0; i < used; i++) {
		uint64_t clock = atomic_load(&positions[i].clock);

		least = clock < least ? clock : least;
	}
	return least;
}

static bool is_too_far(uint64_t clock)
{
	uint64_t least = least_position();

	return least != FAR && clock > least + plan.slack;
}

/* Under sleep_lock. */
static void find_wanted(void)
{
	uint64_t least = FAR;
	unsigned used = atomic_load(&positions_used);

	for (unsigned i = 0; i < used; i++) {
		uint64_t clock = atomic_load(&positions[i].clock);

		if (atomic_load(&positions[i].asleep) && clock - plan.slack < least)
			least = clock - plan.slack;
	}
	atomic_store(&wanted, least);
}

static void wake(struct position *p)
{
	atomic_store(&p->asleep, false);
	syscall(SYS_futex, &p->asleep, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Looks again after each change of `wanted`: whoever passes it from then on sees the new one. */
static void wake_the_near(void)
{
	pthread_mutex_lock(&sleep_lock);
	while (least_position() >= atomic_load(&wanted) && atomic_load(&wanted) != FAR) {
		unsigned used = atomic_load(&positions_used);

		for (unsigned i = 0; i < used; i++)
			if (atomic_load(&positions[i].asleep) && !is_too_far(atomic_load(&positions[i].clock)))
				wake(&positions[i]);
		find_wanted();
	}
	pthread_mutex_unlock(&sleep_lock);
}

/* A sleeper can go on when the last thread passes what it waits for; others need not look. */
static void set_position(struct position *p, uint64_t clock)
{
	uint64_t before = atomic_load(&p->clock), least_wanted;

	atomic_store(&p->clock, clock);
	least_wanted = atomic_load(&wanted);
	if (before < least_wanted && clock >= least_wanted && least_wanted != FAR)
		wake_the_near();
}

static void sleep_until_near(struct position *p, uint64_t clock)
{
	while (is_too_far(clock)) {
		pthread_mutex_lock(&sleep_lock);
		atomic_store(&p->asleep, true);
		find_wanted();
		if (!is_too_far(clock)) {
			atomic_store(&p->asleep, false);
			find_wanted();
		}
		pthread_mutex_unlock(&sleep_lock);
		while (atomic_load(&p->asleep))
			futex_wait(&p->asleep, true);
	}
}

/* The program's idle times are kept, so that what an allocator does by the clock happens where it did. */
static void sleep_until(uint64_t us)
{
	uint64_t ns = (uint64_t)began.tv_nsec + us % 1000000 * 1000;
	struct timespec t = {began.tv_sec + (time_t)(us / 1000000 + ns / 1000000000), (long)(ns % 1000000000)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		continue;
}

static void pass_sync(struct position *p, const struct sync *sync)
{
	if (plan.threads > 1) {
		set_position(p, sync->clock);
		for (unsigned i = 0; i < SPINS / atomic_load(&positions_used) && is_too_far(sync->clock); i++)
			continue;
		sleep_until_near(p, sync->clock);
	}
	if (paced)
		sleep_until(sync->program_us);
	sample_if_due(sync);
}

/* Rule 1: shared slots. Others belong to one thread. */

static void fill(uint32_t slot, void *p, bool shared)
{
	if (!shared)
		atomic_store_explicit(&slots[slot], (uintptr_t)p, memory_order_relaxed);
	else if (atomic_exchange(&slots[slot], (uintptr_t)p) == WAITED_FOR)
		futex_wake_all(&slots[slot]);
}

static void *wait_for(uint32_t slot)
{
	for (;;) {
		uintptr_t p = atomic_load(&slots[slot]);

		if (p > WAITED_FOR)
			return (void *)p;
		if (p == WAITED_FOR || atomic_compare_exchange_strong(&slots[slot], &p, WAITED_FOR))
			futex_wait(&slots[slot], WAITED_FOR); /* the low half; the tool is for little-endian machines */
	}
}

static void *look(uint32_t slot, bool shared)
{
	return shared ? wait_for(slot) : (void *)atomic_load_explicit(&slots[slot], memory_order_relaxed);
}

static void *take(uint32_t slot, bool shared)
{
	void *p = look(slot, shared);

	/* empty for the next object in it, whose takers may have to wait */
	atomic_store_explicit(&slots[slot], 0, memory_order_relaxed);
	return p;
}

static void write_pages(char *p, size_t size)
{
	char *end = p + size;

	memset(p, 1, size < HEAD_BYTES ? size : HEAD_BYTES);
	for (p = (char *)(((uintptr_t)p | (TRACE_PAGE - 1)) + 1); p < end; p += TRACE_PAGE)
		*(volatile char *)p = 1;
}

/* Page 0 is the one where the object begins. */
static void write_touched(char *p, const struct action *a)
{
	char *page = (char *)((uintptr_t)p & ~(uintptr_t)(TRACE_PAGE - 1)) + (size_t)a->to * TRACE_PAGE;
	size_t left = a->size;

	if (a->to == 0) {
		*(volatile char *)p = 1;
		page += TRACE_PAGE;
		left--;
	}
	for (; left > 0; left--, page += TRACE_PAGE)
		*(volatile char *)page = 1;
}

static void settle(uint32_t slot, void *p, const struct action *a)
{
	if (p == NULL && a->size == 0)
		p = malloc(1); /* an allocator may have no object of no bytes, but the program had one */
	if (p == NULL)
		fail("out of memory for an object of %" PRIu64 " bytes", (uint64_t)a->size);
	if (a->size < LARGE_BYTES)
		write_pages(p, a->size);
	fill(slot, p, a->fills_shared);
}

static void *aligned(unsigned shift, size_t size)
{
	void *p = NULL;
	size_t alignment = (size_t)1 << shift;

	return posix_memalign(&p, alignment < sizeof p ? sizeof p : alignment, size) == 0 ? p : NULL;
}

static void free_sized_object(void *p, size_t size)
{
	if (sized_free != NULL)
		sized_free(p, size);
	else
		free(p);
}

static void *run_thread(void *worker);

/* Only the first thread starts others. The new one's position is that of its start, so nobody runs past it. */
static void start_thread(const struct action *a)
{
	struct worker *w = &workers[a->slot];
	unsigned used = atomic_load(&positions_used), i = 0;
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	while (i < used && atomic_load(&positions[i].taken))
		i++;
	atomic_store(&positions[i].taken, true);
	atomic_store(&positions[i].clock, plan.syncs[a->to].clock);
	if (i == used)
		atomic_store(&positions_used, used + 1);
	*w = (struct worker){.actions = &plan.of_thread[a->slot], .position = &positions[i]};
	atomic_fetch_add(&running, 1);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attributes, run_thread, w);
	pthread_attr_destroy(&attributes);
	if (error)
		fail("cannot start a thread: %s", strerror(error));
}

static void act(const struct action *a, struct worker *w)
{
	void *p;

	switch ((enum action_kind)a->kind) {
	case ACT_MALLOC:
		settle(a->slot, malloc(a->size), a);
		break;
	case ACT_CALLOC:
		settle(a->slot, calloc(1, a->size), a);
		break;
	case ACT_ALIGNED:
		settle(a->slot, aligned(a->to, a->size), a);
		break;
	case ACT_FREE:
		free(take(a->slot, a->takes_shared));
		break;
	case ACT_FREE_SIZED:
		free_sized_object(take(a->slot, a->takes_shared), a->size);
		break;
	case ACT_RESIZE:
		p = take(a->slot, a->takes_shared);
		settle(a->to, realloc(p, a->size ? a->size : 1), a);
		break;
	case ACT_TOUCH:
		write_touched(look(a->slot, a->takes_shared), a);
		break;
	case ACT_SYNC:
		pass_sync(w->position, &plan.syncs[a->slot]);
		break;
	case ACT_START:
		start_thread(a);
		break;
	case ACT_END:
		break;
	}
}

static void run_actions(struct worker *w)
{
	for (size_t i = 0; i < w->actions->count; i++)
		act(&w->actions->first[i], w);
	set_position(w->position, FAR);
	if (atomic_fetch_sub(&running, 1) == 1)
		futex_wake_all(&running);
}

static void *run_thread(void *worker)
{
	struct worker *w = worker;

	run_actions(w);
	while (!w->actions->ends)
		pause();
	atomic_store(&w->position->taken, false);
	return NULL;
}

static struct usage usage_now(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (struct usage){(double)r.ru_utime.tv_sec + (double)r.ru_utime.tv_usec * 1e-6,
			      (double)r.ru_stime.tv_sec + (double)r.ru_stime.tv_usec * 1e-6, seconds_since_start(),
			      r.ru_minflt, r.ru_majflt};
}

/* Runs the whole history; the first thread of the trace is the process's own, as it was in the program. */
static void replay(struct usage *used)
{
	struct worker *w = &workers[0];
	struct usage from, to;
	unsigned left;

	*w = (struct worker){.actions = &plan.of_thread[0], .position = &positions[0]};
	atomic_store(&positions[0].taken, true);
	atomic_store(&positions_used, 1);
	atomic_store(&running, 1);
	clock_gettime(CLOCK_MONOTONIC, &began);
	from = usage_now();
	run_actions(w);
	while ((left = atomic_load(&running)) > 0)
		futex_wait(&running, left);
	to = usage_now();
	*used = (struct usage){to.user - from.user, to.sys - from.sys, to.wall - from.wall,
			       to.minor_faults - from.minor_faults, to.major_faults - from.major_faults};
}

/* The file that malloc comes from, by the kernel's list of mappings. */
static void file_of(const void *address, char *path, size_t room)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[4608], name[4200];
	uintptr_t from, to, at = (uintptr_t)address;

	snprintf(path, room, "?");
	while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %4199s", &from, &to, name) == 3 &&
		    from <= at && at < to)
			snprintf(path, room, "%s", name);
	if (maps != NULL)
		fclose(maps);
}

struct report {
	const struct trace_header *header;
	struct usage used;
	uint64_t idle_kib, idle_anonymous_kib, peak_kib, end_kib;
	double rss_live_mean, rss_live_end, anonymous_peak_kib, program_difference;
};

static double above(uint64_t kib, uint64_t idle)
{
	return kib > idle ? (double)(kib - idle) : 0;
}

static unsigned samples_taken(void)
{
	unsigned n = atomic_load(&sample_count);

	return n < SAMPLES_MAX ? n : SAMPLES_MAX;
}

/* Ratios of sums over the samples, which lie at equal distances of the clock. */
static void sum_up_resident(struct report *r)
{
	double rss = 0, live = 0;

	for (unsigned i = 0; i < samples_taken(); i++) {
		if (samples[i].compare)
			continue;
		rss += above(samples[i].kib, r->idle_kib);
		live += (double)samples[i].live / 1024;
	}
	r->rss_live_mean = live > 0 ? rss / live : -1;
	r->rss_live_end =
		plan.end_live >= END_LIVE_LEAST ? above(r->end_kib, r->idle_kib) * 1024 / (double)plan.end_live : -1;
}

/* Anonymous memory above that at the program's first sample, against the program's own. */
static void compare_with_program(struct report *r)
{
	double difference = 0, program = 0;
	uint64_t base = 0;

	for (unsigned i = 0; i < samples_taken(); i++) {
		double own, its = (double)samples[i].program_kib;

		if (base == 0 && samples[i].compare)
			base = samples[i].anonymous_kib;
		own = above(samples[i].anonymous_kib, base ? base : r->idle_anonymous_kib);
		r->anonymous_peak_kib = own > r->anonymous_peak_kib ? own : r->anonymous_peak_kib;
		difference += !samples[i].compare ? 0 : own > its ? own - its : its - own;
		program += samples[i].compare ? its : 0;
	}
	r->program_difference = program > 0 ? difference / program : -1;
}

static void print_report(const struct report *r, bool json)
{
	const struct trace_header *h = r->header;
	const char *separator = json ? "{" : "", *colon = json ? "\": " : " ", *quote = json ? "\"" : "";
	char allocator[4200];

	file_of(dlsym(RTLD_DEFAULT, "malloc"), allocator, sizeof allocator);
#define WORDS(key, value) \
	printf("%s%s%s%s%s%s%s", separator, quote, key, colon, quote, value, json ? "\"" : "\n"), \
		separator = json ? ", " : ""
#define NUMBER(key, format, value) \
	printf("%s%s%s%s" format "%s", separator, quote, key, colon, value, json ? "" : "\n"), \
		separator = json ? ", " : ""
	WORDS("allocator", allocator);
	WORDS("program", h->program);
	WORDS("recorded_over", h->allocator);
	NUMBER("wall_s", "%.6f", r->used.wall);
	NUMBER("user_s", "%.6f", r->used.user);
	NUMBER("sys_s", "%.6f", r->used.sys);
	NUMBER("peak_kib", "%" PRIu64, r->peak_kib);
	NUMBER("idle_kib", "%" PRIu64, r->idle_kib);
	NUMBER("end_kib", "%" PRIu64, r->end_kib);
	NUMBER("minor_faults", "%ld", r->used.minor_faults);
	NUMBER("major_faults", "%ld", r->used.major_faults);
	NUMBER("peak_live_bytes", "%" PRIu64, h->peak_live_bytes);
	NUMBER("rss_live_mean", "%.4f", r->rss_live_mean);
	NUMBER("rss_live_end", "%.4f", r->rss_live_end);
	NUMBER("threads", "%" PRIu64, h->threads);
	NUMBER("events", "%" PRIu64, h->events);
	NUMBER("anonymous_peak_kib", "%.0f", r->anonymous_peak_kib);
	NUMBER("program_peak_kib", "%" PRIu64, plan.program_peak_kib);
	NUMBER("program_difference", "%.4f", r->program_difference);
	if (json)
		puts("}");
#undef WORDS
#undef NUMBER
}

/* seconds, resident KiB, live KiB, and the program's resident KiB (above its start) at that point of the history */
static void write_series(const char *path)
{
	FILE *f = fopen(path, "we");

	if (f == NULL)
		fail("%s: %s", path, strerror(errno));
	for (unsigned i = 0; i < samples_taken(); i++)
		fprintf(f, "%.6f %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", samples[i].seconds, samples[i].kib,
			samples[i].live / 1024, samples[i].program_kib);
	if (fclose(f) != 0)
		fail("%s: %s", path, strerror(errno));
}

static void prepare(struct trace *t, const char *path)
{
	const char *wrong = trace_open(t, path);
	static struct trace_header header; /* outlives the mapping */

	if (wrong == NULL)
		wrong = schedule_make(&plan, t);
	if (wrong != NULL)
		fail("%s: %s", path, wrong);
	header = *t->header;
	trace_close(t);
	t->header = &header;
	slots = pages_map(plan.slots * sizeof *slots);
	positions = pages_map(plan.threads * sizeof *positions);
	workers = pages_map(plan.threads * sizeof *workers);
	if (slots == NULL || positions == NULL || workers == NULL)
		fail("%s: no memory for its tables", path);
	memset(slots, 0, plan.slots * sizeof *slots);
	memset(positions, 0, plan.threads * sizeof *positions);
	memset(workers, 0, plan.threads * sizeof *workers);
	memset(samples, 0, sizeof samples);
}

static void find_sized_free(void)
{
	*(void **)&sized_free = dlsym(RTLD_DEFAULT, "free_sized");
	if (sized_free == NULL)
		*(void **)&sized_free = dlsym(RTLD_DEFAULT, "_ZdlPvm");
}

static void usage(void)
{
	fail("usage: ashlar-replay [--json] [--paced] [--series FILE] TRACE[.xz]");
}

int main(int argc, char **argv)
{
	const char *series = NULL, *path = NULL;
	struct report r = {0};
	struct trace t;
	bool json = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			json = true;
		else if (strcmp(argv[i], "--paced") == 0)
			paced = true;
		else if (strcmp(argv[i], "--series") == 0 && i + 1 < argc)
			series = argv[++i];
		else if (argv[i][0] != '-' && path == NULL)
			path = argv[i];
		else
			usage();
	}
	if (path == NULL)
		usage();
	page_kib = (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
	statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	prepare(&t, path);
	find_sized_free();
	free(malloc(1)); /* what the allocator needs to exist at all is idle memory */
	forget_peak();
	read_resident(&r.idle_kib, &r.idle_anonymous_kib);
	r.idle_kib = exact_kib();
	replay(&r.used);
	r.end_kib = exact_kib();
	r.peak_kib = kib_in("/proc/self/status", "VmHWM:"); /* a counter: it may lag behind by some pages */
	r.peak_kib = r.peak_kib > r.idle_kib ? r.peak_kib : r.idle_kib;
	r.peak_kib = r.peak_kib > r.end_kib ? r.peak_kib : r.end_kib;
	r.header = t.header;
	sum_up_resident(&r);
	compare_with_program(&r);
	if (series != NULL)
		write_series(series);
	print_report(&r, json);
	fflush(stdout);
	_exit(0);
}
