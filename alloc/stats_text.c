/* SPDX-License-Identifier: MIT
 *
 * A table is a row of cells, each with a title and a width. Rows that hold
 * nothing, however many, become one line of dashes.
 */
#include "alloc/stats_text.h"

#include <limits.h>
#include <string.h>

#include "alloc/stats_own.h"
#include "alloc/stats_rows.h"
#include "base/print.h"

#define NS_PER_SECOND UINT64_C(1000000000)
#define LABEL_WIDTH 21
#define RATE_TITLE "(#/sec)"
#define GAP "                     ---\n"

/* ---- columns */

static void put_right(struct report *r, const char *text, unsigned width)
{
	for (size_t n = strlen(text); n < width; n++)
		ash_report_text(r, " ");
	ash_report_text(r, text);
}

static void put_left(struct report *r, const char *text, unsigned width)
{
	ash_report_text(r, text);
	for (size_t n = strlen(text); n < width; n++)
		ash_report_text(r, " ");
}

static void put_number(struct report *r, uint64_t number, unsigned width)
{
	char digits[24];

	ash_format(digits, sizeof(digits), "%zu", (size_t)number);
	put_right(r, digits, width);
}

/* For each second of a time in which there were any; the first second counts whole. */
static uint64_t rate(uint64_t number, uint64_t ns)
{
	return ns < NS_PER_SECOND ? (ns ? number : 0) : number / (ns / NS_PER_SECOND);
}

static void put_rated(struct report *r, uint64_t number, unsigned width, unsigned rate_width, uint64_t ns)
{
	put_number(r, number, width);
	if (rate_width)
		put_number(r, rate(number, ns), rate_width);
}

static void put_title(struct report *r, const char *title, unsigned width, unsigned rate_width)
{
	put_right(r, title, width);
	if (rate_width)
		put_right(r, RATE_TITLE, rate_width);
}

/* ---- rows of names and values */

static void put_value(struct report *r, enum stats_type type, const union stats_value *value)
{
	char digits[STATS_FIXED_TEXT];

	switch (type) {
	case STATS_BOOL:
		ash_report_text(r, value->number ? "true" : "false");
		break;
	case STATS_FIXED:
		ash_stats_fixed(digits, (uint32_t)value->number);
		ash_report_put(r, "\"%s\"", digits);
		break;
	case STATS_STRING:
		ash_report_text(r, "\"");
		ash_report_text(r, value->text);
		ash_report_text(r, "\"");
		break;
	case STATS_SIGNED:
		ash_report_put(r, "%zd", (ptrdiff_t)value->with_sign);
		break;
	default:
		ash_report_put(r, "%zu", (size_t)value->number);
		break;
	}
}

static void put_section(struct report *r, const char *prefix, const struct stats_row *rows)
{
	for (const struct stats_row *row = rows; row->key; row++) {
		union stats_value value, now;

		if (!ash_stats_row_read(r, prefix, row, &value))
			continue;
		ash_report_put(r, "  %s%s: ", prefix, row->name ? row->name : row->key);
		put_value(r, row->type, &value);
		if (row->twin && ash_stats_read(row->twin, row->type, &now)) {
			ash_report_put(r, " (%s: ", row->twin);
			put_value(r, row->type, &now);
			ash_report_text(r, ")");
		}
		ash_report_text(r, "\n");
	}
}

static void put_line(struct report *r, const char *label, enum stats_type type, const char *name)
{
	ash_report_put(r, "%s: %zu\n", label, (size_t)ash_stats_number(r, type, "%s", name));
}

static void put_general(struct report *r)
{
	union stats_value version;
	bool profiler;

	r->unreadable += !ash_stats_read("version", STATS_STRING, &version);
	profiler = ash_stats_number(r, STATS_BOOL, "config.prof");
	ash_report_put(r, "Version: \"%s\"\n", version.text);
	ash_report_text(r, "Build-time option settings\n");
	put_section(r, "config.", ash_stats_config);
	ash_report_text(r, "Run-time option settings\n");
	put_section(r, "opt.", ash_stats_options);
	if (profiler) {
		ash_report_text(r, "Profiling settings\n");
		put_section(r, "prof.", ash_stats_profiling);
	}
	put_line(r, "Arenas", STATS_UNSIGNED, "arenas.narenas");
	put_line(r, "Quantum size", STATS_SIZE, "arenas.quantum");
	put_line(r, "Page size", STATS_SIZE, "arenas.page");
	put_line(r, "Maximum thread-cached size class", STATS_SIZE, "arenas.tcache_max");
	put_line(r, "Number of bin size classes", STATS_UNSIGNED, "arenas.nbins");
	put_line(r, "Number of thread-cache bin size classes", STATS_UNSIGNED, "arenas.nhbins");
	put_line(r, "Number of large size classes", STATS_UNSIGNED, "arenas.nlextents");
}

