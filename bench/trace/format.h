/* SPDX-License-Identifier: MIT
 *
 * The two files of the trace tools. A *recording* is what libashlar-record.so writes while a program runs: per-thread
 * chunks of events with addresses and a global sequence number, quick to write. A *trace* is what ashlar-trace makes of
 * it: one stream in the order of the sequence, with objects by age instead of addresses, small to keep and quick to read.
 * If a reader took one for the other, or a damaged one for whole, a comparison of allocators would rest on nonsense: both
 * begin with a magic number and a version, and everything after the header is covered by check sums.
 *
 * Numbers are little-endian as in memory. A varint has seven bits a byte, low bits first, the top bit set in all but the
 * last; a signed one is zigzag: 0, -1, 1, -2 are 0, 1, 2, 3.
 *
 *   recording   struct recording_header, then chunks: struct chunk_header and `bytes` bytes of events of one thread.
 *               The last chunk is of thread END_OF_RECORDING and holds struct recording_end; without it the program was
 *               killed or crashed, and what its threads had not yet written is lost.
 *   event       a byte: kind, plus NEXT_SEQUENCE if its sequence number is the one after the previous event's of the
 *               chunk; else varint(sequence - previous) follows. Then by kind, where `at` is the signed varint of the
 *               address minus that of the thread's previous event in the chunk (0 before the first):
 *                 malloc calloc      at, size
 *                 aligned            at, size, log2 of the alignment
 *                 free free_sized    at
 *                 realloc            at (the old address, before the call), and after the call one of
 *                   resized          at (the new address), size        }
 *                   resize_failed                                      } each a number in the sequence of its own
 *                   resize_freed                                       }
 *                 touch              at, first page, number of runs, then (pages to skip, resident pages) per run.
 *                                    Page 0 is the one in which the object begins. Only for objects of LARGE_BYTES or
 *                                    more: smaller ones count as written by the program in full.
 *                 thread_end         (nothing)
 *                 sample             microseconds since the start, the program's anonymous resident KiB
 *
 *   trace       struct trace_header, then `body_bytes` of events: a byte of kind, then
 *                 malloc calloc      size
 *                 aligned            size, log2 of the alignment
 *                 free free_sized    age: how many objects were allocated since this one (0: it was the last)
 *                 resized            age, size
 *                 touch              age, number of runs (1 or more), then (pages to skip, pages) per run; no page twice
 *                 thread_end         (nothing): the last event of its thread
 *                 sample             microseconds since the start, KiB
 *                 thread             number: the following events are of that thread. Threads are numbered as they
 *                                    appear; the stream begins in thread 0.
 */
#ifndef ASHLAR_BENCH_TRACE_FORMAT_H
#define ASHLAR_BENCH_TRACE_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RECORDING_MAGIC 0x0a0d636572687361u /* "ashrec\r\n": a transfer that mends line ends breaks it */
#define TRACE_MAGIC 0x0a0d637274687361u     /* "ashtrc\r\n" */
#define RECORDING_VERSION 1
#define TRACE_VERSION 1
#define CHUNK_MAGIC 0x6b6e6863u /* "chnk" */
#define END_OF_RECORDING UINT32_MAX
#define LARGE_BYTES 32768
#define TRACE_PAGE 4096
#define OBJECT_MAX ((uint64_t)1 << 47) /* no larger object is believed */
#define ALIGNMENT_SHIFT_MAX 40
#define NAME_BYTES 128

enum event_kind {
	EVENT_NONE,
	EVENT_MALLOC,
	EVENT_CALLOC,
	EVENT_ALIGNED,
	EVENT_FREE,
	EVENT_FREE_SIZED,
	EVENT_REALLOC, /* recordings only */
	EVENT_RESIZED,
	EVENT_RESIZE_FAILED, /* recordings only */
	EVENT_RESIZE_FREED,  /* recordings only */
	EVENT_TOUCH,
	EVENT_THREAD_END,
	EVENT_SAMPLE,
	EVENT_THREAD, /* traces only */
	EVENT_KINDS,
};

#define NEXT_SEQUENCE 0x80

struct recording_header {
	uint64_t magic;
	uint32_t version, header_bytes;
	uint64_t started_ns; /* CLOCK_REALTIME */
	uint32_t pid, page_bytes;
	char program[NAME_BYTES], allocator[NAME_BYTES]; /* files, with NUL */
	uint64_t check;                                  /* of all before it */
};

struct chunk_header {
	uint32_t magic, thread;
	uint32_t bytes, reserved;
	uint64_t sequence; /* before the first event */
	uint64_t check;    /* of the other fields, continued over the events */
};

struct recording_end {
	uint64_t events; /* numbers given out */
	uint64_t inner;  /* calls not recorded: by the allocator itself, or by a signal handler that interrupted it */
	uint64_t forks;  /* children that were not recorded */
	uint64_t lost;   /* events that could not be written */
};

struct trace_header {
	uint64_t magic;
	uint32_t version, header_bytes;
	uint64_t body_bytes, body_check;
	uint64_t events, objects, threads;
	uint64_t calls[EVENT_KINDS]; /* events by kind */
	uint64_t allocated_bytes;    /* asked for in all, growth by realloc included */
	uint64_t peak_live_bytes, peak_live_objects, end_live_bytes, end_live_objects;
	uint64_t unknown_frees; /* left out: their allocation was not recorded */
	uint64_t missed_frees;  /* put in: their address was handed out again */
	uint64_t inner, forks, lost;
	uint64_t whole; /* 1 if the recording had its end */
	char program[NAME_BYTES], allocator[NAME_BYTES];
	uint64_t check; /* of all before it */
};

/* Finds every changed byte and most greater damage, in a quarter of a nanosecond a byte. */
#define CHECK_START 0xcbf29ce484222325u

static inline uint64_t check_sum(uint64_t check, const void *data, size_t bytes)
{
	const unsigned char *at = data;

	while (bytes > 0) {
		uint64_t word = 0;
		size_t n = bytes < sizeof word ? bytes : sizeof word;

		memcpy(&word, at, n);
		check = (check ^ word) * 0x9e3779b97f4a7c15u;
		check ^= check >> 29;
		at += n;
		bytes -= n;
	}
	return check;
}

static inline unsigned char *put_varint(unsigned char *at, uint64_t value)
{
	while (value > 0x7f) {
		*at++ = (unsigned char)(value | 0x80);
		value >>= 7;
	}
	*at++ = (unsigned char)value;
	return at;
}

static inline unsigned char *put_signed(unsigned char *at, int64_t value)
{
	return put_varint(at, (uint64_t)value << 1 ^ (uint64_t)(value >> 63));
}

/* Bytes that are read front to back; `bad` from the first reading beyond the end on. */
struct bytes {
	const unsigned char *at, *end;
	int bad;
};

static inline unsigned get_byte(struct bytes *b)
{
	if (b->at < b->end)
		return *b->at++;
	b->bad = 1;
	return 0;
}

static inline uint64_t get_varint(struct bytes *b)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		unsigned byte = get_byte(b);

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	b->bad = 1;
	return 0;
}

static inline int64_t get_signed(struct bytes *b)
{
	uint64_t value = get_varint(b);

	return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

#endif
