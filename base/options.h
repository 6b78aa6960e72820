/* SPDX-License-Identifier: MIT
 *
 * options — the run-time options as one struct, made from base/option.def.
 *
 * Written by alloc/conf.c at start-up, before a second thread can be in the
 * library; read-only from then on.
 */
#ifndef ASH_BASE_OPTIONS_H
#define ASH_BASE_OPTIONS_H

#include "base/compiler.h"

struct options {
#define BOOL(name, value, doc) bool name;
#define NUMBER(name, value, smallest, largest, unit, doc) int64_t name;
#define CLIPPED(name, value, smallest, largest, unit, doc) int64_t name;
#define SHARE(name, value, doc) int64_t name;
#define CHOICE(name, value, choices, doc) unsigned name;
#define LETTERS(name, letters, doc) char name[sizeof(letters)];
#include "base/option.def"
};

enum { CHECK_OFF, CHECK_SAMPLED, CHECK_FULL };
enum { JUNK_FALSE, JUNK_TRUE, JUNK_ALLOC, JUNK_FREE };
enum { THP_AUTO, THP_DEFAULT, THP_ALWAYS, THP_NEVER };
enum { METADATA_THP_DISABLED, METADATA_THP_AUTO, METADATA_THP_ALWAYS };
enum { PERCPU_ARENA_DISABLED, PERCPU_ARENA_PERCPU, PERCPU_ARENA_PHYCPU };
enum { ZERO_REALLOC_ALLOC, ZERO_REALLOC_FREE, ZERO_REALLOC_ABORT };

HIDDEN extern struct options ash_options;

#endif