/* ---- mutexes */

static void put_counter_titles(struct report *r)
{
	for (unsigned c = 0; c < STATS_COUNTERS; c++)
		put_title(r, ash_stats_counters[c].title, ash_stats_counters[c].width,
			  ash_stats_counters[c].rate_width);
}

/* `of` begins the names of the mutexes: "stats." or that of an arena. */
static void put_mutexes(struct report *r, const char *of, const char *const *names, uint64_t ns)
{
	put_left(r, "", LABEL_WIDTH);
	put_counter_titles(r);
	ash_report_text(r, "\n");
	for (; *names; names++) {
		put_left(r, *names, LABEL_WIDTH);
		for (unsigned c = 0; c < STATS_COUNTERS; c++) {
			const struct stats_counter *counter = &ash_stats_counters[c];

			put_rated(r, ash_stats_number(r, counter->type, "%smutexes.%s.%s", of, *names, counter->key),
				  counter->width, counter->rate_width, ns);
		}
		ash_report_text(r, "\n");
	}
}

/* ---- the process */

static size_t total(struct report *r, const char *key)
{
	return ash_stats_number(r, STATS_SIZE, "stats.%s", key);
}

static void put_totals(struct report *r)
{
	ash_report_put(
		r,
		"Allocated: %zu, active: %zu, metadata: %zu (n_thp %zu), resident: %zu, mapped: %zu, retained: %zu\n",
		total(r, "allocated"), total(r, "active"), total(r, "metadata"), total(r, "metadata_thp"),
		total(r, "resident"), total(r, "mapped"), total(r, "retained"));
	ash_report_put(r, "Count of realloc(non-null-ptr, 0) calls: %zu\n", total(r, "zero_reallocs"));
	ash_report_put(r, "Background threads: %zu, num_runs: %zu, run_interval: %zu ns\n",
		       total(r, "background_thread.num_threads"), total(r, "background_thread.num_runs"),
		       total(r, "background_thread.run_interval"));
	if (r->wants.mutexes)
		put_mutexes(r, "stats.", ash_stats_mutexes, ash_stats_number(r, STATS_SIZE, "stats.arenas.0.uptime"));
}

/* ---- an arena: what it is and holds */

/* The state is "dirty" or "muzzy". */
static void put_decay(struct report *r, const char *of, const char *state)
{
	static const char *const count[] = {"npurge", "nmadvise", "purged"};
	int64_t ms = (int64_t)ash_stats_number(r, STATS_SIGNED, "%s%s_decay_ms", of, state);
	char label[16];

	ash_format(label, sizeof(label), "%s:", state);
	put_right(r, label, 9);
	if (ms >= 0)
		put_number(r, (uint64_t)ms, 6);
	else
		put_right(r, "N/A", 6);
	put_number(r, ash_stats_number(r, STATS_SIZE, "%sp%s", of, state), 13);
	for (unsigned i = 0; i < sizeof(count) / sizeof(*count); i++)
		put_number(r, ash_stats_number(r, STATS_SIZE, "%s%s_%s", of, state, count[i]), 13);
	ash_report_text(r, "\n");
}

#define SUMS 6
static const struct {
	const char *key, *title;
} sum[SUMS] = {{"allocated", "allocated"}, {"nmalloc", "nmalloc"}, {"ndalloc", "ndalloc"},
	       {"nrequests", "nrequests"}, {"nfills", "nfill"},    {"nflushes", "nflush"}};

static void put_sums(struct report *r, const char *label, const uint64_t number[SUMS], uint64_t ns)
{
	put_left(r, label, LABEL_WIDTH);
	for (unsigned i = 0; i < SUMS; i++)
		put_rated(r, number[i], 16, i ? 10 : 0, ns);
	ash_report_text(r, "\n");
}

