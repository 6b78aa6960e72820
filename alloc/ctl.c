/* SPDX-License-Identifier: MIT */
#include "alloc/ctl.h"

#include <errno.h>
#include <string.h>

#include "alloc/ctl_table.h"
#include "alloc/init.h"
#include "alloc/snapshot.h"
#include "arena/manual.h"
#include "base/atomic.h"

/* ---- values */

int ash_ctl_give(struct ctl_call *call, const void *value, size_t size)
{
	size_t n;

	if (!call->old || !call->old_len)
		return 0;
	n = size_min(size, *call->old_len);
	memcpy(call->old, value, n);
	if (*call->old_len == size)
		return 0;
	*call->old_len = n;
	return EINVAL;
}

int ash_ctl_give_number(struct ctl_call *call, uint64_t number)
{
	uint32_t half = (uint32_t)number;
	bool truth = number != 0;

	if (call->row->type == CTL_BOOL)
		return ash_ctl_give(call, &truth, sizeof(truth));
	if (call->row->type == CTL_UNSIGNED)
		return ash_ctl_give(call, &half, sizeof(half));
	return ash_ctl_give(call, &number, sizeof(number));
}

int ash_ctl_take(const struct ctl_call *call, void *value, size_t size)
{
	if (!call->new)
		return 0;
	if (call->new_len != size)
		return EINVAL;
	memcpy(value, call->new, size);
	return 0;
}

int ash_ctl_exchange(struct ctl_call *call, void *value, size_t size)
{
	int result;

	if (call->new && call->new_len != size)
		return EINVAL;
	result = ash_ctl_give(call, value, size);
	return result ? result : ash_ctl_take(call, value, size);
}

int ash_ctl_can_give(struct ctl_call *call, size_t size)
{
	if (call->old && call->old_len && *call->old_len == size)
		return 0;
	if (call->old_len)
		*call->old_len = 0;
	return EINVAL;
}

/* ---- components: words, <i>, and {a,b} */

struct part {
	const char *text;
	size_t len;
};

/* The component at *at, up to a dot or the end, which *at moves behind. False: there are no more. */
static bool part_next(const char **at, struct part *part)
{
	if (!*at)
		return false;
	part->text = *at;
	part->len = strcspn(*at, ".");
	*at = part->text[part->len] ? part->text + part->len + 1 : NULL;
	return true;
}

static bool part_is(const struct part *part, const char *word)
{
	return part->len == strlen(word) && memcmp(part->text, word, part->len) == 0;
}

/* The place of a word in "{a,b}", SIZE_MAX when it is none of them; with `word` NULL, how many there are. */
static size_t list_place(const struct part *list, const struct part *word)
{
	const char *p = list->text + 1, *end = list->text + list->len - 1;
	size_t place = 0;

	for (;; place++) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		size_t len = (size_t)((comma ? comma : end) - p);

		if (word && len == word->len && memcmp(p, word->text, len) == 0)
			return place;
		if (!comma)
			return word ? SIZE_MAX : place + 1;
		p = comma + 1;
	}
}

/* Digits in front of anything, as strtoumax reads them. False: none, or a number that is too large. */
static bool index_parse(const struct part *part, size_t *index)
{
	const char *p = part->text, *end = p + part->len;
	bool minus, digits = false;
	size_t n = 0;

	while (p < end && (*p == ' ' || (*p >= '\t' && *p <= '\r')))
		p++;
	minus = p < end && *p == '-';
	p += p < end && (*p == '-' || *p == '+');
	for (; p < end && *p >= '0' && *p <= '9'; p++, digits = true) {
		if (__builtin_mul_overflow(n, (size_t)10, &n) || __builtin_add_overflow(n, (size_t)(*p - '0'), &n))
			return false;
	}
	*index = n;
	return digits && !(minus && n);
}

/* Whether a row's <i> behind the word `before` may be `index`. */
static bool index_exists(const char *row, const struct part *before, size_t index)
{
	if (part_is(before, "bin") || part_is(before, "bins"))
		return index < CTL_BINS;
	if (part_is(before, "lextent") || part_is(before, "lextents"))
		return index < LARGE_CLASSES;
	if (part_is(before, "extents"))
		return index < CTL_EXTENTS;
	if (part_is(before, "nonfull_slabs"))
		return index < CTL_HUGE_SLABS;
	if (strncmp(row, "stats.", strlen("stats.")) == 0)
		return ash_snapshot_arena(index) != NULL;
	if (strncmp(row, "experimental.", strlen("experimental.")) == 0)
		return index < ash_arenas_count();
	return index <= ash_arenas_count() || index == ARENAS_ALL || index == ARENAS_DESTROYED;
}

/* ---- names */

