/* SPDX-License-Identifier: MIT */
#include "alloc/stats_json.h"

#include <ashlar/ashlar.h>
#include <limits.h>
#include <string.h>

#include "alloc/stats_rows.h"
#include "base/print.h"

/* ---- the grammar */

static void element(struct report *r)
{
	if (r->comma)
		ash_report_text(r, ",");
	r->comma = true;
}

/* `bracket` is { or [. */
static void open_nested(struct report *r, const char *bracket)
{
	ash_report_text(r, bracket);
	r->comma = false;
}

static void close_nested(struct report *r, const char *bracket)
{
	ash_report_text(r, bracket);
	r->comma = true;
}

/* Bytes of the UTF-8 character at p; 0: there is none. Overlong forms and halves of pairs are none. */
static size_t utf8_length(const unsigned char *p)
{
	unsigned first = *p, second = p[1];
	size_t n = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : (first & 0xf0) == 0xe0 ? 3 : 4;

	if (n == 4 && (first < 0xf0 || first > 0xf4))
		return 0;
	if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) || (first == 0xf0 && second < 0x90) ||
	    (first == 0xf4 && second >= 0x90))
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

static void put_character(struct report *r, const char *p, size_t n)
{
	char text[8] = {0};

	memcpy(text, p, n);
	if (n == 1 && (*p == '"' || *p == '\\'))
		ash_report_put(r, "\\%c", *p);
	else if (n == 1 && ((unsigned char)*p < 0x20 || *p == 0x7f))
		ash_report_put(r, "\\u00%c%c", "01234567"[*p >> 4], "0123456789abcdef"[*p & 15]);
	else if (n == 0)
		ash_report_text(r, "\\ufffd");
	else
		ash_report_text(r, text);
}

static void put_string(struct report *r, const char *text)
{
	size_t n;

	ash_report_text(r, "\"");
	for (const char *p = text; *p; p += n ? n : 1) {
		n = utf8_length((const unsigned char *)p);
		put_character(r, p, n);
	}
	ash_report_text(r, "\"");
}

static void put_key(struct report *r, const char *key)
{
	element(r);
	put_string(r, key);
	ash_report_text(r, ":");
}

static void open_object(struct report *r, const char *key)
{
	put_key(r, key);
	open_nested(r, "{");
}

static void open_array(struct report *r, const char *key)
{
	put_key(r, key);
	open_nested(r, "[");
}

static void put_number(struct report *r, const char *key, uint64_t number)
{
	put_key(r, key);
	ash_report_put(r, "%zu", (size_t)number);
}

static void put_value(struct report *r, const char *key, enum stats_type type, const union stats_value *value)
{
	char digits[STATS_FIXED_TEXT];

	put_key(r, key);
	switch (type) {
	case STATS_BOOL:
		ash_report_text(r, value->number ? "true" : "false");
		break;
	case STATS_STRING:
		put_string(r, value->text);
		break;
	case STATS_SIGNED:
		ash_report_put(r, "%zd", (ptrdiff_t)value->with_sign);
		break;
	case STATS_FIXED:
		ash_stats_fixed(digits, (uint32_t)value->number);
		put_string(r, digits);
		break;
	default:
		ash_report_put(r, "%zu", (size_t)value->number);
		break;
	}
}

/* One row of a section or of an arena: `prefix` and the row's name are the name of the value. */
static void put_row(struct report *r, const char *prefix, const struct stats_row *row)
{
	union stats_value value;
	bool answers = ash_stats_row_read(r, prefix, row, &value);

	if (answers || !row->optional)
		put_value(r, row->key, row->type, &value);
}

static void put_rows(struct report *r, const char *prefix, const struct stats_row *rows)
{
	for (const struct stats_row *row = rows; row->key; row++)
		put_row(r, prefix, row);
}

/* ---- the process */

static void put_section(struct report *r, const char *key, const char *prefix, const struct stats_row *rows)
{
	open_object(r, key);
	put_rows(r, prefix, rows);
	close_nested(r, "}");
}