static void put_small_and_large(struct report *r, const char *of, uint64_t ns)
{
	uint64_t small[SUMS], large[SUMS], both[SUMS];

	put_left(r, "", LABEL_WIDTH);
	for (unsigned i = 0; i < SUMS; i++) {
		put_title(r, sum[i].title, 16, i ? 10 : 0);
		small[i] = ash_stats_number(r, STATS_SIZE, "%ssmall.%s", of, sum[i].key);
		large[i] = ash_stats_number(r, STATS_SIZE, "%slarge.%s", of, sum[i].key);
		both[i] = small[i] + large[i];
	}
	ash_report_text(r, "\n");
	put_sums(r, "small:", small, ns);
	put_sums(r, "large:", large, ns);
	put_sums(r, "total:", both, ns);
	put_right(r, "\n", LABEL_WIDTH + 16 + 1);
}

static void put_sizes(struct report *r, const char *of, size_t page)
{
	static const char *const key[] = {"mapped",
					  "retained",
					  "base",
					  "internal",
					  "metadata_thp",
					  "tcache_bytes",
					  "tcache_stashed_bytes",
					  "resident",
					  "abandoned_vm",
					  "extent_avail"};

	put_left(r, "active:", LABEL_WIDTH);
	put_number(r, ash_stats_number(r, STATS_SIZE, "%spactive", of) * page, 16);
	ash_report_text(r, "\n");
	for (unsigned i = 0; i < sizeof(key) / sizeof(*key); i++) {
		char label[32];

		ash_format(label, sizeof(label), "%s:", key[i]);
		put_left(r, label, LABEL_WIDTH);
		put_number(r, ash_stats_number(r, STATS_SIZE, "%s%s", of, key[i]), 16);
		ash_report_text(r, "\n");
	}
}

/* ---- an arena: tables of its size classes */

enum cell_kind {
	CELL_ARENA,    /* a statistic of the arena */
	CELL_CLASS,    /* a constant of the size class */
	CELL_COMPUTED, /* from the others */
	CELL_SHARE,    /* computed, in thousandths */
	CELL_SAMPLED,  /* what the profiler saw */
};

struct cell {
	const char *title;
	uint8_t width, rate_width; /* 0: no rate */
	enum cell_kind kind;
	const char *key;
	enum stats_type type;
};

#define CELLS_MAX 21
struct table {
	const char *label;
	const char *of;       /* what an arena calls it */
	const char *of_class; /* what the constants are called */
	unsigned count;       /* UINT_MAX: as many as answer */
	unsigned index;       /* the component of the arena's names that runs */
	bool sampled, mutex;
	uint64_t page;  /* bytes of an OS page */
	uint64_t first; /* of this kind among all size classes */
	unsigned cells;
	const struct cell *cell;
	/* Fills in what is computed; false: the row holds nothing. */
	bool (*complete)(const struct table *table, unsigned row, uint64_t value[CELLS_MAX]);
};

struct table_columns {
	struct stats_column cell[CELLS_MAX], counter[STATS_COUNTERS];
};

static bool is_shown(const struct table *t, const struct cell *cell)
{
	return cell->kind != CELL_SAMPLED || t->sampled;
}

static void put_table_titles(struct report *r, const struct table *t)
{
	unsigned label = (unsigned)strlen(t->label);

	ash_report_text(r, t->label);
	for (unsigned c = 0; c < t->cells; c++) {
		const struct cell *cell = &t->cell[c];

		if (is_shown(t, cell))
			put_title(r, cell->title, cell->width - (c ? 0 : label), cell->rate_width);
	}
	if (t->mutex)
		put_counter_titles(r);
	ash_report_text(r, "\n");
}

static void columns_find(struct table_columns *columns, const struct table *t, const char *of)
{
	for (unsigned c = 0; c < t->cells; c++) {
		const struct cell *cell = &t->cell[c];

		if (cell->kind == CELL_ARENA)
			ash_stats_column(&columns->cell[c], cell->type, "%s%s.0.%s", of, t->of, cell->key);
		else if (cell->kind == CELL_CLASS)
			ash_stats_column(&columns->cell[c], cell->type, "%s.0.%s", t->of_class, cell->key);
	}
	for (unsigned c = 0; t->mutex && c < STATS_COUNTERS; c++)
		ash_stats_column(&columns->counter[c], ash_stats_counters[c].type, "%s%s.0.mutex.%s", of, t->of,
				 ash_stats_counters[c].key);
}

