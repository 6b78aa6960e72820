/* SPDX-License-Identifier: MIT
 *
 * stats_report — what both forms of malloc_stats_print are made from: an output
 * that gathers text into parts, and the statistics, read by their mallctl names
 * as any client reads them.
 *
 * Memory: one mapping for the time of a report, or 1 KiB of the caller's stack
 * where the system gives none. No lock is held here while the program's function
 * is called, and none of this is shared between reports.
 */
#ifndef ASH_ALLOC_STATS_REPORT_H
#define ASH_ALLOC_STATS_REPORT_H

#include "base/compiler.h"

/* What the letters of a report's options ask for. */
struct report_wants {
	bool json;       /* J */
	bool general;    /* without g */
	bool merged;     /* without m */
	bool destroyed;  /* without d */
	bool arenas;     /* without a */
	bool bins;       /* without b */
	bool large;      /* without l */
	bool mutexes;    /* without x */
	bool extents;    /* without e */
	bool huge_pages; /* without h */
};

struct report {
	void (*write)(void *opaque, const char *text);
	void *opaque;
	char *buf; /* the part, terminated when it is written */
	size_t size, used;
	bool mapped;
	struct report_wants wants;
	bool comma;          /* JSON: the next element needs one before it */
	unsigned unreadable; /* names that did not answer where they should */
};

/* ---- output */

/* Letters that mean nothing are ignored; `letters` may be NULL. */
struct report_wants ash_report_wants(const char *letters);

/* Room for small parts. */
#define STATS_SPARE 1024

/* Makes *r write to `write`, with `spare` where there is no memory for larger parts. */
void ash_report_begin(struct report *r, void (*write)(void *, const char *), void *opaque, char *spare, size_t size);
/* Writes the last part, even when it is empty. */
void ash_report_end(struct report *r);

/* Less than REPORT_LINE bytes, by a format of base/print.h; a text of any length. `spare` has room for both. */
#define REPORT_LINE 512
void ash_report_put(struct report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ash_report_text(struct report *r, const char *text);

/* ---- values */

enum stats_type {
	STATS_BOOL,
	STATS_UNSIGNED, /* 4 bytes */
	STATS_SIZE,     /* 8 bytes: size_t and uint64_t */
	STATS_SIGNED,   /* 8 bytes: ssize_t and int64_t */
	STATS_STRING,
	STATS_FIXED, /* 4 bytes, 16 of their bits behind the point; printed as a string */
};

/* A number in 64 bits, or a string. */
union stats_value {
	uint64_t number;
	int64_t with_sign;
	const char *text;
};

/* Names are shorter; so is what ash_stats_fixed writes. */
#define STATS_NAME 96
#define STATS_FIXED_TEXT 24

/* The decimal digits of a fixed-point number, without zeros at the end. */
void ash_stats_fixed(char text[STATS_FIXED_TEXT], uint32_t number);

/* Reads one name; false when it does not answer: then *value is 0, or "" for a string. */
bool ash_stats_read(const char *name, enum stats_type type, union stats_value *value);

/* The number behind a name made by a format; 0, and one more unreadable, when it does not answer. */
uint64_t ash_stats_number(struct report *r, enum stats_type type, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A number under a name with an index that runs: looked up once, read often. */
#define STATS_DEPTH 7
struct stats_column {
	uint32_t mib[STATS_DEPTH]; /* as the library's, in half the room */
	uint8_t depth;             /* 0: the name does not exist */
	uint8_t type;
};

void ash_stats_column(struct stats_column *column, enum stats_type type, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The value with `index` as component `at`; false: there is none. */
bool ash_stats_column_read(const struct stats_column *column, unsigned at, unsigned index, uint64_t *value);

#endif
