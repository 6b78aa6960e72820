/* SPDX-License-Identifier: MIT
 *
 * fact — what the programs of this folder share: each prints one line for every fact that it checks, and its exit
 * status is 1 when one of them was false.
 *
 * Lines are written by write(2) from the stack: a test at the limit of memory must be able to speak.
 */
#ifndef VM_FACT_H
#define VM_FACT_H

#include <stdbool.h>
#include <stddef.h>

/* Kills the program after `seconds`, and makes sure that it runs on the allocator that the environment names:
 * VM_MARK is a symbol that only this allocator has ("malloc" for any). Call it first. */
void fact_begin(unsigned seconds);

/* Prints the sentence as true or FALSE; returns `is_true`. */
bool fact(bool is_true, const char *sentence, ...) __attribute__((format(printf, 2, 3)));

/* Prints a line that is no fact. */
void fact_note(const char *sentence, ...) __attribute__((format(printf, 1, 2)));

/* Checks the heap's structures where the allocator can, and returns the exit status. */
int fact_end(void);

/* The first number after `key` in a file of /proc or /sys; ends the program when there is none. */
size_t fact_number_in(const char *path, const char *key);

/* The number of arenas of this process; ends the program when the allocator does not tell. */
unsigned fact_arenas(void);

#endif
