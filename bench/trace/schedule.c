/* SPDX-License-Identifier: MIT
 *
 * If the order were wrong here, a replay would free an object before it is allocated, or hang. Three walks over the trace:
 * the first finds for each version of an object (its allocation, or a realloc of it) who consumes it and when, and checks
 * the trace as a whole; the second counts the actions of each thread, the third writes them down.
 */
#include "schedule.h"

#define EVENT_COST 64
#define SLACK_LEAST 262144
#define SYNCS_IN_SLACK 8
#define SAMPLES 400
#define TOTAL_MAX ((uint64_t)1 << 62)
#define NEVER UINT64_MAX
#define NOBODY UINT32_MAX

struct version {
	uint32_t filler, consumer;
	uint64_t consumed; /* when */
	bool shared;
};

struct object {
	uint64_t size;
	uint32_t version, slot;
	bool live, aligned;
};

struct freed_slot {
	uint32_t slot;
	uint64_t clock;
};

struct progress {
	uint64_t synced; /* clock of its last sync */
	size_t count;
	bool begun, ended;
};

static struct maker {
	const struct trace *trace;
	struct schedule *out;
	struct object *objects;
	struct version *versions;
	uint64_t versions_max;
	struct progress *threads;
	struct freed_slot *freed; /* in the order of the clock */
	size_t freed_head, freed_tail, slots, syncs;
	uint32_t version_count;
	bool writes;
	uint64_t clock, live, step;
	uint64_t first_kib, kib, us; /* the program's samples: the first, the last above it and its time */
	uint64_t samples;
} m;

static void begin_walk(struct reader *r)
{
	m.clock = m.live = 0;
	m.version_count = 0;
	m.freed_head = m.freed_tail = m.slots = m.syncs = 0;
	m.first_kib = m.kib = m.us = m.samples = 0;
	memset(m.objects, 0, m.trace->header->objects * sizeof *m.objects);
	memset(m.threads, 0, m.out->threads * sizeof *m.threads);
	*r = trace_reader(m.trace);
}

static bool is_allocation(const struct event *e)
{
	return e->kind == EVENT_MALLOC || e->kind == EVENT_CALLOC || e->kind == EVENT_ALIGNED;
}

static bool is_free(const struct event *e)
{
	return e->kind == EVENT_FREE || e->kind == EVENT_FREE_SIZED;
}

static uint64_t touched_bytes(struct event e)
{
	uint64_t sum = 0, page, pages;

	while (run_next(&e, &page, &pages))
		sum += pages * TRACE_PAGE;
	return sum;
}

/* What the event adds to the clock: no less than what live or written memory can change by. */
static uint64_t cost_of(const struct event *e)
{
	uint64_t size = m.objects[e->object].size;

	if (is_allocation(e))
		return EVENT_COST + e->size;
	if (is_free(e))
		return EVENT_COST + size;
	if (e->kind == EVENT_RESIZED)
		return EVENT_COST + (e->size > size ? e->size - size : size - e->size);
	return EVENT_COST + (e->kind == EVENT_TOUCH ? touched_bytes(*e) : 0);
}

static bool has_object(const struct event *e)
{
	return is_allocation(e) || is_free(e) || e->kind == EVENT_RESIZED || e->kind == EVENT_TOUCH;
}

static void note_sample(const struct event *e)
{
	if (m.samples++ == 0)
		m.first_kib = e->kib;
	m.kib = e->kib > m.first_kib ? e->kib - m.first_kib : 0;
	m.us = e->size;
}

/* Keeps what the event changes in its object and in the sums; to be called last for each event. */
static void advance(const struct event *e)
{
	struct object *o = &m.objects[e->object];
	bool ends;

	m.clock += has_object(e) ? cost_of(e) : EVENT_COST;
	if (!has_object(e) || e->kind == EVENT_TOUCH)
		return;
	ends = is_free(e);
	m.live += (ends ? 0 : e->size) - (is_allocation(e) ? 0 : o->size);
	o->live = !ends;
	o->size = e->size;
	if (is_allocation(e))
		o->aligned = e->kind == EVENT_ALIGNED;
	if (!ends)
		o->version = m.version_count++;
}

/* First walk. */

static void note_version(const struct event *e)
{
	struct version *old = &m.versions[m.objects[e->object].version];

	if (is_free(e) || e->kind == EVENT_RESIZED) {
		old->consumer = e->thread;
		old->consumed = m.clock;
	}
	if (!is_allocation(e))
		old->shared |= e->thread != old->filler;
	if (is_allocation(e) || e->kind == EVENT_RESIZED)
		m.versions[m.version_count] =
			(struct version){.filler = e->thread, .consumer = NOBODY, .consumed = NEVER};
}

