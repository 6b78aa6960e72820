/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "numa/cpu.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>

#include "base/compiler.h"
#include "base/os.h"

#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#endif

/* glibc >= 2.35; absent (NULL) elsewhere. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

/* Offsets in struct rseq, fixed by the kernel's ABI. */
#define RSEQ_CPU_ID 4
#define RSEQ_MM_CID 24
#define RSEQ_SIZE_CPU_ID 20
#define RSEQ_SIZE_MM_CID 28

static int rseq_field = -1; /* const after start-up: which field to read, -1 for none */

void ash_cpu_init(void)
{
	if (!&__rseq_offset || !&__rseq_size || __rseq_size < RSEQ_SIZE_CPU_ID)
		return;
	/* glibc 2.36 says 20 although the area has 32 bytes and the kernel fills what it knows. */
	rseq_field = getauxval(AT_RSEQ_FEATURE_SIZE) >= RSEQ_SIZE_MM_CID ? RSEQ_MM_CID : RSEQ_CPU_ID;
}

unsigned ash_cpu_current(void)
{
	int saved = errno, cpu;

	if (rseq_field >= 0) {
		const volatile int32_t *field =
			(const volatile int32_t *)((char *)__builtin_thread_pointer() + __rseq_offset + rseq_field);

		/* Negative: this thread is not registered (too early, or refused). */
		if (*field >= 0)
			return (unsigned)*field;
	}
	cpu = sched_getcpu();
	errno = saved;
	return cpu < 0 ? 0 : (unsigned)cpu;
}

unsigned ash_cpu_allowed(void)
{
	/* 8,192 CPUs: the kernel's own limit on x86-64. */
	static const unsigned words = 8192 / 64;
	uint64_t mask[8192 / 64] = {0};
	unsigned count = 0;

	ash_os_affinity(mask, sizeof(mask));
	for (unsigned i = 0; i < words; i++)
		count += (unsigned)__builtin_popcountll(mask[i]);
	return count ? count : 1;
}
