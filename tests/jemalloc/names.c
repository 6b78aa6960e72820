/* SPDX-License-Identifier: MIT
 *
 * Every name of names.txt: its value and its errors. If this fails, a program
 * that reads jemalloc's tree (redis, BIND, a metrics exporter) gets an error, a
 * value of another size or meaning, or is allowed what it was refused before.
 */
#include "contract.h"

#define MAX_ROWS 600

struct row {
	char kind, access[8], type[9], needs[9], since[6], name[300], value[24], ours[24], reason[32];
};

static struct row rows[MAX_ROWS];
static size_t n_rows;
static bool profiler, profiling;

/* One row for each choice in the first {a,b}, then for each in the second. */
static void add(const struct row *row)
{
	const char *open = strchr(row->name, '{');
	if (!open) {
		if (n_rows == MAX_ROWS)
			DIE("more than %d names", MAX_ROWS);
		rows[n_rows++] = *row;
		return;
	}
	const char *end = strchr(open, '}');
	for (const char *word = open + 1; word < end; word += strcspn(word, ",}") + 1) {
		struct row one = *row;
		snprintf(one.name, sizeof(one.name), "%.*s%.*s%s", (int)(open - row->name), row->name,
			 (int)strcspn(word, ",}"), word, end + 1);
		add(&one);
	}
}

/* The index components of a name become 0. */
static void choose_indices(char *name)
{
	for (char *p; (p = strchr(name, '<'));) {
		*p = '0';
		memmove(p + 1, p + 3, strlen(p + 3) + 1);
	}
}

static void read_rows(const char *path)
{
	char line[512];
	FILE *file = fopen(path, "r");
	if (!file)
		DIE("%s: errno %d", path, errno);
	while (fgets(line, sizeof(line), file)) {
		struct row row = {0};
		if (line[0] == '#')
			continue;
		int n = sscanf(line, "%c %7s %8s %8s %5s %299s %23s %23s %31s", &row.kind, row.access, row.type,
			       row.needs, row.since, row.name, row.value, row.ours, row.reason);
		if (n != 7 && n != 9)
			DIE("%s: not a row: %s", path, line);
		choose_indices(row.name);
		add(&row);
	}
	fclose(file);
}

static bool is(const char *word, const char *other)
{
	return strcmp(word, other) == 0;
}

static size_t size_of(const struct row *row)
{
	if (is(row->type, "bool"))
		return 1;
	if (is(row->type, "unsigned") || is(row->type, "u32"))
		return 4;
	if (is(row->type, "bytes16"))
		return 16;
	return is(row->type, "none") || is(row->type, "other") ? 0 : 8;
}

/* What this library is built or started without. */
static bool absent(const struct row *row)
{
	if (is(row->since, ours ? "gone" : "5.3.1"))
		return true;
	if (is(row->needs, "built"))
		return !profiler;
	if (is(row->needs, "on"))
		return !profiling;
	if (is(row->needs, "xmalloc") || is(row->needs, "utrace"))
		return !ctl_bool(NAME("config.%s", row->needs));
	return is(row->needs, "set") || (is(row->needs, "flag") && !ours);
}

static bool special(const struct row *row)
{
	return is(row->access, "special");
}

static bool readable(const struct row *row)
{
	return row->access[0] == 'r' && size_of(row) != 0;
}

static void the_table_is_whole(void)
{
	size_t counts[3] = {0};
	for (struct row *row = rows; row < rows + n_rows; row++) {
		counts[row->kind == 'M' ? 0 : row->kind == 'N' ? 1 : 2]++;
		for (struct row *other = rows; other < rows + n_rows; other++)
			CHECK_CASE(row == other || !is(row->name, other->name), "%s is there twice", row->name);
	}
	CHECK_EQUAL(counts[0], 158);
	CHECK_EQUAL(counts[1], 194);
	CHECK_EQUAL(counts[2], 90);
}

