/* SPDX-License-Identifier: MIT
 *
 * schedule — what each thread of a replay does, made of a trace before anything is measured. Its memory comes from mmap,
 * is there in full when the replay begins, and does not grow afterwards.
 *
 * Threads run freely, as the program's did, within two rules:
 *   1. An object that another thread allocated is waited for (its slot is `shared`).
 *   2. The clock of the trace counts 64 + the bytes allocated, freed or written for each event. No thread may be further
 *      than `slack` ahead of any other, so that a producer does not outrun its consumer and live memory stays what it was.
 * Rule 2 is looked at by `sync` actions, eight within a slack: some thousand events apart, so that the waiting does not
 * hide the allocator. Whoever has the next event of the trace never waits: no replay gets stuck.
 *
 *   slot: holds the pointer between the action that fills it and the one that takes it; used again only when `2 * slack`
 *   lie between, so that rule 2 keeps the two uses apart
 */
#ifndef ASHLAR_BENCH_TRACE_SCHEDULE_H
#define ASHLAR_BENCH_TRACE_SCHEDULE_H

#include "read.h"

enum action_kind {
	ACT_MALLOC,
	ACT_CALLOC,
	ACT_ALIGNED, /* to: log2 of the alignment */
	ACT_FREE,
	ACT_FREE_SIZED,
	ACT_RESIZE, /* from slot to slot `to` */
	ACT_TOUCH,  /* `size` pages from page `to` on */
	ACT_SYNC,   /* slot: which of the syncs */
	ACT_START,  /* slot: the thread; to: its first sync */
	ACT_END,
};

struct action {
	uint32_t slot, to;
	uint64_t size : 48;
	uint64_t kind : 6;
	uint64_t takes_shared : 1, fills_shared : 1;
};

struct sync {
	uint64_t clock, live;
	uint64_t program_kib, program_us; /* the program's last sample: memory above its first, time since its start */
	bool is_sample;                   /* the program's sample was taken here */
};

struct actions {
	struct action *first;
	size_t count;
	bool ends; /* by itself; else the thread lives until the replay is over */
};

struct schedule {
	uint32_t threads;
	struct actions *of_thread;
	struct sync *syncs;
	size_t sync_count;
	size_t slots;
	uint64_t slack, clock_end, end_live;
	uint64_t program_peak_kib;
};

/* NULL, or what is wrong with the trace. */
const char *schedule_make(struct schedule *s, const struct trace *t);

#endif
