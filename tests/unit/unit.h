/* SPDX-License-Identifier: MIT
 *
 * What every unit test includes: cmocka in its order, and a pool on memory and
 * a clock that the test holds in its hands.
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef SMALL_CMOCKA
#include "small_cmocka.h"
#else
#include <cmocka.h>
#endif
#include <stdlib.h>
#include <string.h>

#include "arena/purge.h"

/* The time of the test's clock, ms. */
extern uint64_t unit_now_ms;

/* How many commits still succeed; SIZE_MAX: all. How many were asked for. */
extern size_t unit_commits_left;
extern size_t unit_commits;

extern const struct page_source unit_pages;
uint64_t unit_clock_ms(void);

/* Size classes, page map and the ordinary pool on the test's source and clock. Once a process. */
int unit_start(void **state);

#endif