static void absent_names_are_enoent_and_the_others_resolve(void)
{
	for (struct row *row = rows; row < rows + n_rows; row++) {
		size_t mib[8], depth = 8, components = 1;
		for (const char *p = row->name; *p; p++)
			components += *p == '.';
		int rc = mallctlnametomib(row->name, mib, &depth);
		if (absent(row)) {
			char value[64];
			size_t length = sizeof(value);
			CHECK_CASE(mallctl(row->name, value, &length, NULL, 0) == ENOENT, "%s is absent", row->name);
		} else {
			CHECK_CASE(rc == 0 && depth == components, "%s: error %d, depth %zu", row->name, rc, depth);
		}
	}
}

static bool in_range(const char *range, long long value)
{
	char *end;
	long long from = strtoll(range, &end, 0), to = strncmp(end, "..", 2) == 0 ? INT64_MAX : from;
	if (end[0] && end[2])
		to = strtoll(end + 2, NULL, 0);
	return from <= value && value <= to;
}

static bool right_word(const char *expected, const char *word)
{
	size_t length = strlen(expected);
	if (is(expected, "\"\""))
		return *word == 0;
	if (expected[length - 1] == '*')
		return strncmp(word, expected, length - 1) == 0;
	return is(word, expected);
}

static void check_value(const struct row *row, const void *value)
{
	const char *expected = row->reason[0] && ours ? row->ours : row->value;
	if (is(row->type, "string")) {
		const char *word = *(const char *const *)value;
		CHECK_CASE(word && (is(expected, "-") || right_word(expected, word)), "%s is \"%s\", not %s", row->name,
			   word ? word : "(null)", expected);
	} else if (is(row->type, "address")) {
		CHECK_CASE(*(void *const *)value != NULL, "%s is null", row->name);
	} else if (!is(expected, "-") && !is(row->type, "bytes16") && !is(row->type, "pointer")) {
		long long number = 0;
		memcpy(&number, value, size_of(row));
		CHECK_CASE(in_range(expected, number), "%s is %lld, not %s", row->name, number, expected);
	}
}

static void every_readable_name_has_its_value(void)
{
	for (struct row *row = rows; row < rows + n_rows; row++) {
		if (!readable(row) || absent(row))
			continue;
		char value[32] = {0}, again[32] = {0};
		size_t length = size_of(row), mib[8], depth = 8;
		int rc = mallctl(row->name, value, &length, NULL, 0);
		CHECK_CASE(rc == 0 && length == size_of(row), "%s: error %d, %zu bytes", row->name, rc, length);
		if (rc != 0)
			continue;
		check_value(row, value);
		CHECK_EQUAL(mallctlnametomib(row->name, mib, &depth), 0);
		rc = mallctlbymib(mib, depth, again, &length, NULL, 0);
		CHECK_CASE(rc == 0 && memcmp(value, again, sizeof(value)) == 0, "%s by mib: error %d", row->name, rc);
		CHECK_CASE(mallctl(row->name, NULL, &length, NULL, 0) == 0 &&
				   mallctl(row->name, value, NULL, NULL, 0) == 0,
			   "%s: a read of nothing is no error", row->name);
	}
}

static void a_buffer_of_the_wrong_size_is_filled_and_refused(void)
{
	for (struct row *row = rows; row < rows + n_rows; row++) {
		if (!readable(row) || absent(row))
			continue;
		size_t size = size_of(row), length = size;
		unsigned char value[32], wrong[32];
		memset(value, 0xee, sizeof(value));
		memset(wrong, 0xee, sizeof(wrong));
		if (mallctl(row->name, value, &length, NULL, 0) != 0)
			continue;
		length = size - 1;
		int rc = mallctl(row->name, wrong, &length, NULL, 0);
		CHECK_CASE(rc == EINVAL && length == size - 1, "%s, short: error %d, %zu bytes", row->name, rc, length);
		CHECK_CASE(memcmp(wrong, value, size - 1) == 0 && wrong[size - 1] == 0xee,
			   "%s, short: what fits is copied", row->name);
		length = sizeof(wrong);
		rc = mallctl(row->name, wrong, &length, NULL, 0);
		CHECK_CASE(rc == EINVAL && length == size, "%s, long: error %d, %zu bytes", row->name, rc, length);
		CHECK_CASE(memcmp(wrong, value, sizeof(wrong)) == 0, "%s, long: the value is copied", row->name);
	}
}