/* False: there is no such row. */
static bool row_read(const struct table *t, const struct table_columns *columns, unsigned row,
		     uint64_t value[CELLS_MAX])
{
	bool answers = true;

	for (unsigned c = 0; c < t->cells; c++) {
		value[c] = 0;
		if (t->cell[c].kind == CELL_ARENA)
			answers &= ash_stats_column_read(&columns->cell[c], t->index, row, &value[c]);
		else if (t->cell[c].kind == CELL_CLASS)
			answers &= ash_stats_column_read(&columns->cell[c], 2, row, &value[c]);
	}
	return answers;
}

static void put_share(struct report *r, uint64_t thousandths, unsigned width)
{
	char text[24];

	if (thousandths == 1000)
		ash_format(text, sizeof(text), "1");
	else
		ash_format(text, sizeof(text), "0.%s%zu", &"00"[(thousandths > 9) + (thousandths > 99)],
			   (size_t)thousandths);
	put_right(r, text, width);
}

static void put_table_row(struct report *r, const struct table *t, const struct table_columns *columns, unsigned row,
			  const uint64_t value[CELLS_MAX], uint64_t ns)
{
	for (unsigned c = 0; c < t->cells; c++) {
		const struct cell *cell = &t->cell[c];

		if (cell->kind == CELL_SHARE)
			put_share(r, value[c], cell->width);
		else if (is_shown(t, cell))
			put_rated(r, value[c], cell->width, cell->rate_width, ns);
	}
	for (unsigned c = 0; t->mutex && c < STATS_COUNTERS; c++) {
		uint64_t number;

		r->unreadable += !ash_stats_column_read(&columns->counter[c], t->index, row, &number);
		put_rated(r, number, ash_stats_counters[c].width, ash_stats_counters[c].rate_width, ns);
	}
	ash_report_text(r, "\n");
}

static void put_table(struct report *r, const struct table *t, const char *of, uint64_t ns)
{
	struct table_columns columns;
	uint64_t value[CELLS_MAX];
	bool gap = false;

	put_table_titles(r, t);
	columns_find(&columns, t, of);
	for (unsigned row = 0; row < t->count; row++) {
		bool exists = row_read(t, &columns, row, value), holds = t->complete(t, row, value);

		if (!exists && t->count == UINT_MAX)
			break;
		r->unreadable += !exists;
		if (holds && gap)
			ash_report_text(r, GAP);
		if (holds)
			put_table_row(r, t, &columns, row, value, ns);
		gap = !holds;
	}
	if (gap)
		ash_report_text(r, GAP);
}

#define SAMPLED_CELLS \
	{"prof_live_requested", 21, .kind = CELL_SAMPLED}, {"prof_live_count", 17, .kind = CELL_SAMPLED}, \
		{"prof_accum_requested", 21, .kind = CELL_SAMPLED}, \
	{ \
		"prof_accum_count", 17, .kind = CELL_SAMPLED \
	}

/* The profiler's four numbers from `value` on. */
static void complete_sampled(const struct table *t, unsigned row, uint64_t *value)
{
	struct stats_sampled s = {0};

	if (t->sampled)
		s = ash_stats_sampled(t->of, row);
	value[0] = s.live_requested;
	value[1] = s.live_count;
	value[2] = s.accum_requested;
	value[3] = s.accum_count;
}

enum {
	BIN_SIZE,
	BIN_INDEX,
	BIN_ALLOCATED,
	BIN_SAMPLED = 6,
	BIN_CURREGS = 11,
	BIN_CURSLABS,
	BIN_REGS = 14,
	BIN_PAGES,
	BIN_UTIL,
	BIN_SLABS = 19,
	BIN_CELLS = 21
};