/* How many of the row's components the name has, all of which match; 0: they do not. */
static size_t row_match(size_t row, const char *name, size_t mib[CTL_DEPTH], bool *whole)
{
	const char *pattern = ash_ctl_name(&ash_ctl_table[row]);
	struct part want, got, before = {"", 0};
	size_t n = 0;

	/* Most rows differ in the first letters. */
	if (*name != *pattern || name[1] != pattern[1])
		return 0;
	while (part_next(&name, &got)) {
		if (!part_next(&pattern, &want) || !got.len)
			return 0;
		mib[n] = row;
		if (*want.text == '<') {
			if (!index_parse(&got, &mib[n]) ||
			    !index_exists(ash_ctl_name(&ash_ctl_table[row]), &before, mib[n]))
				return 0;
		} else if (*want.text == '{') {
			mib[n] = list_place(&want, &got);
			if (mib[n] == SIZE_MAX)
				return 0;
		} else if (got.len != want.len || memcmp(got.text, want.text, got.len) != 0) {
			return 0;
		}
		before = want;
		n++;
	}
	*whole = !pattern;
	return n;
}

/* Names are mostly asked for in the order of the table. */
static size_t last_found; /* atomic */

/* The first row that has the name, or begins with it. Returns how many components it has, 0: none does. */
static size_t name_find(const char *name, size_t mib[CTL_DEPTH], bool *whole)
{
	size_t n, guess = load_relaxed(&last_found);

	for (size_t row = guess; row < ash_ctl_rows && row < guess + 2; row++) {
		n = row_match(row, name, mib, whole);
		if (n && *whole) {
			store_relaxed(&last_found, row);
			return n;
		}
	}
	for (size_t row = 0; row < ash_ctl_rows; row++) {
		n = row_match(row, name, mib, whole);
		if (n) {
			store_relaxed(&last_found, row);
			return n;
		}
	}
	return 0;
}

/* ---- mibs */

/* Fills call->row and the indices. False: no row has such a mib. */
static bool mib_decode(const size_t *mib, size_t mib_len, struct ctl_call *call)
{
	struct part part, before = {"", 0};
	size_t n = 0, indices = 0;
	const char *pattern;

	if (!mib || !mib_len || mib[0] >= ash_ctl_rows)
		return false;
	call->row = &ash_ctl_table[mib[0]];
	pattern = ash_ctl_name(call->row);
	for (; part_next(&pattern, &part); n++) {
		if (n == mib_len)
			return false;
		if (*part.text == '<') {
			if (!index_exists(ash_ctl_name(call->row), &before, mib[n]))
				return false;
			call->index[indices++] = mib[n];
		} else if (*part.text == '{') {
			if (mib[n] >= list_place(&part, NULL))
				return false;
		} else if (mib[n] != mib[0]) {
			return false;
		}
		before = part;
	}
	return n == mib_len;
}

/* ---- calls */

static bool is_allowed(const struct ctl_call *call)
{
	bool reads = call->old || call->old_len, writes = call->new || call->new_len;

	switch (call->row->access) {
	case CTL_RO:
		return !writes;
	case CTL_WO:
		return !reads;
	case CTL_EITHER:
		return !(reads && writes);
	case CTL_DO:
		return !reads && !writes;
	default:
		return true;
	}
}

static int call_by_mib(const size_t *mib, size_t mib_len, struct ctl_call *call)
{
	int saved = errno, result;

	if (!mib_decode(mib, mib_len, call))
		return ENOENT;
	result = ash_ctl_act(call, is_allowed(call));
	errno = saved;
	return result;
}

static bool begin(void)
{
	if (unlikely(!ash_ready()) && !ash_init())
		return false;
	ash_snapshot_begin();
	return true;
}

int mallctl(const char *name, void *old, size_t *old_len, void *new, size_t new_len)
{
	struct ctl_call call = {.old = old, .old_len = old_len, .new = new, .new_len = new_len};
	size_t mib[CTL_DEPTH], n;
	bool whole;

	if (!begin())
		return EAGAIN;
	n = name ? name_find(name, mib, &whole) : 0;
	return n && whole ? call_by_mib(mib, n, &call) : ENOENT;
}

int mallctlnametomib(const char *name, size_t *mib, size_t *mib_len)
{
	size_t found[CTL_DEPTH], n;
	bool whole;

	if (!begin())
		return EAGAIN;
	if (!name || !mib || !mib_len)
		return ENOENT;
	n = name_find(name, found, &whole);
	if (!n)
		return ENOENT;
	*mib_len = size_min(n, *mib_len);
	memcpy(mib, found, *mib_len * sizeof(*mib));
	return 0;
}

int mallctlbymib(const size_t *mib, size_t mib_len, void *old, size_t *old_len, void *new, size_t new_len)
{
	struct ctl_call call = {.old = old, .old_len = old_len, .new = new, .new_len = new_len};

	if (!begin())
		return EAGAIN;
	return call_by_mib(mib, mib_len, &call);
}

const void *const ash_ctl_entry_points[] = {mallctl, mallctlnametomib, mallctlbymib};
