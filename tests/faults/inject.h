/* SPDX-License-Identifier: MIT
 *
 * inject — calls of the system that fail by plan.
 *
 * The linker leads each call that the library makes to a function of ours
 * (-Wl,--wrap): it counts, and refuses what the plan says. A refused call does
 * nothing. The plan is read from the arguments where the kernel put them, so
 * that it holds for the first call of the process, before main.
 * Any thread may call.
 */
#ifndef TESTS_FAULTS_INJECT_H
#define TESTS_FAULTS_INJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "kinds.h"

/* From now on nothing fails. */
void inject_end(void);
/* How often the planned kind of call was made, and refused, until then. */
uint64_t inject_uses(void);
uint64_t inject_refused(void);

/* The clocks that the library reads go forward. */
void inject_pass_ms(uint64_t ms);

/* Returns while another thread gives memory back, if one does so soon; the others can ask whether somebody waits. */
void inject_await_purge(void);
bool inject_purge_is_awaited(void);

uint64_t inject_seed(void);
/* Whether FLAGS hold this need or plant. */
bool inject_flag(unsigned flag);

/* The last words of this process: one line on standard error, exit status 1. */
__attribute__((noreturn, format(printf, 1, 2))) void inject_die(const char *format, ...);

#endif