static void put_classes(struct report *r, const char *key, const char *count, const struct stats_row *rows)
{
	unsigned n = (unsigned)ash_stats_number(r, STATS_UNSIGNED, "%s", count);
	char prefix[STATS_NAME];

	open_array(r, key);
	for (unsigned i = 0; i < n; i++) {
		element(r);
		open_nested(r, "{");
		ash_format(prefix, sizeof(prefix), "arenas.%s.%u.", key, i);
		put_rows(r, prefix, rows);
		close_nested(r, "}");
	}
	close_nested(r, "]");
}

static void put_arenas_section(struct report *r)
{
	static const struct stats_row rows[] = {
		{"narenas", .type = STATS_UNSIGNED},
		{"dirty_decay_ms", .type = STATS_SIGNED},
		{"muzzy_decay_ms", .type = STATS_SIGNED},
		{"quantum", .type = STATS_SIZE},
		{"page", .type = STATS_SIZE},
		{"hugepage", .type = STATS_SIZE, .optional = true},
		{"tcache_max", .type = STATS_SIZE},
		{"nbins", .type = STATS_UNSIGNED},
		{"nhbins", .type = STATS_UNSIGNED},
		{.key = NULL},
	};
	static const struct stats_row bin[] = {{"size", .type = STATS_SIZE},
					       {"nregs", .type = STATS_UNSIGNED},
					       {"slab_size", .type = STATS_SIZE},
					       {"nshards", .type = STATS_UNSIGNED},
					       {.key = NULL}};
	static const struct stats_row lextents = {"nlextents", .type = STATS_UNSIGNED};
	static const struct stats_row lextent[] = {{"size", .type = STATS_SIZE}, {.key = NULL}};

	open_object(r, "arenas");
	put_rows(r, "arenas.", rows);
	put_classes(r, "bin", "arenas.nbins", bin);
	put_row(r, "arenas.", &lextents);
	put_classes(r, "lextent", "arenas.nlextents", lextent);
	close_nested(r, "}");
}

static void put_general(struct report *r)
{
	static const struct stats_row version = {"version", .type = STATS_STRING};

	put_row(r, "", &version);
	put_section(r, "config", "config.", ash_stats_config);
	put_section(r, "opt", "opt.", ash_stats_options);
	put_section(r, "prof", "prof.", ash_stats_profiling);
	put_arenas_section(r);
}

static void put_counters(struct report *r, const char *prefix)
{
	for (unsigned c = 0; c < STATS_COUNTERS; c++) {
		const struct stats_row row = {ash_stats_counters[c].key, .type = ash_stats_counters[c].type};

		put_row(r, prefix, &row);
	}
}

/* `of` begins the names of the mutexes: "stats." or that of an arena. */
static void put_mutexes(struct report *r, const char *of, const char *const *names)
{
	char prefix[STATS_NAME];

	open_object(r, "mutexes");
	for (; *names; names++) {
		open_object(r, *names);
		ash_format(prefix, sizeof(prefix), "%smutexes.%s.", of, *names);
		put_counters(r, prefix);
		close_nested(r, "}");
	}
	close_nested(r, "}");
}

static void put_stats(struct report *r)
{
	static const struct stats_row rows[] = {
		{"allocated", .type = STATS_SIZE},
		{"active", .type = STATS_SIZE},
		{"metadata", .type = STATS_SIZE},
		{"metadata_thp", .type = STATS_SIZE},
		{"metadata_edata", .type = STATS_SIZE, .optional = true},
		{"metadata_rtree", .type = STATS_SIZE, .optional = true},
		{"resident", .type = STATS_SIZE},
		{"mapped", .type = STATS_SIZE},
		{"retained", .type = STATS_SIZE},
		{"zero_reallocs", .type = STATS_SIZE},
		{.key = NULL},
	};
	static const struct stats_row background[] = {{"num_threads", .type = STATS_SIZE},
						      {"num_runs", .type = STATS_SIZE},
						      {"run_interval", .type = STATS_SIZE},
						      {.key = NULL}};

	open_object(r, "stats");
	put_rows(r, "stats.", rows);
	put_section(r, "background_thread", "stats.background_thread.", background);
	if (r->wants.mutexes)
		put_mutexes(r, "stats.", ash_stats_mutexes);
	close_nested(r, "}");
}

/* ---- an arena */

