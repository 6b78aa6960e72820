/* SPDX-License-Identifier: MIT */
#include "arena/manual.h"

#include <string.h>

#include "arena/arena.h"
#include "arena/manual_object.h"
#include "arena/purge.h"
#include "arena/self.h"
#include "base/bitmap.h"
#include "base/meta.h"
#include "base/options.h"
#include "base/os.h"
#include "base/print.h"

/* jemalloc's block for the metadata of an arena. */
#define BLOCK ((size_t)2 << 20)

static struct manual *manuals[MANUAL_IDS]; /* atomic: release by those who make one; never taken away */

static struct {
	struct lock lock;   /* rank IDS */
	unsigned automatic; /* atomic: const once it is not 0 */
	unsigned count;     /* lock, racy readers: the highest id of an arena made by hand + 1; 0 before the first */
	struct manual *recycled; /* lock: destroyed, the last first */
	unsigned destroyed;      /* lock, racy readers */
	bool tables;             /* atomic: some arena has had hooks of the program's */
	bool changed;            /* lock: the options are no longer what they were at start-up */
	int64_t option[2];       /* lock: what they were: dirty, muzzy */
	unsigned dss;            /* atomic: of new arenas, + 1; 0: the option */
} ids = {.lock = LOCK_INITIALIZER(LOCK_IDS)};

/* What destroyed arenas had counted; ids lock, racy readers. */
static struct arena_counters gone;

static unsigned dss_default(void)
{
	unsigned dss = load_relaxed(&ids.dss);

	return dss ? dss - 1 : ash_options.dss;
}

/* Properties that a program has given to automatic arenas, which share what they stand for. Atomic. */
struct automatic {
	size_t retain_grow_limit; /* + 1; 0: not set */
	unsigned dss;             /* + 1 */
	bool ms_is_set[2];
	int64_t ms[2];
	unsigned threads; /* bound to it */
	char name[MANUAL_NAME];
};
static struct automatic *automatic_of[MANUAL_IDS]; /* lock; atomic: release */

/* What new arenas begin with. */
#define AS_OPTION (-2)
static int64_t decay_default[2] = {AS_OPTION, AS_OPTION}; /* atomic */

/* ---- ids */

