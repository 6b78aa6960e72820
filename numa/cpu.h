/* SPDX-License-Identifier: MIT
 *
 * cpu — which CPU this thread runs on, and how many the process may use.
 *
 * Reads what the C library registered with the kernel (rseq); registers
 * nothing. Any thread may call, at any time; no locks, no memory.
 */
#ifndef ASH_NUMA_CPU_H
#define ASH_NUMA_CPU_H

/* Finds out what the kernel and the C library offer. Start-up, once. */
void ash_cpu_init(void);

/* A small number that two threads share only when they do not run at the same
 * moment: the kernel's concurrency id where there is one (dense: 0 to CPUs in
 * use - 1), else the CPU's number, 0 where nobody can say. */
unsigned ash_cpu_current(void);

/* CPUs in the affinity mask; at least 1. */
unsigned ash_cpu_allowed(void);

#endif