static const struct stats_row arena_rows[] = {
	{"nthreads", .type = STATS_UNSIGNED},
	{"uptime_ns", .type = STATS_SIZE, .name = "uptime"},
	{"dss", .type = STATS_STRING},
	{"dirty_decay_ms", .type = STATS_SIGNED},
	{"muzzy_decay_ms", .type = STATS_SIGNED},
	{"pactive", .type = STATS_SIZE},
	{"pdirty", .type = STATS_SIZE},
	{"pmuzzy", .type = STATS_SIZE},
	{"dirty_npurge", .type = STATS_SIZE},
	{"dirty_nmadvise", .type = STATS_SIZE},
	{"dirty_purged", .type = STATS_SIZE},
	{"muzzy_npurge", .type = STATS_SIZE},
	{"muzzy_nmadvise", .type = STATS_SIZE},
	{"muzzy_purged", .type = STATS_SIZE},
	{.key = NULL},
};

static const struct stats_row arena_rows_behind[] = {
	{"mapped", .type = STATS_SIZE},
	{"retained", .type = STATS_SIZE},
	{"base", .type = STATS_SIZE},
	{"internal", .type = STATS_SIZE},
	{"metadata_thp", .type = STATS_SIZE},
	{"metadata_edata", .type = STATS_SIZE, .optional = true},
	{"metadata_rtree", .type = STATS_SIZE, .optional = true},
	{"tcache_bytes", .type = STATS_SIZE},
	{"tcache_stashed_bytes", .type = STATS_SIZE},
	{"resident", .type = STATS_SIZE},
	{"abandoned_vm", .type = STATS_SIZE},
	{"extent_avail", .type = STATS_SIZE},
	{.key = NULL},
};

/* A table of an arena: an object for each index, with a number for each column. */
#define COLUMNS_MAX 9
#define UNTIL_NONE UINT_MAX
struct table {
	const char *key;
	const struct stats_row *rows;
	unsigned count;          /* UNTIL_NONE: as many as answer */
	unsigned index;          /* the component of the names that runs */
	bool mutex;              /* the counters of one too */
	bool sampled;            /* what the profiler saw, too: */
	unsigned sampled_before; /* this row */
};

struct table_columns {
	struct stats_column row[COLUMNS_MAX], counter[STATS_COUNTERS];
};

static void columns_find(struct table_columns *columns, const struct table *t, const char *prefix)
{
	for (unsigned c = 0; t->rows[c].key; c++)
		ash_stats_column(&columns->row[c], t->rows[c].type, "%s%s", prefix, t->rows[c].key);
	for (unsigned c = 0; t->mutex && c < STATS_COUNTERS; c++)
		ash_stats_column(&columns->counter[c], ash_stats_counters[c].type, "%smutex.%s", prefix,
				 ash_stats_counters[c].key);
}

static void put_cell(struct report *r, const char *key, const struct stats_column *column, unsigned at, unsigned index)
{
	uint64_t number;

	r->unreadable += !ash_stats_column_read(column, at, index, &number);
	put_number(r, key, number);
}

static void put_sampled(struct report *r, const char *kind, unsigned index)
{
	struct stats_sampled s = ash_stats_sampled(kind, index);

	put_number(r, "prof_live_requested", s.live_requested);
	put_number(r, "prof_live_count", s.live_count);
	put_number(r, "prof_accum_requested", s.accum_requested);
	put_number(r, "prof_accum_count", s.accum_count);
}

static void put_table_element(struct report *r, const struct table *t, const struct table_columns *columns,
			      unsigned index)
{
	element(r);
	open_nested(r, "{");
	for (unsigned c = 0; t->rows[c].key; c++) {
		if (t->sampled && c == t->sampled_before)
			put_sampled(r, t->key, index);
		put_cell(r, t->rows[c].key, &columns->row[c], t->index, index);
	}
	if (t->mutex) {
		open_object(r, "mutex");
		for (unsigned c = 0; c < STATS_COUNTERS; c++)
			put_cell(r, ash_stats_counters[c].key, &columns->counter[c], t->index, index);
		close_nested(r, "}");
	}
	close_nested(r, "}");
}