static void what_is_read_only_refuses_a_value(void)
{
	for (struct row *row = rows; row < rows + n_rows; row++) {
		if (!is(row->access, "ro") || absent(row))
			continue;
		char value[16] = {0};
		CHECK_CASE(mallctl(row->name, NULL, NULL, value, size_of(row)) == EPERM, "%s is written", row->name);
		CHECK_CASE(mallctl(row->name, NULL, NULL, value, 0) == EPERM, "%s is written without a length",
			   row->name);
		CHECK_CASE(mallctl(row->name, NULL, NULL, NULL, 1) == EPERM, "%s is written without a value",
			   row->name);
		size_t length = sizeof(value);
		CHECK_CASE(mallctl(row->name, value, &length, value, 8) == EPERM && length == sizeof(value),
			   "%s is read and written", row->name);
	}
}

static void what_is_write_only_gives_no_value(void)
{
	for (struct row *row = rows; row < rows + n_rows; row++) {
		if (!is(row->access, "wo") || absent(row) || row->kind == 'I')
			continue;
		char value[16] = {0};
		size_t length = size_of(row);
		CHECK_CASE(mallctl(row->name, value, &length, NULL, 0) == EPERM, "%s is read", row->name);
		CHECK_CASE(mallctl(row->name, NULL, &length, NULL, 0) == EPERM, "%s is asked for its length",
			   row->name);
		CHECK_CASE(mallctl(row->name, NULL, NULL, value, size_of(row) + 1) == EINVAL,
			   "%s takes too long a value", row->name);
	}
}

static void a_command_takes_no_value(void)
{
	for (struct row *row = rows; row < rows + n_rows; row++) {
		if (!is(row->access, "cmd") || absent(row))
			continue;
		char value[16] = {0};
		size_t length = 8;
		CHECK_CASE(mallctl(row->name, value, &length, NULL, 0) == EPERM, "%s is read", row->name);
		CHECK_CASE(mallctl(row->name, NULL, NULL, value, 8) == EPERM, "%s is written", row->name);
		CHECK_CASE(mallctl(row->name, NULL, NULL, NULL, 1) == EPERM, "%s is given a length", row->name);
		CHECK_CASE(mallctl(row->name, NULL, NULL, NULL, 0) == 0, "%s is done", row->name);
	}
}

static void what_can_be_written_takes_back_what_it_gave(void)
{
	for (struct row *row = rows; row < rows + n_rows; row++) {
		if (!is(row->access, "rw") || !size_of(row) || absent(row) || row->kind == 'I')
			continue;
		char value[16] = {0}, now[16] = {0};
		size_t length = size_of(row);
		if (mallctl(row->name, value, &length, NULL, 0) != 0)
			continue;
		CHECK_CASE(ctl_try_write(row->name, value, size_of(row) + 1) == EINVAL || is(row->needs, "built"),
			   "%s takes too long a value", row->name);
		int rc = ctl_try_write(row->name, value, size_of(row));
		bool refused = is(row->needs, "built") && !profiling && !is(row->name, "prof.active");
		CHECK_CASE(rc == 0 || refused, "%s takes no value: error %d", row->name, rc);
		if (refused || is(row->name, "epoch"))
			continue;
		length = size_of(row);
		mallctl(row->name, now, &length, NULL, 0);
		CHECK_CASE(memcmp(value, now, sizeof(value)) == 0, "%s changed", row->name);
	}
}

static void more_or_less_of_a_name_is_enoent(void)
{
	for (struct row *row = rows; row < rows + n_rows; row++) {
		char value[64], part[300];
		size_t length = sizeof(value), mib[8] = {0}, depth = 8;
		CHECK_CASE(mallctl(NAME("%s.x", row->name), value, &length, NULL, 0) == ENOENT, "%s.x", row->name);
		CHECK_CASE(mallctl(NAME("%s.", row->name), value, &length, NULL, 0) == ENOENT, "%s.", row->name);
		CHECK_CASE(mallctl(NAME("%sx", row->name), value, &length, NULL, 0) == ENOENT, "%sx", row->name);
		snprintf(part, sizeof(part), "%s", row->name);
		char *dot = strrchr(part, '.');
		if (dot) {
			*dot = 0;
			CHECK_CASE(mallctl(part, value, &length, NULL, 0) == ENOENT, "%s", part);
		}
		if (absent(row) || mallctlnametomib(row->name, mib, &depth) != 0)
			continue;
		CHECK_CASE(mallctlbymib(mib, depth - 1, value, &length, NULL, 0) == ENOENT, "%s by a shorter mib",
			   row->name);
		CHECK_CASE(mallctlbymib(mib, 0, value, &length, NULL, 0) == ENOENT, "%s by no mib", row->name);
	}
}