unsigned ash_arenas_auto(void)
{
	unsigned n = load_acquire(&ids.automatic), none = 0;

	if (n)
		return n;
	/* No lock: a debugger may ask in a process that is stopped anywhere. */
	n = ash_arena_limit_fixed(MANUAL_IDS - 1);
	return __atomic_compare_exchange_n(&ids.automatic, &none, n, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ? n
														: none;
}

static bool is_automatic(unsigned id)
{
	return id < ash_arenas_auto();
}

unsigned ash_arenas_count(void)
{
	return (unsigned)size_max(ash_arenas_auto(), load_relaxed(&ids.count));
}

/* The highest id + 1 that there can be anything of. */
static unsigned ids_used(void)
{
	return (unsigned)size_max(load_acquire(&ids.automatic), load_relaxed(&ids.count));
}

/* The arena of the id, if it was made and is not destroyed. */
static struct manual *manual_get(unsigned id)
{
	struct manual *arena = id < MANUAL_IDS ? load_acquire(&manuals[id]) : NULL;

	return arena && load_acquire(&arena->alive) ? arena : NULL;
}

/* Lock held: a record with an id, not alive yet. NULL: neither to be had. */
static struct manual *record_take(void)
{
	struct manual *arena = ids.recycled;

	if (arena) {
		ids.recycled = arena->recycled;
		return arena;
	}
	if (ash_arenas_count() == MANUAL_IDS)
		return NULL;
	arena = ash_meta_alloc(&ash_meta_descriptors, sizeof(*arena), CACHE_LINE);
	if (arena) {
		arena->supply.id = ash_arenas_count();
		store_relaxed(&ids.count, arena->supply.id + 1);
	}
	return arena;
}

/* Lock held. */
static void arena_begin(struct manual *arena, unsigned id, struct extent_hooks *hooks)
{
	void *block = arena->block;

	memset(arena, 0, sizeof(*arena));
	ash_supply_init(&arena->supply, id, hooks);
	arena->supply.decay_ms[0] = ash_manual_decay_default(false);
	arena->supply.decay_ms[1] = ash_manual_decay_default(true);
	arena->block = block;
	arena->dss = dss_default();
	arena->made_at = ash_os_now_ms();
	ash_format(arena->name, MANUAL_NAME, "manual_%u", id);
	store_release(&arena->alive, true);
	store_release(&manuals[id], arena);
}

static void *block_take(struct extent_hooks *table, unsigned id)
{
	bool zero = true, commit = true;
	struct hooks hooks;

	ash_hooks_set(&hooks, table);
	return ash_hooks_alloc(&hooks, BLOCK, BLOCK, &zero, &commit, id);
}

int ash_manual_create(struct extent_hooks *hooks, bool metadata)
{
	struct manual *arena;
	unsigned id;

	lock_take(&ids.lock);
	arena = record_take();
	lock_give(&ids.lock);
	if (!arena)
		return -1;
	id = arena->supply.id;
	arena->block = NULL;
	if (hooks && metadata && !(arena->block = block_take(hooks, id))) {
		lock_take(&ids.lock);
		arena->recycled = ids.recycled;
		ids.recycled = arena;
		lock_give(&ids.lock);
		return -1;
	}
	lock_take(&ids.lock);
	if (hooks)
		store_relaxed(&ids.tables, true);
	arena_begin(arena, id, hooks ? hooks : &ash_hooks_default);
	lock_give(&ids.lock);
	return (int)id;
}

/* The arena beside an automatic one. */
static SLOW struct manual *beside_automatic(unsigned id)
{
	struct manual *arena;

	lock_take(&ids.lock);
	arena = manuals[id];
	if (!arena) {
		arena = ash_meta_alloc(&ash_meta_descriptors, sizeof(*arena), CACHE_LINE);
		if (arena) {
			arena_begin(arena, id, &ash_hooks_default);
			arena->automatic = true;
		}
	}
	lock_give(&ids.lock);
	return arena;
}

struct manual *ash_manual_find(unsigned id)
{
	struct manual *arena;

	if (ash_self.hooks)
		return NULL;
	arena = manual_get(id);
	return arena || !is_automatic(id) ? arena : beside_automatic(id);
}

bool ash_manual_initialized(unsigned id)
{
	return manual_get(id) || (id < ARENAS_MAX && is_automatic(id) && ash_arena_get(id));
}

/* Makes the arena of an automatic id come into being. */
static bool ensure(unsigned id)
{
	if (id >= ash_arenas_count())
		return false;
	return is_automatic(id) ? ash_arena_make(id) != NULL : manual_get(id) != NULL;
}

/* ---- reset and destroy */

void (*ash_manual_ends)(const struct manual *arena);

static void objects_end(struct manual *arena)
{
	if (ash_manual_ends)
		ash_manual_ends(arena);
	ash_manual_object_reset(arena);
}

int ash_manual_reset(unsigned id)
{
	struct manual *arena = manual_get(id);

	if (!arena || arena->automatic)
		return EFAULT;
	objects_end(arena);
	return 0;
}

static void counters_add(struct arena_counters *to, const struct manual *arena)
{
	const struct supply *s = &arena->supply;

	to->dirty_npurge += load_relaxed(&s->passes[0]);
	to->dirty_nmadvise += load_relaxed(&s->calls[0]);
	to->dirty_purged += load_relaxed(&s->pages[0]);
	to->muzzy_npurge += load_relaxed(&s->passes[1]);
	to->muzzy_nmadvise += load_relaxed(&s->calls[1]);
	to->muzzy_purged += load_relaxed(&s->pages[1]);
	to->active += load_relaxed(&s->in_use);
	to->dirty += load_relaxed(&s->bytes[0]);
	to->muzzy += load_relaxed(&s->bytes[1]);
	to->retained += load_relaxed(&s->bytes[2]);
	to->mapped += load_relaxed(&s->mapped) - load_relaxed(&s->bytes[2]);
	to->abandoned += load_relaxed(&s->abandoned);
	to->small_allocated += load_relaxed(&arena->small_bytes);
	to->large_allocated += load_relaxed(&arena->large_bytes);
	to->internal += sizeof(*arena);
	to->base += arena->block ? BLOCK : 0;
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
		ash_counters_add(&to->small[cls], &arena->bin[cls].count);
	for (unsigned i = 0; i < LARGE_CLASSES; i++) {
		to->large[i].nmalloc += load_relaxed(&arena->large[i].nmalloc);
		to->large[i].ndalloc += load_relaxed(&arena->large[i].ndalloc);
		to->large[i].current += load_relaxed(&arena->large[i].current);
	}
}

/* The block goes the way that all of the arena's memory goes. */
static void block_give(struct manual *arena)
{
	bool committed = true, zeroed = false;

	if (arena->block)
		ash_supply_dispose(&arena->supply, arena->block, BLOCK, &committed, &zeroed, false);
	arena->block = NULL;
}

int ash_manual_destroy(unsigned id)
{
	struct manual *arena = manual_get(id);

	if (!arena || arena->automatic || load_relaxed(&arena->threads))
		return EFAULT;
	objects_end(arena);
	/* Before another create can have its id nobody may find it. */
	store_release(&arena->alive, false);
	ash_supply_end(&arena->supply);
	block_give(arena);
	lock_take(&ids.lock);
	counters_add(&gone, arena);
	count_add(&ids.destroyed, 1);
	arena->recycled = ids.recycled;
	ids.recycled = arena;
	lock_give(&ids.lock);
	return 0;
}

unsigned ash_manual_destroyed(void)
{
	return load_relaxed(&ids.destroyed);
}

/* ---- giving memory back */

static void each(void (*fn)(struct manual *arena))
{
	unsigned n = ash_arenas_count();

	for (unsigned id = 0; id < n; id++) {
		struct manual *arena = manual_get(id);

		if (arena)
			fn(arena);
	}
}

static void purge_one(struct manual *arena)
{
	ash_supply_decay(&arena->supply, true);
}

static void decay_one(struct manual *arena)
{
	ash_supply_decay(&arena->supply, false);
}

static int purge_some(unsigned id, void (*fn)(struct manual *arena), void (*common)(void))
{
	struct manual *arena = manual_get(id);

	if (id != ARENAS_ALL && id >= ash_arenas_count())
		return EFAULT;
	if (id == ARENAS_ALL)
		each(fn);
	else if (arena)
		fn(arena);
	if (id == ARENAS_ALL || is_automatic(id))
		common();
	return 0;
}

static void drain_automatic(void)
{
	ash_arena_drain(0);
}

static void tick_automatic(void)
{
	ash_arena_tick(ash_os_now_ms());
}

int ash_manual_purge(unsigned id)
{
	return purge_some(id, purge_one, drain_automatic);
}

int ash_manual_decay(unsigned id)
{
	return purge_some(id, decay_one, tick_automatic);
}

/* ---- properties */

/* What a program has set for an automatic arena; NULL: memory is out. */
static struct automatic *automatic_record(unsigned id)
{
	struct automatic *a = load_acquire(&automatic_of[id]);

	if (a)
		return a;
	lock_take(&ids.lock);
	a = automatic_of[id];
	if (!a) {
		a = ash_meta_alloc(&ash_meta_descriptors, sizeof(*a), CACHE_LINE);
		store_release(&automatic_of[id], a);
	}
	lock_give(&ids.lock);
	return a;
}

static struct automatic *automatic_peek(unsigned id)
{
	return load_acquire(&automatic_of[id]);
}

/* True when the id is an automatic arena's that came into being. */
static bool is_live_automatic(unsigned id)
{
	return id < MANUAL_IDS && is_automatic(id) && (ash_arena_get(id) || manual_get(id));
}

/* The options are the decay of the heap that all automatic arenas share. */
static void option_keep(void)
{
	lock_take(&ids.lock);
	if (!ids.changed) {
		ids.option[0] = ash_options.dirty_decay_ms;
		ids.option[1] = ash_options.muzzy_decay_ms;
		ids.changed = true;
	}
	lock_give(&ids.lock);
}

/* The option as it was at start-up. */
static int64_t decay_option(bool muzzy)
{
	int64_t now = muzzy ? ash_options.muzzy_decay_ms : ash_options.dirty_decay_ms;

	return ids.changed ? ids.option[muzzy] : now;
}

static int64_t *heap_decay(bool muzzy)
{
	return muzzy ? &ash_options.muzzy_decay_ms : &ash_options.dirty_decay_ms;
}

int64_t ash_manual_decay_default(bool muzzy)
{
	int64_t ms = load_relaxed(&decay_default[muzzy]);

	return ms == AS_OPTION ? decay_option(muzzy) : ms;
}

int ash_manual_set_decay_default(bool muzzy, int64_t ms)
{
	if (ms < -1)
		return EFAULT;
	store_relaxed(&decay_default[muzzy], ms);
	return 0;
}

int ash_manual_decay_ms(unsigned id, bool muzzy, int64_t *ms)
{
	struct manual *arena = manual_get(id);

	if (is_live_automatic(id)) {
		struct automatic *a = automatic_peek(id);

		*ms = a && a->ms_is_set[muzzy] ? a->ms[muzzy] : decay_option(muzzy);
		return 0;
	}
	if (!arena)
		return EFAULT;
	*ms = load_relaxed(&arena->supply.decay_ms[muzzy]);
	return 0;
}

/* All automatic arenas share one heap: the last word counts. */
static int set_heap_decay(unsigned id, bool muzzy, int64_t ms)
{
	struct automatic *a = automatic_record(id);

	if (!a)
		return EFAULT;
	option_keep();
	a->ms[muzzy] = ms;
	a->ms_is_set[muzzy] = true;
	store_relaxed(heap_decay(muzzy), ms);
	if (ms == 0)
		ash_arena_drain(0);
	return 0;
}

int ash_manual_set_decay_ms(unsigned id, bool muzzy, int64_t ms)
{
	struct manual *arena = manual_get(id);

	if (ms < -1 || (!arena && !is_live_automatic(id)))
		return EFAULT;
	if (arena) {
		store_relaxed(&arena->supply.decay_ms[muzzy], ms);
		ash_supply_decay(&arena->supply, false);
	}
	return is_live_automatic(id) ? set_heap_decay(id, muzzy, ms) : 0;
}

int ash_manual_hooks(unsigned id, struct extent_hooks **hooks)
{
	struct manual *arena = manual_get(id);

	if (!arena && (id >= ash_arenas_count() || !is_automatic(id)))
		return EFAULT;
	*hooks = arena ? load_relaxed(&arena->supply.hooks.table) : &ash_hooks_default;
	return 0;
}

int ash_manual_set_hooks(unsigned id, struct extent_hooks *hooks)
{
	struct manual *arena = manual_get(id);

	if (!arena && id < ash_arenas_count() && is_automatic(id))
		arena = beside_automatic(id);
	if (!arena || !hooks)
		return EFAULT;
	store_relaxed(&ids.tables, true);
	lock_take(&arena->supply.lock);
	ash_hooks_set(&arena->supply.hooks, hooks);
	store_relaxed(&arena->supply.whole, false);
	lock_give(&arena->supply.lock);
	return 0;
}

int ash_manual_name(unsigned id, char name[MANUAL_NAME])
{
	struct manual *arena = manual_get(id);
	bool automatic = is_live_automatic(id);
	struct automatic *a = automatic ? automatic_peek(id) : NULL;

	if (!automatic && !arena)
		return EFAULT;
	/* No lock: a debugger may ask. The last byte is always 0. */
	if (!automatic)
		memcpy(name, arena->name, MANUAL_NAME);
	else if (a && *a->name)
		memcpy(name, a->name, MANUAL_NAME);
	else
		ash_format(name, MANUAL_NAME, "auto_%u", id);
	return 0;
}

int ash_manual_set_name(unsigned id, const char *name)
{
	struct manual *arena = manual_get(id);
	bool automatic = is_live_automatic(id);
	struct automatic *a = automatic ? automatic_record(id) : NULL;

	if (automatic ? !a : !arena)
		return EFAULT;
	lock_take(&ids.lock);
	ash_format(automatic ? a->name : arena->name, MANUAL_NAME, "%s", name);
	lock_give(&ids.lock);
	return 0;
}

int ash_manual_dss(unsigned id, unsigned *dss)
{
	struct manual *arena = manual_get(id);

	if (id == ARENAS_ALL) {
		*dss = dss_default();
		return 0;
	}
	if (is_live_automatic(id)) {
		struct automatic *a = automatic_peek(id);

		*dss = a && a->dss ? a->dss - 1 : dss_default();
		return 0;
	}
	if (!arena)
		return EFAULT;
	*dss = load_relaxed(&arena->dss);
	return 0;
}

int ash_manual_set_dss(unsigned id, unsigned dss)
{
	struct manual *arena = manual_get(id);

	if (id == ARENAS_ALL) {
		store_relaxed(&ids.dss, dss + 1);
		return 0;
	}
	if (is_live_automatic(id)) {
		struct automatic *a = automatic_record(id);

		if (a)
			store_relaxed(&a->dss, dss + 1);
		return a ? 0 : EFAULT;
	}
	if (!arena)
		return EFAULT;
	store_relaxed(&arena->dss, dss);
	return 0;
}

/* jemalloc's page classes: four a doubling of whole pages. The largest that is no larger. */
static size_t page_class_floor(size_t bytes)
{
	size_t pages = bytes / 4096;
	unsigned order = log2_floor(pages);

	if (order > 2)
		pages = pages >> (order - 2) << (order - 2);
	return pages * 4096;
}

#define GROW_LIMIT_MOST ((size_t)7 << 60)

int ash_manual_retain_grow_limit(unsigned id, size_t *bytes)
{
	struct manual *arena = manual_get(id);

	if (is_live_automatic(id)) {
		struct automatic *a = automatic_peek(id);

		*bytes = a && a->retain_grow_limit ? a->retain_grow_limit - 1 : GROW_LIMIT_MOST;
		return 0;
	}
	if (!arena)
		return EFAULT;
	*bytes = load_relaxed(&arena->supply.grow_limit);
	return 0;
}

int ash_manual_set_retain_grow_limit(unsigned id, size_t bytes)
{
	struct manual *arena = manual_get(id);

	if (bytes < 4096)
		return EINVAL;
	bytes = size_min(page_class_floor(bytes), GROW_LIMIT_MOST);
	if (!arena && !is_live_automatic(id))
		return EFAULT;
	if (arena)
		store_relaxed(&arena->supply.grow_limit, bytes);
	if (is_live_automatic(id)) {
		struct automatic *a = automatic_record(id);

		if (!a)
			return EFAULT;
		store_relaxed(&a->retain_grow_limit, bytes + 1);
	}
	return 0;
}

int ash_manual_oversize_threshold(unsigned id, size_t *bytes)
{
	struct manual *arena = manual_get(id);

	if (is_live_automatic(id)) {
		*bytes = (size_t)load_relaxed(&ash_options.oversize_threshold);
		return 0;
	}
	if (!arena)
		return EFAULT;
	*bytes = load_relaxed(&arena->supply.oversize);
	return 0;
}

int ash_manual_set_oversize_threshold(unsigned id, size_t bytes)
{
	struct manual *arena = manual_get(id);

	if (!arena && !is_live_automatic(id))
		return EFAULT;
	if (arena)
		store_relaxed(&arena->supply.oversize, bytes);
	if (is_live_automatic(id))
		store_relaxed(&ash_options.oversize_threshold, (int64_t)bytes);
	return 0;
}

/* ---- lookup */

int ash_arena_lookup(const void *p)
{
	const struct piece *piece = ash_piece_at((uintptr_t)p);
	struct region *region;
	struct span *span;

	if (piece && load_acquire(&piece->kind) != PIECE_NONE)
		return (int)piece->supply->id;
	region = ash_region_of(p);
	span = region ? region_span(region, p) : NULL;
	if (!region)
		return -1;
	return span && load_relaxed(&span->kind) == SPAN_SLAB ? load_relaxed(&span->arena) : 0;
}

/* The sums over the slabs of a bin. */
static void bin_utilization(const struct class_counters *c, unsigned cls, struct utilization *u)
{
	u->bin_nregs = load_relaxed(&c->curslabs) * ash_size_class[cls].slots;
	u->bin_nfree = u->bin_nregs - load_relaxed(&c->curregs);
}

static bool manual_utilization(const struct piece *piece, struct utilization *u)
{
	uint8_t kind = load_acquire(&piece->kind);

	if (kind == PIECE_SLAB) {
		const struct manual_bin *bin = &manual_of(piece)->bin[piece->cls];
		const struct piece *current = load_relaxed(&bin->current);

		*u = (struct utilization){current ? (void *)current->base : NULL,
					  piece->nfree,
					  piece->slots,
					  piece->size,
					  0,
					  0};
		bin_utilization(&bin->count, piece->cls, u);
	} else if (kind == PIECE_LARGE) {
		*u = (struct utilization){NULL, 0, 1, piece->size, 0, 0};
	}
	return kind == PIECE_SLAB || kind == PIECE_LARGE;
}

static bool automatic_utilization(const struct span *span, struct utilization *u)
{
	size_t size = (size_t)span->granules << GRANULE_SHIFT;
	const struct slab *slab = (const struct slab *)span;

	if (span->kind == SPAN_LARGE) {
		*u = (struct utilization){NULL, 0, 1, size, 0, 0};
	} else if (span->kind == SPAN_SLAB) {
		struct bin *bin = slab_bin(slab);
		const struct slab *current = load_relaxed(&bin->current);

		*u = (struct utilization){current ? (void *)current->span.base : NULL,
					  load_relaxed(&slab->nfree),
					  slab->slots,
					  size,
					  0,
					  0};
		u->bin_nregs = (size_t)load_relaxed(&bin->slabs) * slab->slots;
		u->bin_nfree = u->bin_nregs - size_min(load_relaxed(&bin->out), u->bin_nregs);
	}
	return span->kind == SPAN_LARGE || span->kind == SPAN_SLAB;
}

bool ash_arena_utilization(const void *p, struct utilization *u)
{
	const struct piece *piece = ash_piece_at((uintptr_t)p);
	struct region *region = ash_region_of(p);
	struct span *span = region ? region_span(region, p) : NULL;

	memset(u, 0, sizeof(*u));
	return piece ? manual_utilization(piece, u) : span && automatic_utilization(span, u);
}

/* ---- threads */

struct manual *ash_manual_bound(void)
{
	struct manual *arena = ash_self.arena && !ash_self.hooks ? manual_get(ash_self.arena - 1u) : NULL;

	/* Beside an automatic one: only when it has hooks. */
	if (arena && arena->automatic && load_relaxed(&arena->supply.hooks.table) == &ash_hooks_default)
		return NULL;
	return arena;
}

unsigned ash_thread_arena(void)
{
	unsigned active;

	if (ash_self.arena)
		return ash_self.arena - 1u;
	active = load_relaxed(&ash_arena_active);
	return active == 1 ? 0 : ash_arena_by_cpu(active)->index;
}

static void count_thread(unsigned id, int more)
{
	struct manual *arena = manual_get(id);

	if (arena && !arena->automatic)
		add_relaxed(&arena->threads, (unsigned)more);
	else if (is_automatic(id) && automatic_record(id))
		add_relaxed(&automatic_record(id)->threads, (unsigned)more);
}

int ash_thread_set_arena(unsigned id)
{
	if (!ensure(id))
		return EFAULT;
	if (ash_self.arena)
		count_thread(ash_self.arena - 1u, -1);
	ash_self.arena = (uint16_t)(id + 1);
	count_thread(id, 1);
	if (is_automatic(id))
		ash_arena_use(id);
	return 0;
}

void ash_thread_ends(void)
{
	if (ash_self.arena)
		count_thread(ash_self.arena - 1u, -1);
	ash_self.arena = 0;
	for (unsigned id = 0; load_relaxed(&ids.tables) && id < ids_used(); id++) {
		if (manual_get(id))
			ash_hooks_thread_ends(&manual_get(id)->supply.hooks);
	}
}

/* ---- statistics */

void ash_counters_add(struct class_counters *to, const struct class_counters *from)
{
	to->nmalloc += load_relaxed(&from->nmalloc);
	to->ndalloc += load_relaxed(&from->ndalloc);
	to->nrequests += load_relaxed(&from->nrequests);
	to->nfills += load_relaxed(&from->nfills);
	to->nflushes += load_relaxed(&from->nflushes);
	to->nslabs += load_relaxed(&from->nslabs);
	to->nreslabs += load_relaxed(&from->nreslabs);
	to->curregs += load_relaxed(&from->curregs);
	to->curslabs += load_relaxed(&from->curslabs);
	to->nonfull_slabs += load_relaxed(&from->nonfull_slabs);
}

bool ash_arena_counters(unsigned id, struct arena_counters *out)
{
	struct manual *arena = manual_get(id);
	struct arena *automatic = id < ARENAS_MAX && is_automatic(id) ? ash_arena_get(id) : NULL;

	memset(out, 0, sizeof(*out));
	if (id == ARENAS_DESTROYED) {
		*out = gone;
		return true;
	}
	if (!arena && !automatic)
		return false;
	if (automatic)
		ash_automatic_counters(automatic, out);
	if (arena) {
		counters_add(out, arena);
		out->nthreads += load_relaxed(&arena->threads);
		out->made_at_ms = automatic ? out->made_at_ms : arena->made_at;
		out->extent_avail += ash_piece_spare();
	}
	if (automatic_of[id])
		out->nthreads += load_relaxed(&automatic_of[id]->threads);
	return true;
}

static void totals_add(struct manual_totals *to, const struct manual *arena)
{
	const struct supply *s = &arena->supply;

	to->small += load_relaxed(&arena->small_bytes);
	to->large += load_relaxed(&arena->large_bytes);
	to->in_use += load_relaxed(&s->in_use);
	to->dirty += load_relaxed(&s->bytes[0]) + load_relaxed(&s->bytes[1]);
	to->retained += load_relaxed(&s->bytes[2]);
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++)
		to->slabs += load_relaxed(&arena->bin[cls].count.curslabs) * ash_size_class[cls].granules * GRANULE;
}

