/* SPDX-License-Identifier: MIT
 *
 * pack — makes a trace of a recording. Puts the events of all threads into the order of their sequence numbers, turns
 * addresses into objects, and counts what the replay must agree with. What a recording may lack (the program was
 * killed, a handler allocated) is mended and counted; what it cannot lack (a chunk in the middle) is told.
 */
#ifndef ASHLAR_BENCH_TRACE_PACK_H
#define ASHLAR_BENCH_TRACE_PACK_H

/* NULL, or what is wrong with the recording (or with writing the trace). */
const char *pack(const char *recording, const char *trace);

#endif