/* `of` begins the names of the table's columns, with an index 0. */
static void put_table(struct report *r, const struct table *t, const char *of)
{
	struct table_columns columns;
	char prefix[STATS_NAME];
	uint64_t number;

	ash_format(prefix, sizeof(prefix), "%s%s.0.", of, t->key);
	columns_find(&columns, t, prefix);
	open_array(r, t->key);
	for (unsigned i = 0; i < t->count; i++) {
		if (t->count == UNTIL_NONE && !ash_stats_column_read(&columns.row[0], t->index, i, &number))
			break;
		put_table_element(r, t, &columns, i);
	}
	close_nested(r, "]");
}

static void put_bins(struct report *r, unsigned arena, const char *of)
{
	static const struct stats_row rows[] = {
		{"nmalloc", .type = STATS_SIZE},       {"ndalloc", .type = STATS_SIZE},
		{"curregs", .type = STATS_SIZE},       {"nrequests", .type = STATS_SIZE},
		{"nfills", .type = STATS_SIZE},        {"nflushes", .type = STATS_SIZE},
		{"nreslabs", .type = STATS_SIZE},      {"curslabs", .type = STATS_SIZE},
		{"nonfull_slabs", .type = STATS_SIZE}, {.key = NULL},
	};
	const struct table bins = {
		.key = "bins",
		.rows = rows,
		.count = (unsigned)ash_stats_number(r, STATS_UNSIGNED, "arenas.nbins"),
		.index = 4,
		.mutex = r->wants.mutexes,
		.sampled = arena == STATS_ALL,
		.sampled_before = 4,
	};

	put_table(r, &bins, of);
}

static void put_large(struct report *r, unsigned arena, const char *of)
{
	static const struct stats_row rows[] = {{"curlextents", .type = STATS_SIZE}, {.key = NULL}};
	const struct table lextents = {
		.key = "lextents",
		.rows = rows,
		.count = (unsigned)ash_stats_number(r, STATS_UNSIGNED, "arenas.nlextents"),
		.index = 4,
		.sampled = arena == STATS_ALL,
	};

	put_table(r, &lextents, of);
}

static void put_extents(struct report *r, const char *of)
{
	static const struct stats_row rows[] = {
		{"ndirty", .type = STATS_SIZE},
		{"nmuzzy", .type = STATS_SIZE},
		{"nretained", .type = STATS_SIZE},
		{"dirty_bytes", .type = STATS_SIZE},
		{"muzzy_bytes", .type = STATS_SIZE},
		{"retained_bytes", .type = STATS_SIZE},
		{.key = NULL},
	};
	static const struct table extents = {.key = "extents", .rows = rows, .count = UNTIL_NONE, .index = 4};

	put_table(r, &extents, of);
}

/* Of mechanisms that ashlar does not have: all zero. */
static void put_huge_pages(struct report *r, const char *of)
{
	static const struct stats_row sec = {"sec_bytes", .type = STATS_SIZE, .name = "hpa_sec_bytes"};
	static const struct stats_row shard[] = {{"npurge_passes", .type = STATS_SIZE},
						 {"npurges", .type = STATS_SIZE},
						 {"nhugifies", .type = STATS_SIZE},
						 {"ndehugifies", .type = STATS_SIZE},
						 {.key = NULL}};
	static const struct stats_row slabs[] = {
		{"npageslabs_huge", .type = STATS_SIZE},
		{"nactive_huge", .type = STATS_SIZE},
		{"ndirty_huge", .type = STATS_SIZE},
		{"npageslabs_nonhuge", .type = STATS_SIZE},
		{"nactive_nonhuge", .type = STATS_SIZE},
		{"ndirty_nonhuge", .type = STATS_SIZE},
		{.key = NULL},
	};
	static const struct table nonfull = {.key = "nonfull_slabs", .rows = slabs, .count = UNTIL_NONE, .index = 5};
	char prefix[STATS_NAME];

	put_row(r, of, &sec);
	open_object(r, "hpa_shard");
	ash_format(prefix, sizeof(prefix), "%shpa_shard.", of);
	put_rows(r, prefix, shard);
	ash_format(prefix, sizeof(prefix), "%shpa_shard.full_slabs.", of);
	put_section(r, "full_slabs", prefix, slabs);
	ash_format(prefix, sizeof(prefix), "%shpa_shard.empty_slabs.", of);
	put_section(r, "empty_slabs", prefix, slabs);
	ash_format(prefix, sizeof(prefix), "%shpa_shard.", of);
	put_table(r, &nonfull, prefix);
	close_nested(r, "}");
}