static const struct cell bin_cells[BIN_CELLS] = {
	[BIN_SIZE] = {"size", 20, 0, CELL_CLASS, "size", STATS_SIZE},
	{"ind", 4, .kind = CELL_COMPUTED},
	{"allocated", 13, .kind = CELL_COMPUTED},
	{"nmalloc", 13, 8, CELL_ARENA, "nmalloc", STATS_SIZE},
	{"ndalloc", 13, 8, CELL_ARENA, "ndalloc", STATS_SIZE},
	{"nrequests", 13, 10, CELL_ARENA, "nrequests", STATS_SIZE},
	[BIN_SAMPLED] = SAMPLED_CELLS,
	{"nshards", 9, 0, CELL_CLASS, "nshards", STATS_UNSIGNED},
	[BIN_CURREGS] = {"curregs", 13, 0, CELL_ARENA, "curregs", STATS_SIZE},
	[BIN_CURSLABS] = {"curslabs", 13, 0, CELL_ARENA, "curslabs", STATS_SIZE},
	{"nonfull_slabs", 15, 0, CELL_ARENA, "nonfull_slabs", STATS_SIZE},
	[BIN_REGS] = {"regs", 5, 0, CELL_CLASS, "nregs", STATS_UNSIGNED},
	[BIN_PAGES] = {"pgs", 4, 0, CELL_CLASS, "slab_size", STATS_SIZE},
	[BIN_UTIL] = {"util", 7, .kind = CELL_SHARE},
	{"nfills", 13, 8, CELL_ARENA, "nfills", STATS_SIZE},
	{"nflushes", 13, 8, CELL_ARENA, "nflushes", STATS_SIZE},
	[BIN_SLABS] = {"nslabs", 13, 0, CELL_ARENA, "nslabs", STATS_SIZE},
	{"nreslabs", 13, 8, CELL_ARENA, "nreslabs", STATS_SIZE},
};

/* The counters are read one by one: in a process that runs, more may be in use than there is room for. */
static uint64_t share(uint64_t part, uint64_t whole)
{
	return part < whole ? part * 1000 / whole : 1000;
}

static bool bin_complete(const struct table *t, unsigned row, uint64_t v[CELLS_MAX])
{
	v[BIN_INDEX] = row;
	v[BIN_ALLOCATED] = v[BIN_CURREGS] * v[BIN_SIZE];
	complete_sampled(t, row, &v[BIN_SAMPLED]);
	v[BIN_PAGES] /= t->page;
	v[BIN_UTIL] = share(v[BIN_CURREGS], v[BIN_REGS] * v[BIN_CURSLABS]);
	return v[BIN_SLABS] != 0;
}

enum { LARGE_SIZE, LARGE_INDEX, LARGE_ALLOCATED, LARGE_REQUESTS = 5, LARGE_SAMPLED, LARGE_CURRENT = 10, LARGE_CELLS };

static const struct cell large_cells[LARGE_CELLS] = {
	[LARGE_SIZE] = {"size", 20, 0, CELL_CLASS, "size", STATS_SIZE},
	{"ind", 4, .kind = CELL_COMPUTED},
	{"allocated", 13, .kind = CELL_COMPUTED},
	{"nmalloc", 13, 8, CELL_ARENA, "nmalloc", STATS_SIZE},
	{"ndalloc", 13, 8, CELL_ARENA, "ndalloc", STATS_SIZE},
	[LARGE_REQUESTS] = {"nrequests", 13, 8, CELL_ARENA, "nrequests", STATS_SIZE},
	[LARGE_SAMPLED] = SAMPLED_CELLS,
	[LARGE_CURRENT] = {"curlextents", 13, 0, CELL_ARENA, "curlextents", STATS_SIZE},
};

static bool large_complete(const struct table *t, unsigned row, uint64_t v[CELLS_MAX])
{
	v[LARGE_INDEX] = t->first + row;
	v[LARGE_ALLOCATED] = v[LARGE_CURRENT] * v[LARGE_SIZE];
	complete_sampled(t, row, &v[LARGE_SAMPLED]);
	return v[LARGE_REQUESTS] != 0;
}

/* The sizes by which free memory is told: four for each doubling of pages. */
static uint64_t page_class_size(uint64_t page, unsigned row)
{
	unsigned doublings = row / 4, quarter = row % 4;

	return doublings ? page * (quarter + 5) << (doublings - 1) : page * (quarter + 1);
}

static const struct cell extent_cells[] = {
	{"size", 20, .kind = CELL_COMPUTED},
	{"ind", 4, .kind = CELL_COMPUTED},
	{"ndirty", 13, 0, CELL_ARENA, "ndirty", STATS_SIZE},
	{"dirty", 13, 0, CELL_ARENA, "dirty_bytes", STATS_SIZE},
	{"nmuzzy", 13, 0, CELL_ARENA, "nmuzzy", STATS_SIZE},
	{"muzzy", 13, 0, CELL_ARENA, "muzzy_bytes", STATS_SIZE},
	{"nretained", 13, 0, CELL_ARENA, "nretained", STATS_SIZE},
	{"retained", 13, 0, CELL_ARENA, "retained_bytes", STATS_SIZE},
	{"ntotal", 13, .kind = CELL_COMPUTED},
	{"total", 13, .kind = CELL_COMPUTED},
};