static const char *first_walk(void)
{
	const struct trace_header *h = m.trace->header;
	uint64_t peak = 0;
	struct reader r;
	struct event e = {0};

	begin_walk(&r);
	while (reader_next(&r, &e)) {
		if (has_object(&e) && !is_allocation(&e) && !m.objects[e.object].live)
			return "damaged (an object is used after its free)";
		if (m.threads[e.thread].ended)
			return "damaged (a thread goes on after its end)";
		m.threads[e.thread].ended = e.kind == EVENT_THREAD_END;
		if (has_object(&e)) {
			if (m.version_count == m.versions_max)
				return "damaged (more objects than its header counts)";
			note_version(&e);
		}
		if (e.kind == EVENT_SAMPLE)
			note_sample(&e);
		advance(&e);
		if (m.clock > TOTAL_MAX || m.live > TOTAL_MAX)
			return "damaged (more memory than there is)";
		if (m.live > peak)
			peak = m.live;
		if (m.kib > m.out->program_peak_kib)
			m.out->program_peak_kib = m.kib;
	}
	if (r.wrong != NULL)
		return r.wrong;
	if (peak != h->peak_live_bytes || m.live != h->end_live_bytes || r.objects != h->objects ||
	    r.events != h->events || r.threads != m.out->threads)
		return "damaged (its header disagrees with its events)";
	return NULL;
}

/* Second and third walk. */

static void emit(uint32_t thread, struct action a)
{
	struct progress *p = &m.threads[thread];

	if (m.writes)
		m.out->of_thread[thread].first[p->count] = a;
	p->count++;
}

static uint32_t new_sync(void)
{
	if (m.writes)
		m.out->syncs[m.syncs] =
			(struct sync){.clock = m.clock, .live = m.live, .program_kib = m.kib, .program_us = m.us};
	return (uint32_t)m.syncs++;
}

static uint32_t emit_sync(uint32_t thread)
{
	uint32_t sync = new_sync();

	m.threads[thread].synced = m.clock;
	emit(thread, (struct action){.kind = ACT_SYNC, .slot = sync});
	return sync;
}

/* The main thread starts the others, when the clock reaches their first event. */
static void sync_if_due(uint32_t thread)
{
	struct progress *p = &m.threads[thread];

	if (!p->begun && thread != 0) {
		uint32_t sync = emit_sync(0);

		emit(0, (struct action){.kind = ACT_START, .slot = thread, .to = sync});
	}
	if (!p->begun || m.clock - p->synced >= m.step)
		emit_sync(thread);
	p->begun = true;
}

static uint32_t take_slot(void)
{
	if (m.freed_head < m.freed_tail && m.clock - m.freed[m.freed_head].clock > 2 * m.out->slack)
		return m.freed[m.freed_head++].slot;
	return (uint32_t)m.slots++;
}

static void give_slot(uint32_t slot)
{
	m.freed[m.freed_tail++] = (struct freed_slot){slot, m.clock};
}

static void emit_allocation(const struct event *e)
{
	static const enum action_kind kinds[EVENT_KINDS] =
		{[EVENT_MALLOC] = ACT_MALLOC, [EVENT_CALLOC] = ACT_CALLOC, [EVENT_ALIGNED] = ACT_ALIGNED};
	struct object *o = &m.objects[e->object];

	o->slot = take_slot();
	emit(e->thread, (struct action){.kind = kinds[e->kind],
					.slot = o->slot,
					.to = e->shift,
					.size = e->size,
					.fills_shared = m.versions[m.version_count].shared});
}

/* An aligned object is freed without its size: free_sized() is not for those. */
static void emit_free(const struct event *e)
{
	struct object *o = &m.objects[e->object];
	bool sized = e->kind == EVENT_FREE_SIZED && !o->aligned;

	emit(e->thread, (struct action){.kind = sized ? ACT_FREE_SIZED : ACT_FREE,
					.slot = o->slot,
					.size = o->size,
					.takes_shared = m.versions[o->version].shared});
	give_slot(o->slot);
}

static void emit_resize(const struct event *e)
{
	struct object *o = &m.objects[e->object];
	uint32_t from = o->slot;

	o->slot = take_slot();
	emit(e->thread, (struct action){.kind = ACT_RESIZE,
					.slot = from,
					.to = o->slot,
					.size = e->size,
					.takes_shared = m.versions[o->version].shared,
					.fills_shared = m.versions[m.version_count].shared});
	give_slot(from);
}

