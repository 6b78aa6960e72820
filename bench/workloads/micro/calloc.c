/* SPDX-License-Identifier: MIT
 *
 * Structures that their owner wants zeroed, of one size: g_new0, kzalloc-like wrappers, tables of an interpreter. A
 * hundred live at a time and die in the order of birth, so that the memory was written before and must be cleared
 * again, but for large tables, which an allocator may have fresh from the kernel.
 */
#include "bench/harness.h"

#define LIVE 100

static void zeroed_fixed(struct bench *b)
{
	size_t size = (size_t)bench_arg(b, 0);
	void *live[LIVE] = {0};

	while (bench_next(b)) {
		for (int i = 0; i < LIVE; i++) {
			free(live[i]);
			live[i] = bench_used(calloc(1, size), size);
		}
	}
	for (int i = 0; i < LIVE; i++)
		free(live[i]);
	bench_operations(b, LIVE);
}

BENCH_WORKLOAD(micro, calloc_64, .run = zeroed_fixed, .iterations = 500000, .args = {64});
BENCH_WORKLOAD(micro, calloc_1k, .run = zeroed_fixed, .iterations = 300000, .args = {1024});
BENCH_WORKLOAD(micro, calloc_64k, .run = zeroed_fixed, .iterations = 1500, .args = {64 * 1024});