static bool extent_complete(const struct table *t, unsigned row, uint64_t v[CELLS_MAX])
{
	v[0] = page_class_size(t->page, row);
	v[1] = row;
	v[8] = v[2] + v[4] + v[6];
	v[9] = v[3] + v[5] + v[7];
	return v[8] != 0;
}

static void put_bins(struct report *r, const char *of, bool sampled, uint64_t page, uint64_t ns)
{
	const struct table bins = {
		.label = "bins:",
		.of = "bins",
		.of_class = "arenas.bin",
		.count = (unsigned)ash_stats_number(r, STATS_UNSIGNED, "arenas.nbins"),
		.index = 4,
		.sampled = sampled,
		.mutex = r->wants.mutexes,
		.page = page,
		.cells = BIN_CELLS,
		.cell = bin_cells,
		.complete = bin_complete,
	};

	put_table(r, &bins, of, ns);
}

static void put_large(struct report *r, const char *of, bool sampled, uint64_t ns)
{
	const struct table large = {
		.label = "large:",
		.of = "lextents",
		.of_class = "arenas.lextent",
		.count = (unsigned)ash_stats_number(r, STATS_UNSIGNED, "arenas.nlextents"),
		.index = 4,
		.sampled = sampled,
		.first = ash_stats_number(r, STATS_UNSIGNED, "arenas.nbins"),
		.cells = LARGE_CELLS,
		.cell = large_cells,
		.complete = large_complete,
	};

	put_table(r, &large, of, ns);
}

static void put_extents(struct report *r, const char *of, uint64_t page)
{
	const struct table extents = {
		.label = "extents:",
		.of = "extents",
		.count = UINT_MAX,
		.index = 4,
		.page = page,
		.cells = sizeof(extent_cells) / sizeof(*extent_cells),
		.cell = extent_cells,
		.complete = extent_complete,
	};

	put_table(r, &extents, of, 0);
}

/* ---- an arena: of mechanisms that ashlar does not have; all zero there */

#define HUGE_PAGES 512 /* small pages in a huge one */

static const struct cell slab_cells[] = {
	{"size", 20, .kind = CELL_COMPUTED},
	{"ind", 4, .kind = CELL_COMPUTED},
	{"npageslabs_huge", 16, 0, CELL_ARENA, "npageslabs_huge", STATS_SIZE},
	{"nactive_huge", 16, 0, CELL_ARENA, "nactive_huge", STATS_SIZE},
	{"ndirty_huge", 16, 0, CELL_ARENA, "ndirty_huge", STATS_SIZE},
	{"npageslabs_nonhuge", 20, 0, CELL_ARENA, "npageslabs_nonhuge", STATS_SIZE},
	{"nactive_nonhuge", 20, 0, CELL_ARENA, "nactive_nonhuge", STATS_SIZE},
	{"ndirty_nonhuge", 20, 0, CELL_ARENA, "ndirty_nonhuge", STATS_SIZE},
	{"nretained_nonhuge", 20, .kind = CELL_COMPUTED},
};

static bool slab_complete(const struct table *t, unsigned row, uint64_t v[CELLS_MAX])
{
	v[0] = page_class_size(t->page, row);
	v[1] = row;
	v[8] = v[5] * HUGE_PAGES - v[6] - v[7];
	return v[2] || v[5];
}

static void put_slabs(struct report *r, const char *of, const char *which)
{
	static const char *const key[] = {"npageslabs", "nactive", "ndirty"};
	size_t huge[3], nonhuge[3];

	ash_report_put(r, "  In %s slabs:\n", which);
	for (unsigned i = 0; i < 3; i++) {
		huge[i] = ash_stats_number(r, STATS_SIZE, "%shpa_shard.%s_slabs.%s_huge", of, which, key[i]);
		nonhuge[i] = ash_stats_number(r, STATS_SIZE, "%shpa_shard.%s_slabs.%s_nonhuge", of, which, key[i]);
		ash_report_put(r, "      %s: %zu huge, %zu nonhuge%s\n", key[i], huge[i], nonhuge[i], i ? " " : "");
	}
	ash_report_put(r, "      nretained: %zu huge, %zu nonhuge \n", huge[0] * HUGE_PAGES - huge[1] - huge[2],
		       nonhuge[0] * HUGE_PAGES - nonhuge[1] - nonhuge[2]);
}

