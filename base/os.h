/* SPDX-License-Identifier: MIT
 *
 * os — the one header that knows the system: every system call is made here.
 *
 * All functions keep errno. Sizes and addresses are multiples of the OS page
 * (ash_page_size) unless said otherwise. Any thread may call; none waits for a
 * lock of ours. A refusal (seccomp, limits, old kernels) is an ordinary result.
 */
#ifndef ASH_BASE_OS_H
#define ASH_BASE_OS_H

#include "base/compiler.h"

/* The OS page in bytes, read from the auxiliary vector: 4, 16 or 64 KiB. */
HIDDEN extern size_t ash_page_size;

/* Reads the page size. Idempotent; the first thing that start-up does. */
void ash_os_init(void);

/* Address space without access (PROT_NONE, not charged). NULL when refused. */
void *ash_os_reserve(size_t size);
/* The same at `hint` or not at all. */
void *ash_os_reserve_at(uintptr_t hint, size_t size);
/* Readable zeros that are not charged (PROT_READ): for sparse tables. */
void *ash_os_reserve_zeros(size_t size);
/* Makes reserved memory readable and writable (zeros). False when refused. */
bool ash_os_commit(void *p, size_t size);
/* Readable and writable zeros at `hint` or not at all. */
void *ash_os_map_at(uintptr_t hint, size_t size);
/* The same anywhere. */
void *ash_os_map(size_t size);
void ash_os_unmap(void *p, size_t size);
/* Committed memory becomes mere address space again: no access, no charge, no
 * contents. False when refused: nothing has changed. */
bool ash_os_decommit(void *p, size_t size);
/* No huge pages here: a touched byte costs an OS page, not 2 MiB. Or where the
 * system has some. */
void ash_os_no_huge(void *p, size_t size);
void ash_os_huge(void *p, size_t size);

struct range {
	void *base;
	size_t size;
};

/* Gives the physical memory of n ranges back: they read as zeros afterwards; or
 * `lazily`, when the system needs it: till then they read as before (Linux 4.5).
 * Adds the number of system calls to *calls. False when the system refused a
 * range, or takes such calls and ignores them; those before it were given back. */
bool ash_os_purge(const struct range *ranges, unsigned n, bool lazily, size_t *calls);

/* CPU time of the calling thread in ns (a system call: some 300 ns). */
uint64_t ash_os_thread_cpu_ns(void);

/* Milliseconds of a coarse monotonic clock (6 ns a call; steps of 1-10 ms). */
uint64_t ash_os_now_ms(void);

/* The CPUs on which the calling thread may run, a bit each; nothing where the system does not say. */
void ash_os_affinity(uint64_t *mask, size_t bytes);

/* Address bits that user space uses here: 47 on x86-64, 39 to 48 on aarch64. */
unsigned ash_os_va_bits(void);
/* An address in the program's own file: near its code, data and break. */
uintptr_t ash_os_program_address(void);
/* Bytes of address space (RLIMIT_AS) and of memory (RLIMIT_DATA) that the
 * process may have, SIZE_MAX where unlimited. */
size_t ash_os_address_limit(void);
size_t ash_os_data_limit(void);
/* True when the program runs with raised privileges (AT_SECURE). */
bool ash_os_secure(void);
/* 64 random bits of this process, from the auxiliary vector. */
uint64_t ash_os_random(void);

/* The environment, also before the C library knows it; NULL where nobody can say. */
char **ash_os_environment(void);

/* Writes all of buf to fd, as far as the system takes it. */
void ash_os_write(int fd, const void *buf, size_t size);
/* The target of a symbolic link, terminated; false when there is none. */
bool ash_os_readlink(const char *path, char *buf, size_t size);

/* A file to read, closed by exec; -1 when refused. No thread is cancelled in these. */
int ash_os_open(const char *path);
/* The next bytes of it; 0 at its end or when it cannot be read. */
size_t ash_os_read(int fd, void *buf, size_t size);
void ash_os_close(int fd);

/* True where memory is charged when it becomes accessible, not when it is
 * touched (vm.overcommit_memory=2); false where nobody can say. */
bool ash_os_overcommit_strict(void);

/* From now on a fault of the program (SIGSEGV) at code address `pc`, with
 * `argument` the first argument of the function there, is shown to `told`
 * before the program ends as it would have. Not where the program has a handler. */
void ash_os_on_fault(void (*told)(uintptr_t pc, uintptr_t argument));

/* Sleeps while *word == value, until a wake. Wakes n sleepers. */
void ash_os_futex_wait(uint32_t *word, uint32_t value);
void ash_os_futex_wake(uint32_t *word, int n);

/* The same for `ms` at most; false: that time has passed. */
bool ash_os_futex_wait_for(uint32_t *word, uint32_t value, unsigned ms);

/* Every other thread of the process passes a full memory barrier before this
 * returns. False where the kernel cannot (before 4.14, some sandboxes). */
bool ash_os_barrier_all_threads(void);

/* The calling thread's number. */
uint32_t ash_os_thread_id(void);
/* True when this process has a thread of that number. */
bool ash_os_thread_lives(uint32_t id);
/* True when that thread waits in a system call that it made in the ordinary
 * course of its program, not in a signal handler. False also where nobody can
 * say (no /proc; handlers that do not block their signal). */
bool ash_os_thread_waits(uint32_t id);

/* The calling thread's name, as ps and debuggers show it: at most 15 bytes. */
void ash_os_name_thread(const char *name);

/* Lets another thread run. */
void ash_os_yield(void);

/* A page that reads 1 in this process and 0 in a child that has a copy of its
 * memory (MADV_WIPEONFORK): how a child made without fork handlers is known.
 * NULL where the kernel cannot (before 4.14). */
uint32_t *ash_os_wiped_in_child(void);
/* The address of the page that it made last, 0 for none. */
uintptr_t ash_os_wiped_page(void);

/* How the kernel can be asked which pages are resident, the best first: a scan of
 * the page tables (Linux 6.7), /proc/self/pagemap, mincore. The last two take a
 * page of zeros that was only read for a resident one. */
enum residency { RESIDENCY_SCAN, RESIDENCY_PAGEMAP, RESIDENCY_MINCORE, RESIDENCY_UNKNOWN };

/* Sets a bit for each resident page among the n <= 4,096 that begin at p, clears
 * the others'. `pagemap` is /proc/self/pagemap, opened. False: it cannot be asked so. */
bool ash_os_resident(enum residency how, int pagemap, uintptr_t p, size_t n, uint64_t *bits);

/* The n-th range of pages that the loader made writable for this library: its
 * data. False when there is none, or when they are the program's own. */
bool ash_os_own_data(unsigned n, struct range *range);

#endif