void ash_manual_totals(struct manual_totals *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned id = 0; id < ids_used(); id++) {
		if (manual_get(id))
			totals_add(out, manual_get(id));
	}
}

/* ---- fork and checks */

static uint32_t forking; /* ids lock: the thread that forks */

void ash_manual_fork_prepare(void)
{
	lock_take_for_fork(&ids.lock);
	if (ids_used())
		forking = ash_os_thread_id();
	for (unsigned id = 0; id < ids_used(); id++) {
		if (manuals[id])
			lock_take_for_fork(&manuals[id]->supply.lock);
	}
}

/* Of the threads that were bound to an arena one is here at most. */
static void in_child(unsigned id)
{
	bool bound = ash_self.arena == id + 1;

	if (automatic_of[id])
		automatic_of[id]->threads = bound;
	if (!manuals[id])
		return;
	ash_hooks_in_child(&manuals[id]->supply.hooks, forking);
	manuals[id]->threads = bound && !manuals[id]->automatic;
}

void ash_manual_fork_done(bool child)
{
	for (unsigned id = 0; id < ids_used(); id++) {
		if (child)
			in_child(id);
		if (manuals[id])
			lock_give_for_fork(&manuals[id]->supply.lock);
	}
	lock_give_for_fork(&ids.lock);
}

void ash_manual_repair(void)
{
	lock_init(&ids.lock, LOCK_IDS);
	for (unsigned id = 0; id < ids_used(); id++) {
		struct manual *arena = manuals[id];

		if (!arena || !lock_is_held(&arena->supply.lock))
			continue;
		ash_supply_repair(&arena->supply);
		ash_manual_object_repair(arena);
	}
}

static int broken;

static void check_one(struct manual *arena)
{
	broken += ash_manual_object_check(arena);
}

int ash_manual_check(void)
{
	broken = 0;
	if (load_acquire(&ids.automatic))
		each(check_one);
	return broken;
}
