/* SPDX-License-Identifier: MIT
 *
 * print — formats lines into a buffer of the caller's and writes them.
 *
 * Never allocates, never takes a lock, keeps errno. Knows only
 *   %s string  %u unsigned  %zu size_t  %zd signed  %p pointer  %c char  %%
 * and field widths for strings and numbers (%10zu right, %-10s left).
 */
#ifndef ASH_BASE_PRINT_H
#define ASH_BASE_PRINT_H

#include <stdarg.h>
#include <stddef.h>

#define ASH_LINE_MAX 512

/* Formats into buf (always terminated); returns the length, at most size - 1. */
size_t ash_format(char *buf, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
size_t ash_vformat(char *buf, size_t size, const char *format, va_list args);

/* One line "ashlar: ..." (or "<jemalloc>: ...", base/identity.h) on standard error, by one write(2), or
 * to the program's malloc_message where no lock is held. */
void ash_message(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line as it is: jemalloc has one that begins with no name. */
void ash_message_bare(const char *line);

#endif
