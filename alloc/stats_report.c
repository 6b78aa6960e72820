/* SPDX-License-Identifier: MIT */
#include "alloc/stats_report.h"

#include <string.h>

#include "alloc/ctl.h"
#include "base/os.h"
#include "base/print.h"

/* Parts as large as jemalloc's: a program may have been written for one that gets few of them. */
#define PART_BYTES ((size_t)64 << 10)

/* ---- output */

struct report_wants ash_report_wants(const char *letters)
{
	struct report_wants w = {false, true, true, true, true, true, true, true, true, true};

	for (const char *p = letters ? letters : ""; *p; p++) {
		w.json |= *p == 'J';
		w.general &= *p != 'g';
		w.merged &= *p != 'm';
		w.destroyed &= *p != 'd';
		w.arenas &= *p != 'a';
		w.bins &= *p != 'b';
		w.large &= *p != 'l';
		w.mutexes &= *p != 'x';
		w.extents &= *p != 'e';
		w.huge_pages &= *p != 'h';
	}
	return w;
}

void ash_report_begin(struct report *r, void (*write)(void *, const char *), void *opaque, char *spare, size_t size)
{
	char *part = ash_os_map(PART_BYTES);

	*r = (struct report){
		.write = write,
		.opaque = opaque,
		.mapped = part != NULL,
		.buf = part ? part : spare,
		.size = part ? PART_BYTES : size,
	};
}

static void flush(struct report *r)
{
	r->buf[r->used] = '\0';
	r->write(r->opaque, r->buf);
	r->used = 0;
}

void ash_report_end(struct report *r)
{
	flush(r);
	if (r->mapped)
		ash_os_unmap(r->buf, PART_BYTES);
}

void ash_report_put(struct report *r, const char *format, ...)
{
	va_list args;

	if (r->size - r->used < REPORT_LINE)
		flush(r);
	va_start(args, format);
	r->used += ash_vformat(r->buf + r->used, REPORT_LINE, format, args);
	va_end(args);
}

void ash_report_text(struct report *r, const char *text)
{
	for (size_t n = strlen(text), part; n; n -= part, text += part) {
		if (r->used == r->size - 1)
			flush(r);
		part = size_min(n, r->size - 1 - r->used);
		memcpy(r->buf + r->used, text, part);
		r->used += part;
	}
}

/* ---- values */

static size_t type_size(enum stats_type type)
{
	switch (type) {
	case STATS_BOOL:
		return sizeof(bool);
	case STATS_UNSIGNED:
	case STATS_FIXED:
		return sizeof(uint32_t);
	default:
		return sizeof(uint64_t);
	}
}

/* What mallctl wrote at the beginning of the bytes, as a number. */
static uint64_t widen(const void *bytes, size_t size)
{
	uint64_t number = 0;
	uint32_t half;

	if (size == sizeof(half)) {
		memcpy(&half, bytes, size);
		return half;
	}
	if (size == 1)
		return *(const unsigned char *)bytes;
	memcpy(&number, bytes, size);
	return number;
}

void ash_stats_fixed(char text[STATS_FIXED_TEXT], uint32_t number)
{
	uint32_t fraction = number & 0xffff;
	size_t n = ash_format(text, STATS_FIXED_TEXT, fraction ? "%u." : "%u", number >> 16);

	for (; fraction; fraction &= 0xffff) {
		fraction *= 10;
		text[n++] = (char)('0' + (fraction >> 16));
	}
	text[n] = '\0';
}

bool ash_stats_read(const char *name, enum stats_type type, union stats_value *value)
{
	size_t size = type_size(type), given = size;
	uint64_t bytes = 0;
	bool answers = mallctl(name, &bytes, &given, NULL, 0) == 0 && given == size;

	value->number = answers ? widen(&bytes, size) : 0;
	if (type == STATS_STRING && !value->text) {
		value->text = "";
		answers = false;
	}
	return answers;
}

uint64_t ash_stats_number(struct report *r, enum stats_type type, const char *format, ...)
{
	union stats_value value;
	char name[STATS_NAME];
	va_list args;

	va_start(args, format);
	ash_vformat(name, sizeof(name), format, args);
	va_end(args);
	r->unreadable += !ash_stats_read(name, type, &value);
	return value.number;
}

void ash_stats_column(struct stats_column *column, enum stats_type type, const char *format, ...)
{
	size_t mib[STATS_DEPTH], depth = STATS_DEPTH;
	char name[STATS_NAME];
	va_list args;

	va_start(args, format);
	ash_vformat(name, sizeof(name), format, args);
	va_end(args);
	if (mallctlnametomib(name, mib, &depth) != 0)
		depth = 0;
	column->type = (uint8_t)type;
	column->depth = (uint8_t)depth;
	for (size_t i = 0; i < depth; i++)
		column->mib[i] = (uint32_t)mib[i];
}

bool ash_stats_column_read(const struct stats_column *column, unsigned at, unsigned index, uint64_t *value)
{
	size_t mib[STATS_DEPTH], size = type_size((enum stats_type)column->type), given = size;
	uint64_t bytes = 0;
	bool answers;

	for (unsigned i = 0; i < column->depth; i++)
		mib[i] = i == at ? index : column->mib[i];
	answers = column->depth && mallctlbymib(mib, column->depth, &bytes, &given, NULL, 0) == 0 && given == size;
	*value = answers ? widen(&bytes, size) : 0;
	return answers;
}