/* By the thread that looked, unless another frees the object within the slack: then by that one, before it does. */
static void emit_touch(struct event e)
{
	struct object *o = &m.objects[e.object];
	const struct version *v = &m.versions[o->version];
	uint32_t thread = v->consumed != NEVER && v->consumed - m.clock <= 2 * m.out->slack ? v->consumer : e.thread;
	uint64_t page, pages, end = (o->size + TRACE_PAGE - 1) / TRACE_PAGE;

	sync_if_due(thread);
	while (run_next(&e, &page, &pages)) {
		if (page >= end)
			continue;
		if (pages > end - page)
			pages = end - page;
		emit(thread, (struct action){.kind = ACT_TOUCH,
					     .slot = o->slot,
					     .to = (uint32_t)page,
					     .size = pages,
					     .takes_shared = v->shared});
	}
}

/* At up to SAMPLES of the program's samples, the first among them, the replay takes one too, to be compared. */
static void emit_sample(const struct event *e)
{
	uint64_t step = m.trace->header->calls[EVENT_SAMPLE] / SAMPLES + 1;
	uint32_t sync;

	note_sample(e);
	if ((m.samples - 1) % step != 0)
		return;
	sync = emit_sync(e->thread);
	if (m.writes)
		m.out->syncs[sync].is_sample = true;
}

static void emit_event(const struct event *e)
{
	sync_if_due(e->thread);
	if (e->kind == EVENT_SAMPLE)
		emit_sample(e);
	else if (is_allocation(e))
		emit_allocation(e);
	else if (is_free(e))
		emit_free(e);
	else if (e->kind == EVENT_RESIZED)
		emit_resize(e);
	else if (e->kind == EVENT_TOUCH)
		emit_touch(*e);
	else if (e->kind == EVENT_THREAD_END) {
		emit_sync(e->thread);
		emit(e->thread, (struct action){.kind = ACT_END});
		m.out->of_thread[e->thread].ends = true;
	}
}

static void walk_and_emit(bool writes)
{
	struct reader r;
	struct event e = {0};

	begin_walk(&r);
	m.writes = writes;
	while (reader_next(&r, &e)) {
		emit_event(&e);
		advance(&e);
	}
}

/* Between counting and writing. */
static const char *make_room(void)
{
	m.out->sync_count = m.syncs;
	m.out->slots = m.slots;
	m.out->syncs = pages_map(m.syncs * sizeof *m.out->syncs);
	for (uint32_t i = 0; i < m.out->threads; i++) {
		struct actions *a = &m.out->of_thread[i];

		a->count = m.threads[i].count;
		a->first = pages_map(a->count * sizeof *a->first);
		if (a->first == NULL)
			return "no memory for its events";
	}
	return m.out->syncs ? NULL : "no memory for its events";
}

static const char *make(void)
{
	uint64_t peak = m.trace->header->peak_live_bytes;
	const char *wrong = first_walk();

	if (wrong != NULL)
		return wrong;
	m.out->clock_end = m.clock;
	m.out->end_live = m.live;
	m.out->slack = peak / 64 > SLACK_LEAST ? peak / 64 : SLACK_LEAST;
	m.step = m.out->slack / SYNCS_IN_SLACK;
	if (m.step > m.clock / SAMPLES)
		m.step = m.clock / SAMPLES;
	walk_and_emit(false);
	if ((wrong = make_room()) != NULL)
		return wrong;
	walk_and_emit(true);
	return NULL;
}

const char *schedule_make(struct schedule *s, const struct trace *t)
{
	uint64_t objects = t->header->objects, events = t->header->events;
	const char *wrong = "no memory for its events";

	*s = (struct schedule){.threads = (uint32_t)t->header->threads};
	s->of_thread = pages_map(s->threads * sizeof *s->of_thread);
	m = (struct maker){.trace = t, .out = s, .versions_max = events < UINT32_MAX ? events : UINT32_MAX};
	m.objects = pages_map((objects + 1) * sizeof *m.objects);
	m.versions = pages_map((m.versions_max + 1) * sizeof *m.versions);
	m.threads = pages_map(s->threads * sizeof *m.threads);
	m.freed = pages_map((m.versions_max + 1) * sizeof *m.freed);
	if (s->of_thread && m.objects && m.versions && m.threads && m.freed)
		wrong = make();
	pages_unmap(m.objects, (objects + 1) * sizeof *m.objects);
	pages_unmap(m.versions, (m.versions_max + 1) * sizeof *m.versions);
	pages_unmap(m.threads, s->threads * sizeof *m.threads);
	pages_unmap(m.freed, (m.versions_max + 1) * sizeof *m.freed);
	return wrong;
}
