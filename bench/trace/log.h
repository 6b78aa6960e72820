/* SPDX-License-Identifier: MIT
 *
 * log — the events of a recorded program: a buffer for each thread, appended to the recording when it is full, when its
 * thread ends, and when the program exits. Memory comes from mmap, never from malloc. Any thread may call, between
 * self.busy = true and false only, so that a signal handler finds no half-written event.
 *
 *   a sequence number is taken before the allocator gets an address back and after it has handed one out:
 *   so in the order of the numbers no address lives twice
 */
#ifndef ASHLAR_BENCH_TRACE_LOG_H
#define ASHLAR_BENCH_TRACE_LOG_H

#include "format.h"

#include <stdatomic.h>
#include <stdbool.h>

struct self {
	volatile bool busy; /* in the recorder or in the allocator: calls from there are not the program's */
	bool ended;         /* the thread's END has been written; what still comes is written at once */
	bool wrote;         /* its buffer, since log_rest() */
	uint32_t thread;    /* number + 1, 0 before the first event */
	struct log *log;
};

extern __thread struct self self __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Unknown before the first call, when the next allocator has not been looked up. */
enum { RECORDING_UNKNOWN, RECORDING_ON, RECORDING_OFF };
extern atomic_int recording;

void log_prepare(const char *allocator); /* once, before the first event */
void log_open(void);                     /* when the environment can be read; the first full buffer does it too */
void log_sample(void);                   /* of resident memory */
void log_close(void);

void log_allocation(enum event_kind kind, const void *p, size_t size, unsigned shift);
void log_address(enum event_kind kind, const void *p); /* free, free_sized, realloc */
void log_plain(enum event_kind kind);                  /* resize_failed, resize_freed */
void log_touch(uint64_t address, uint64_t page, const unsigned char *resident, size_t pages);

void log_inner(void);      /* counts a call that is not recorded */
void log_rest(void);       /* at the end of a call that wrote: samples and residency by the clock */
void log_thread_end(void); /* the thread's data is being destroyed */

#endif