static void indices_are_read_as_strtoumax_does(void)
{
	static const struct {
		const char *text;
		int rc;
	} texts[] = {{"0", 0},        {"00", 0},      {"0x0", 0},      {"0abc", 0},  {" 0", 0},
		     {"+0", 0},       {"-1", ENOENT}, {"abc", ENOENT}, {"", ENOENT}, {"18446744073709551616", ENOENT},
		     {"9999", ENOENT}};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		CHECK_CASE(ctl_error(NAME("arena.%s.initialized", texts[i].text), 1) == texts[i].rc, "arena \"%s\"",
			   texts[i].text);
		CHECK_CASE(ctl_error(NAME("stats.arenas.%s.pactive", texts[i].text), 8) == texts[i].rc, "arena \"%s\"",
			   texts[i].text);
		CHECK_CASE(ctl_error(NAME("arenas.bin.%s.size", texts[i].text), 8) == texts[i].rc, "bin \"%s\"",
			   texts[i].text);
	}
}

static void a_mib_serves_every_index(void)
{
	size_t mib[4], depth = 4;
	CHECK_EQUAL(mallctlnametomib("arenas.bin.0.size", mib, &depth), 0);
	CHECK_EQUAL(depth, 4);
	size_t before = 0;
	for (unsigned i = 0; i < ctl_unsigned("arenas.nbins"); i++) {
		size_t size = 0, length = sizeof(size);
		mib[2] = i;
		CHECK_EQUAL(mallctlbymib(mib, depth, &size, &length, NULL, 0), 0);
		CHECK_EQUAL(size, ctl_size(NAME("arenas.bin.%u.size", i)));
		CHECK(size > before);
		before = size;
	}
	mib[2] = 100000;
	char value[8];
	size_t length = 8;
	CHECK_EQUAL(mallctlbymib(mib, depth, value, &length, NULL, 0), ENOENT);
}

static void part_of_a_name_gives_part_of_a_mib(void)
{
	size_t full[4] = {0}, part[4] = {77, 77, 77, 77}, depth = 4;
	CHECK_EQUAL(mallctlnametomib("arenas.bin.0.size", full, &depth), 0);
	depth = 4;
	CHECK_EQUAL(mallctlnametomib("arenas.bin.0", part, &depth), 0);
	CHECK_EQUAL(depth, 3);
	CHECK(part[0] == full[0] && part[1] == full[1] && part[2] == 0 && part[3] == 77);
	depth = 2;
	part[0] = part[1] = part[2] = 77;
	CHECK_EQUAL(mallctlnametomib("arenas.bin.0.size", part, &depth), 0);
	CHECK(depth == 2 && part[0] == full[0] && part[1] == full[1] && part[2] == 77);
	depth = 0;
	CHECK_EQUAL(mallctlnametomib("arenas.bin.0.size", part, &depth), 0);
	CHECK_EQUAL(depth, 0);
	depth = 4;
	CHECK_EQUAL(mallctlnametomib("arenas.bean", part, &depth), ENOENT);
	CHECK_EQUAL(mallctlnametomib("", part, &depth), ENOENT);
}

/* What follows are the names whose value depends on what is given: one function each. */

/* A name that creates: the buffer for the new id has to be exact, or nothing happens. */
static void refuses_a_wrong_buffer(const char *name, void *value, size_t size)
{
	char buffer[16];
	const size_t lengths[] = {0, 1, 3, 5, 16};
	for (size_t i = 0; i < 5; i++) {
		size_t length = lengths[i];
		CHECK_CASE(mallctl(name, buffer, &length, value, size) == EINVAL && length == 0,
			   "%s with a buffer of %zu bytes", name, lengths[i]);
	}
}