static void put_huge_pages(struct report *r, const char *of, uint64_t page, uint64_t ns)
{
	static const struct {
		const char *label, *key;
	} count[] = {{"Purge passes", "npurge_passes"},
		     {"Purges", "npurges"},
		     {"Hugeifies", "nhugifies"},
		     {"Dehugifies", "ndehugifies"}};
	const struct table nonfull = {
		.label = "",
		.of = "hpa_shard.nonfull_slabs",
		.count = UINT_MAX,
		.index = 5,
		.page = page,
		.cells = sizeof(slab_cells) / sizeof(*slab_cells),
		.cell = slab_cells,
		.complete = slab_complete,
	};

	ash_report_put(r, "Bytes in small extent cache: %zu\nHPA shard stats:\n",
		       (size_t)ash_stats_number(r, STATS_SIZE, "%shpa_sec_bytes", of));
	for (unsigned i = 0; i < sizeof(count) / sizeof(*count); i++) {
		uint64_t n = ash_stats_number(r, STATS_SIZE, "%shpa_shard.%s", of, count[i].key);

		ash_report_put(r, "  %s: %zu (%zu / sec)\n", count[i].label, (size_t)n, (size_t)rate(n, ns));
	}
	ash_report_text(r, "\n");
	put_slabs(r, of, "full");
	put_slabs(r, of, "empty");
	ash_report_text(r, "\n");
	put_table(r, &nonfull, of, ns);
}

/* ---- all of it */

static void put_heading(struct report *r, unsigned arena)
{
	char name[STATS_ARENA_NAME];

	if (arena == STATS_ALL)
		ash_report_text(r, "Merged arenas stats:\n");
	else if (arena == STATS_DESTROYED)
		ash_report_text(r, "Destroyed arenas stats:\n");
	else
		ash_report_put(r, "arenas[%u]:\n", arena);
	if (arena < STATS_ALL && ash_stats_arena_name(arena, name))
		ash_report_put(r, "name: \"%s\"\n", name);
}

static void put_arena(struct report *r, unsigned arena)
{
	bool sampled = arena == STATS_ALL && ash_stats_number(r, STATS_BOOL, "opt.prof_stats");
	uint64_t page = size_max(ash_stats_number(r, STATS_SIZE, "arenas.page"), 1), ns;
	union stats_value dss;
	char of[STATS_NAME], name[STATS_NAME];

	ash_format(of, sizeof(of), "stats.arenas.%u.", arena);
	ash_format(name, sizeof(name), "%sdss", of);
	ns = ash_stats_number(r, STATS_SIZE, "%suptime", of);
	r->unreadable += !ash_stats_read(name, STATS_STRING, &dss);
	put_heading(r, arena);
	ash_report_put(r, "assigned threads: %u\nuptime: %zu\ndss allocation precedence: \"%s\"\n",
		       (unsigned)ash_stats_number(r, STATS_UNSIGNED, "%snthreads", of), (size_t)ns, dss.text);
	ash_report_text(r, "decaying:  time       npages       sweeps     madvises       purged\n");
	put_decay(r, of, "dirty");
	put_decay(r, of, "muzzy");
	put_small_and_large(r, of, ns);
	put_sizes(r, of, page);
	if (r->wants.mutexes)
		put_mutexes(r, of, ash_stats_arena_mutexes, ns);
	if (r->wants.bins)
		put_bins(r, of, sampled, page, ns);
	if (r->wants.large)
		put_large(r, of, sampled, ns);
	if (r->wants.extents)
		put_extents(r, of, page);
	if (r->wants.huge_pages)
		put_huge_pages(r, of, page, ns);
}

void ash_stats_text(struct report *r)
{
	ash_report_text(r, "___ Begin jemalloc statistics ___\n");
	if (r->wants.general)
		put_general(r);
	put_totals(r);
	ash_stats_each_arena(r, put_arena);
	if (r->wants.general)
		ash_stats_own(r);
	ash_report_text(r, "--- End jemalloc statistics ---\n");
}