static void put_totals(struct report *r, const char *key, const char *of)
{
	static const struct stats_row rows[] = {
		{"allocated", .type = STATS_SIZE},
		{"nmalloc", .type = STATS_SIZE},
		{"ndalloc", .type = STATS_SIZE},
		{"nrequests", .type = STATS_SIZE},
		{"nfills", .type = STATS_SIZE},
		{"nflushes", .type = STATS_SIZE},
		{.key = NULL},
	};
	char prefix[STATS_NAME];

	ash_format(prefix, sizeof(prefix), "%s%s.", of, key);
	put_section(r, key, prefix, rows);
}

static void put_arena_name(struct report *r, unsigned arena)
{
	char buffer[STATS_ARENA_NAME];

	if (ash_stats_arena_name(arena, buffer)) {
		put_key(r, "name");
		put_string(r, buffer);
	}
}

static void put_arena(struct report *r, unsigned arena)
{
	char key[16], of[STATS_NAME];

	ash_format(of, sizeof(of), "stats.arenas.%u.", arena);
	ash_format(key, sizeof(key), "%u", arena);
	open_object(r, arena == STATS_ALL ? "merged" : arena == STATS_DESTROYED ? "destroyed" : key);
	put_arena_name(r, arena);
	put_rows(r, of, arena_rows);
	put_totals(r, "small", of);
	put_totals(r, "large", of);
	put_rows(r, of, arena_rows_behind);
	if (r->wants.mutexes)
		put_mutexes(r, of, ash_stats_arena_mutexes);
	if (r->wants.bins)
		put_bins(r, arena, of);
	if (r->wants.large)
		put_large(r, arena, of);
	if (r->wants.extents)
		put_extents(r, of);
	if (r->wants.huge_pages)
		put_huge_pages(r, of);
	close_nested(r, "}");
}

/* ---- what ashlar adds */

static void put_heap(struct report *r)
{
	struct ashlar_stats s;

	ashlar_stats(&s, sizeof(s));
	put_number(r, "held", s.held);
	put_number(r, "in_use", s.in_use);
	put_number(r, "small_in_use", s.small_in_use);
	put_number(r, "large_in_use", s.large_in_use);
	put_number(r, "cached", s.cached);
	put_number(r, "slab", s.slab);
	put_number(r, "dirty", s.dirty);
	put_number(r, "metadata", s.metadata);
	put_number(r, "reserved", s.reserved);
	put_number(r, "purged", s.purged);
	put_number(r, "purge_calls", s.purge_calls);
	put_number(r, "purge_ns", s.purge_ns);
	put_number(r, "narenas", s.narenas);
	put_number(r, "nthreads", s.nthreads);
}

static void put_state(struct report *r, const char *key, const struct ashlar_state *state)
{
	open_object(r, key);
	put_number(r, "bytes", state->bytes);
	if (state->resident != ASHLAR_UNKNOWN)
		put_number(r, "resident", state->resident);
	close_nested(r, "}");
}

static void put_pages(struct report *r)
{
	struct ashlar_pages p;

	ashlar_pages(&p, sizeof(p));
	open_object(r, "pages");
	for (unsigned i = 0; i < STATS_STATES; i++)
		put_state(r, ash_stats_states[i], ash_stats_state(&p, i));
	close_nested(r, "}");
	put_number(r, "committed", p.committed);
	put_number(r, "touched", p.touched);
	put_key(r, "residual");
	ash_report_put(r, "%zd", ash_stats_residual(&p));
}

static void put_own(struct report *r)
{
	open_object(r, "ashlar");
	put_key(r, "version");
	put_string(r, ashlar_version());
	put_heap(r);
	put_pages(r);
	put_number(r, "unreadable", r->unreadable);
	close_nested(r, "}");
}

void ash_stats_json(struct report *r)
{
	open_nested(r, "{");
	open_object(r, "jemalloc");
	if (r->wants.general)
		put_general(r);
	put_stats(r);
	if (r->wants.merged || r->wants.destroyed || r->wants.arenas) {
		open_object(r, "stats.arenas");
		ash_stats_each_arena(r, put_arena);
		close_nested(r, "}");
	}
	close_nested(r, "}");
	if (r->wants.general)
		put_own(r);
	close_nested(r, "}");
}