static void arenas_create_gives_a_new_arena(void)
{
	unsigned before = ctl_unsigned("arenas.narenas");
	refuses_a_wrong_buffer("arenas.create", NULL, 0);
	unsigned id = 0, hooks = 1;
	size_t length = sizeof(id);
	CHECK_EQUAL(mallctl("arenas.create", &id, &length, &hooks, sizeof(hooks)), EINVAL);
	CHECK_EQUAL(ctl_unsigned("arenas.narenas"), before);
	id = arena_create(NULL);
	CHECK_EQUAL(id, before);
	CHECK_EQUAL(ctl_unsigned("arenas.narenas"), before + 1);
	refresh(); /* Debian's library learns of the arena here */
	CHECK(ctl_bool(NAME("arena.%u.initialized", id)));
	ctl_do(NAME("arena.%u.destroy", id));
	CHECK(!ctl_bool(NAME("arena.%u.initialized", id)));
	struct arena_config config = {ctl_pointer("arena.0.extent_hooks"), false};
	refuses_a_wrong_buffer("experimental.arenas_create_ext", &config, sizeof(config));
	unsigned again = 0;
	length = sizeof(again);
	CHECK_EQUAL(mallctl("experimental.arenas_create_ext", &again, &length, &config, 8), EINVAL);
	length = sizeof(again);
	CHECK_EQUAL(mallctl("experimental.arenas_create_ext", &again, &length, &config, sizeof(config)), 0);
	CHECK_EQUAL(again, id);
	ctl_do(NAME("arena.%u.destroy", again));
}

static void arenas_lookup_names_the_arena_of_a_pointer(void)
{
	unsigned id = arena_create(NULL), found = 0;
	size_t length = sizeof(found);
	void *small = mallocx(48, MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE),
	     *large = mallocx(1 << 20, MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE);
	CHECK_EQUAL(arena_of(small), id);
	CHECK_EQUAL(arena_of(large), id);
	void *ordinary = malloc(48);
	CHECK(arena_of(ordinary) < id);
	CHECK_EQUAL(mallctl("arenas.lookup", &found, &length, &small, 4), EINVAL);
	if (DIFFERENCE(lookup_of_foreign_pointers)) {
		void *foreign[] = {NULL, &id, (void *)ctl_pointer};
		for (int i = 0; i < 3; i++) {
			length = sizeof(found);
			CHECK_EQUAL(mallctl("arenas.lookup", &found, &length, &foreign[i], sizeof(void *)), EINVAL);
		}
	}
	dallocx(small, MALLOCX_TCACHE_NONE);
	dallocx(large, MALLOCX_TCACHE_NONE);
	free(ordinary);
	ctl_do(NAME("arena.%u.destroy", id));
}

static void tcaches_are_created_flushed_and_destroyed(void)
{
	refuses_a_wrong_buffer("tcache.create", NULL, 0);
	unsigned id = ctl_unsigned("tcache.create"), next = ctl_unsigned("tcache.create");
	CHECK_EQUAL(next, id + 1);
	const char *const names[] = {"tcache.flush", "tcache.destroy"};
	for (int i = 0; i < 2; i++) {
		unsigned never = 4000;
		size_t length = sizeof(never);
		CHECK_EQUAL(mallctl(names[i], &never, &length, NULL, 0), EPERM);
		CHECK_EQUAL(ctl_try_write(names[i], &id, 8), EINVAL);
		CHECK_EQUAL(ctl_try_write(names[i], &id, sizeof(id)), 0);
		CHECK_EQUAL(ctl_try_write(names[i], &never, sizeof(never)), 0);
	}
	CHECK_EQUAL(ctl_try_write("tcache.destroy", &id, sizeof(id)), 0);
	ctl_write("tcache.destroy", &next, sizeof(next));
	CHECK_EQUAL(ctl_unsigned("tcache.create"), next);
	CHECK_EQUAL(ctl_unsigned("tcache.create"), id);
	ctl_write("tcache.destroy", &id, sizeof(id));
	ctl_write("tcache.destroy", &next, sizeof(next));
}

static void only_created_arenas_are_reset_and_destroyed(void)
{
	const char *const words[] = {"reset", "destroy"};
	for (int i = 0; i < 2; i++) {
		char value[8] = {0};
		CHECK_EQUAL(ctl_try_write(NAME("arena.0.%s", words[i]), value, 8), EPERM);
		CHECK_EQUAL(ctl_try_write(NAME("arena.0.%s", words[i]), NULL, 0), EFAULT);
		CHECK_EQUAL(ctl_try_write(NAME("arena.%u.%s", ARENAS_ALL, words[i]), NULL, 0), EFAULT);
	}
	unsigned id = arena_create(NULL);
	int flags = MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE;
	for (int i = 0; i < 1000; i++)
		memset(mallocx((size_t)i * 50 + 1, flags), 1, 8);
	refresh();
	CHECK(ctl_size(NAME("stats.arenas.%u.small.allocated", id)) > 0);
	ctl_do(NAME("arena.%u.reset", id));
	refresh();
	CHECK_EQUAL(ctl_size(NAME("stats.arenas.%u.small.allocated", id)), 0);
	CHECK_EQUAL(ctl_size(NAME("stats.arenas.%u.large.allocated", id)), 0);
	void *p = mallocx(100, flags);
	CHECK_EQUAL(arena_of(p), id);
	ctl_do(NAME("arena.%u.destroy", id));
	CHECK_EQUAL(ctl_try_write(NAME("arena.%u.destroy", id), NULL, 0), EFAULT);
	CHECK_EQUAL(ctl_try_write(NAME("arena.%u.reset", id), NULL, 0), EFAULT);
	CHECK_EQUAL(ctl_try_write(NAME("arena.%u.purge", id), NULL, 0), 0);
}

struct utilization {
	void *slab;
	size_t nfree, nregs, size, bin_nfree, bin_nregs;
};

static void utilization_query_tells_the_slab_of_an_object(void)
{
	const char *name = "experimental.utilization.query";
	unsigned id = arena_create(NULL);
	int flags = MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE;
	void *p = mallocx(48, flags), *q = mallocx(48, flags);
	struct utilization u = {0};
	size_t length = sizeof(u);
	CHECK_EQUAL(mallctl(name, &u, &length, &p, 4), EINVAL);
	CHECK_EQUAL(mallctl(name, NULL, NULL, &p, sizeof(p)), EINVAL);
	length = 40;
	CHECK_EQUAL(mallctl(name, &u, &length, &p, sizeof(p)), EINVAL);
	length = sizeof(u);
	CHECK_EQUAL(mallctl(name, &u, &length, &p, sizeof(p)), 0);
	CHECK_EQUAL(u.nregs - u.nfree, 2);
	CHECK(u.nregs * 48 <= u.size && u.size % 4096 == 0);
	CHECK(u.bin_nregs >= u.nregs && u.bin_nregs - u.bin_nfree == 2);
	dallocx(q, flags);
	CHECK_EQUAL(mallctl(name, &u, &length, &p, sizeof(p)), 0);
	CHECK_EQUAL(u.nregs - u.nfree, 1);
	dallocx(p, flags);
	void *large = mallocx(1 << 20, flags);
	CHECK_EQUAL(mallctl(name, &u, &length, &large, sizeof(large)), 0);
	CHECK(u.nfree == 0 && u.nregs == 1 && u.size >= 1 << 20 && u.bin_nfree == 0 && u.bin_nregs == 0);
	dallocx(large, flags);
	ctl_do(NAME("arena.%u.destroy", id));
}

static void utilization_batch_query_tells_three_numbers_each(void)
{
	const char *name = "experimental.utilization.batch_query";
	void *p[3] = {malloc(48), malloc(200), malloc(1 << 20)};
	size_t out[9] = {0}, length = sizeof(out);
	CHECK_EQUAL(mallctl(name, out, &length, p, 0), EINVAL);
	CHECK_EQUAL(mallctl(name, out, &length, p, 7), EINVAL);
	length = sizeof(out) - 1;
	CHECK_EQUAL(mallctl(name, out, &length, p, sizeof(p)), EINVAL);
	length = sizeof(out);
	CHECK_EQUAL(mallctl(name, out, &length, p, sizeof(p)), 0);
	for (int i = 0; i < 3; i++) {
		CHECK_CASE(out[3 * i] < out[3 * i + 1] && out[3 * i + 2] >= malloc_usable_size(p[i]),
			   "object %d: %zu of %zu free, %zu bytes", i, out[3 * i], out[3 * i + 1], out[3 * i + 2]);
		free(p[i]);
	}
	CHECK(out[6] == 0 && out[7] == 1);
}

static void batch_alloc_fills_an_array(void)
{
	const char *name = "experimental.batch_alloc";
	static void *p[500];
	struct {
		void **p;
		size_t n, size;
		int flags;
	} batch = {p, 500, 64, MALLOCX_ZERO};
	size_t filled = 0, length = sizeof(filled);
	CHECK_EQUAL(mallctl(name, &filled, &length, &batch, sizeof(batch) - 8), EINVAL);
	length = 4;
	CHECK(mallctl(name, &filled, &length, &batch, sizeof(batch)) == EINVAL && length == 0);
	length = sizeof(filled);
	CHECK_EQUAL(mallctl(name, &filled, &length, &batch, sizeof(batch)), 0);
	CHECK_EQUAL(filled, 500);
	for (size_t i = 0; i < filled; i++)
		CHECK(malloc_usable_size(p[i]) == 64 && filled_with(p[i], 0, 64));
	for (size_t i = 0; i < filled; i++)
		memset(p[i], 1, 64), free(p[i]);
}

static void pactivep_points_at_the_active_pages(void)
{
	unsigned id = arena_create(NULL);
	refresh();
	size_t *pages = ctl_pointer(NAME("experimental.arenas.%u.pactivep", id)), before = *pages;
	void *p = mallocx(1 << 20, MALLOCX_ARENA(id) | MALLOCX_TCACHE_NONE);
	if (DIFFERENCE(pactivep_is_of_the_epoch))
		refresh();
	CHECK_CASE(*pages - before >= 256 && *pages - before <= 257, "%zu pages", *pages - before);
	refresh();
	CHECK_EQUAL(ctl_size(NAME("stats.arenas.%u.pactive", id)), *pages);
	dallocx(p, MALLOCX_TCACHE_NONE);
	if (DIFFERENCE(pactivep_is_of_the_epoch))
		refresh();
	CHECK_EQUAL(*pages, before);
	CHECK_EQUAL(ctl_error("experimental.arenas.4000.pactivep", 8), ENOENT);
	ctl_do(NAME("arena.%u.destroy", id));
}

static void arena_names_are_kept(void)
{
	char text[64] = {0}, *buffer = text;
	size_t length = sizeof(buffer);
	if (!DIFFERENCE(newer_names)) {
		CHECK_EQUAL(mallctl("arena.0.name", &buffer, &length, NULL, 0), ENOENT);
		return;
	}
	unsigned id = arena_create(NULL);
	const char *name = NAME("arena.%u.name", id), *given = "a name longer than the 31 bytes that are kept of it";
	CHECK_EQUAL(mallctl(name, NULL, NULL, &given, sizeof(given)), 0);
	CHECK_EQUAL(mallctl(name, &buffer, &length, NULL, 0), 0);
	CHECK_CASE(strncmp(text, given, 31) == 0 && text[31] == 0, "\"%s\"", text);
	CHECK_EQUAL(mallctl(name, NULL, NULL, &given, 4), EINVAL);
	ctl_do(NAME("arena.%u.destroy", id));
}

static void the_limits_of_a_thread_cache_are_read_by_size(void)
{
	size_t size = 64, max = 0, length = sizeof(max);
	const char *name = "thread.tcache.ncached_max.read_sizeclass", *text = "64-64:10";
	int rc = mallctl(name, &max, &length, &size, sizeof(size));
	if (!DIFFERENCE(newer_names)) {
		CHECK_EQUAL(rc, ENOENT);
		return;
	}
	CHECK_EQUAL(rc, 0);
	CHECK(max >= 1);
	CHECK_EQUAL(mallctl(name, &max, &length, &size, 4), EINVAL);
	CHECK_EQUAL(mallctl("thread.tcache.ncached_max.write", NULL, NULL, &text, sizeof(text)), 0);
	CHECK_EQUAL(mallctl("thread.tcache.ncached_max.write", &text, &length, NULL, 0), EPERM);
}

static void profiler_hooks_are_read_and_without_a_profiler_not_set(void)
{
	for (struct row *row = rows; row < rows + n_rows; row++) {
		if (strncmp(row->name, "experimental.hooks.prof_", 24) != 0 || absent(row))
			continue;
		void *hook = NULL;
		size_t length = sizeof(hook);
		CHECK_CASE(mallctl(row->name, NULL, NULL, NULL, 0) == EINVAL, "%s asked for nothing", row->name);
		CHECK_CASE(mallctl(row->name, &hook, &length, NULL, 0) == 0, "%s is read", row->name);
		length = 4;
		CHECK_CASE(mallctl(row->name, &hook, &length, NULL, 0) == EINVAL && length == 4,
			   "%s with a short buffer", row->name);
		if (!profiling)
			CHECK_CASE(mallctl(row->name, NULL, NULL, &hook, sizeof(hook)) == ENOENT, "%s is set",
				   row->name);
		else
			CHECK_CASE(mallctl(row->name, NULL, NULL, &hook, 4) == EINVAL, "%s takes half a pointer",
				   row->name);
	}
}

static void every_special_name_has_a_test(void)
{
	/* This one fails when a row was added without one. */
	static const char *const known[] = {"arenas.create",
					    "arenas.lookup",
					    "experimental.arenas_create_ext",
					    "tcache.create",
					    "tcache.flush",
					    "tcache.destroy",
					    "arena.0.reset",
					    "arena.0.destroy",
					    "experimental.utilization.query",
					    "experimental.utilization.batch_query",
					    "experimental.batch_alloc",
					    "experimental.arenas.0.pactivep",
					    "arena.0.name",
					    "thread.tcache.ncached_max.read_sizeclass",
					    "thread.tcache.ncached_max.write"};
	for (struct row *row = rows; row < rows + n_rows; row++) {
		bool found = !special(row) || strncmp(row->name, "experimental.hooks.", 19) == 0;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			found |= is(row->name, known[i]);
		CHECK_CASE(found, "%s has no test of its own", row->name);
	}
}

int main(int argc, char **argv)
{
	which_library(argc, argv);
	if (argc < 2)
		DIE("usage: names TABLE WHICH");
	read_rows(argv[1]);
	profiler = ctl_bool("config.prof");
	profiling = profiler && ctl_bool("opt.prof");
	/* Something is live: of a class with a slab, and large. */
	void *small = malloc(100), *large = malloc(100000);
	if (!small || !large)
		DIE("no memory");
	refresh();
	static const struct test tests[] = {
		TEST(the_table_is_whole),
		TEST(every_special_name_has_a_test),
		TEST(absent_names_are_enoent_and_the_others_resolve),
		TEST(every_readable_name_has_its_value),
		TEST(a_buffer_of_the_wrong_size_is_filled_and_refused),
		TEST(what_is_read_only_refuses_a_value),
		TEST(what_is_write_only_gives_no_value),
		TEST(a_command_takes_no_value),
		TEST(what_can_be_written_takes_back_what_it_gave),
		TEST(more_or_less_of_a_name_is_enoent),
		TEST(indices_are_read_as_strtoumax_does),
		TEST(a_mib_serves_every_index),
		TEST(part_of_a_name_gives_part_of_a_mib),
		TEST(arenas_create_gives_a_new_arena),
		TEST(arenas_lookup_names_the_arena_of_a_pointer),
		TEST(tcaches_are_created_flushed_and_destroyed),
		TEST(only_created_arenas_are_reset_and_destroyed),
		TEST(utilization_query_tells_the_slab_of_an_object),
		TEST(utilization_batch_query_tells_three_numbers_each),
		TEST(batch_alloc_fills_an_array),
		TEST(pactivep_points_at_the_active_pages),
		TEST(profiler_hooks_are_read_and_without_a_profiler_not_set),
		TEST(arena_names_are_kept),
		TEST(the_limits_of_a_thread_cache_are_read_by_size),
	};
	return RUN_TESTS(tests);
}
