/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bitmap.h"
#include "base/compiler.h"
#include "base/options.h"

#ifndef MADV_FREE
#define MADV_FREE 8
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef SYS_membarrier
#if defined(__x86_64__)
#define SYS_membarrier 324
#else
#define SYS_membarrier 283
#endif
#endif
/* linux/membarrier.h, which old headers lack. */
#define MEMBARRIER_CMD_PRIVATE_EXPEDITED (1 << 3)
#define MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED (1 << 4)
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
/* The calling process, without an open file (Linux 6.14). */
#define PIDFD_SELF_PROCESS (-10000)

size_t ash_page_size = 4096;

static bool process_madvise_refused;

void ash_os_init(void)
{
	size_t size = getauxval(AT_PAGESZ);

	if (size)
		ash_page_size = size;
}

static void *map(uintptr_t hint, size_t size, int prot)
{
	int saved = errno;
	void *p = mmap((void *)hint, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	errno = saved;
	return p == MAP_FAILED ? NULL : p;
}

static void *map_at(uintptr_t hint, size_t size, int prot)
{
	void *p = map(hint, size, prot);

	if (p && (uintptr_t)p != hint) {
		ash_os_unmap(p, size);
		return NULL;
	}
	return p;
}

void *ash_os_reserve(size_t size)
{
	return map(0, size, PROT_NONE);
}

void *ash_os_reserve_at(uintptr_t hint, size_t size)
{
	return map_at(hint, size, PROT_NONE);
}

void *ash_os_reserve_zeros(size_t size)
{
	return map(0, size, PROT_READ);
}

void *ash_os_map_at(uintptr_t hint, size_t size)
{
	return map_at(hint, size, PROT_READ | PROT_WRITE);
}

void *ash_os_map(size_t size)
{
	return map(0, size, PROT_READ | PROT_WRITE);
}

bool ash_os_commit(void *p, size_t size)
{
	int saved = errno;
	bool ok = mprotect(p, size, PROT_READ | PROT_WRITE) == 0;

	errno = saved;
	return ok;
}

bool ash_os_decommit(void *p, size_t size)
{
	int saved = errno;
	bool ok = mmap(p, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == p;

	errno = saved;
	return ok;
}

void ash_os_unmap(void *p, size_t size)
{
	int saved = errno;

	munmap(p, size);
	errno = saved;
}

void ash_os_huge(void *p, size_t size)
{
	int saved = errno;

	madvise(p, size, MADV_HUGEPAGE);
	errno = saved;
}

void ash_os_no_huge(void *p, size_t size)
{
	int saved = errno;

	madvise(p, size, MADV_NOHUGEPAGE);
	errno = saved;
}

/* One call for all ranges; returns how many ranges it gave back whole. */
static unsigned purge_vector(const struct range *ranges, unsigned n, int advice, size_t *calls)
{
	_Static_assert(sizeof(struct range) == sizeof(struct iovec) &&
			       offsetof(struct range, size) == offsetof(struct iovec, iov_len),
		       "a range is passed to the kernel as it is");
	unsigned done = 0;
	ssize_t bytes;

	if (n < 2 || load_relaxed(&process_madvise_refused))
		return 0;
	++*calls;
	bytes = syscall(SYS_process_madvise, PIDFD_SELF_PROCESS, ranges, (size_t)n, advice, 0);
	if (bytes < 0) {
		store_relaxed(&process_madvise_refused, true);
		return 0;
	}
	while (done < n && (size_t)bytes >= ranges[done].size)
		bytes -= (ssize_t)ranges[done++].size;
	return done;
}

/* qemu's user mode and some sandboxes accept MADV_DONTNEED and ignore it. */
static bool purge_is_real(void)
{
	enum { UNKNOWN, REAL, IGNORED };
	static uint8_t known; /* atomic */
	volatile char *page;

	if (load_relaxed(&known) != UNKNOWN || ash_options.trust_madvise)
		return load_relaxed(&known) != IGNORED;
	page = map(0, ash_page_size, PROT_READ | PROT_WRITE);
	if (!page)
		return false;
	*page = 1;
	if (madvise((void *)page, ash_page_size, MADV_DONTNEED) == 0)
		store_relaxed(&known, *page ? IGNORED : REAL);
	ash_os_unmap((void *)page, ash_page_size);
	return load_relaxed(&known) == REAL;
}

bool ash_os_purge(const struct range *ranges, unsigned n, bool lazily, size_t *calls)
{
	int advice = lazily ? MADV_FREE : MADV_DONTNEED;
	int saved = errno;
	bool ok = purge_is_real();

	for (unsigned i = ok ? purge_vector(ranges, n, advice, calls) : 0; ok && i < n; i++) {
		++*calls;
		ok = madvise(ranges[i].base, ranges[i].size, advice) == 0;
	}
	errno = saved;
	return ok;
}

/* Not libc's function: its page of code would be one that small programs have for this alone (64 KiB of their RSS). */
void ash_os_affinity(uint64_t *mask, size_t bytes)
{
	int saved = errno;

	syscall(SYS_sched_getaffinity, 0, bytes, mask);
	errno = saved;
}

uint64_t ash_os_now_ms(void)
{
	struct timespec ts = {0, 0};
	int saved = errno;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	errno = saved;
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t ash_os_thread_cpu_ns(void)
{
	struct timespec ts = {0, 0};
	int saved = errno;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	errno = saved;
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

unsigned ash_os_va_bits(void)
{
	/* The kernel's smallest configurations: 47 on x86-64, 39 elsewhere. Under valgrind stacks lie lower than maps. */
#if defined(__x86_64__)
	size_t least = (size_t)1 << 46;
#else
	size_t least = (size_t)1 << 38;
#endif
	/* The first stack is the highest thing that the kernel maps. */
	size_t stack = size_max(getauxval(AT_RANDOM), (uintptr_t)__builtin_frame_address(0));

	return log2_floor(size_max(stack, least)) + 1;
}

uintptr_t ash_os_program_address(void)
{
	return (uintptr_t)getauxval(AT_PHDR);
}

static size_t limit_of(int resource)
{
	struct rlimit limit;
	int saved = errno;
	bool known = getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;

	errno = saved;
	return known ? (size_t)limit.rlim_cur : SIZE_MAX;
}

size_t ash_os_address_limit(void)
{
	return limit_of(RLIMIT_AS);
}

size_t ash_os_data_limit(void)
{
	return limit_of(RLIMIT_DATA);
}

bool ash_os_secure(void)
{
	return getauxval(AT_SECURE) != 0;
}

uint64_t ash_os_random(void)
{
	const char *bytes = (const char *)getauxval(AT_RANDOM);
	uint64_t drawn = (uintptr_t)__builtin_frame_address(0);

	/* 16 bytes at any address; the C library's canaries take the first half. */
	if (bytes)
		memcpy(&drawn, bytes + sizeof(drawn), sizeof(drawn));
	return drawn;
}

/* glibc's ld.so: where the kernel put argc, argv and the environment. */
extern void *__libc_stack_end __attribute__((weak));

char **ash_os_environment(void)
{
	char **p;

	if (environ || !&__libc_stack_end || !__libc_stack_end)
		return environ;
	/* argc, argv[argc], NULL, environment */
	p = __libc_stack_end;
	return p + *(long *)p + 2;
}

void ash_os_write(int fd, const void *buf, size_t size)
{
	const char *p = buf;
	int saved = errno;

	while (size) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		p += n;
		size -= (size_t)n;
	}
	errno = saved;
}

bool ash_os_readlink(const char *path, char *buf, size_t size)
{
	int saved = errno;
	ssize_t n = readlink(path, buf, size - 1);

	errno = saved;
	if (n < 0)
		return false;
	buf[n] = '\0';
	return true;
}

/* By number: libc's open, read and close are points where a thread may be cancelled. */
int ash_os_open(const char *path)
{
	int saved = errno;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);

	errno = saved;
	return fd;
}

size_t ash_os_read(int fd, void *buf, size_t size)
{
	int saved = errno;
	long n;

	do
		n = syscall(SYS_read, fd, buf, size);
	while (n < 0 && errno == EINTR);
	errno = saved;
	return n < 0 ? 0 : (size_t)n;
}

void ash_os_close(int fd)
{
	int saved = errno;

	syscall(SYS_close, fd);
	errno = saved;
}

uint32_t ash_os_thread_id(void)
{
	int saved = errno;
	uint32_t id = (uint32_t)syscall(SYS_gettid);

	errno = saved;
	return id;
}

bool ash_os_thread_lives(uint32_t id)
{
	int saved = errno;
	bool lives = syscall(SYS_tgkill, getpid(), id, 0) == 0 || errno != ESRCH;

	errno = saved;
	return lives;
}

/* The beginning of /proc/self/task/ID/NAME, terminated; false when it cannot be read. */
static bool read_of_thread(uint32_t id, const char *name, char *buf, size_t size)
{
	char path[64] = "/proc/self/task/", digits[10];
	size_t at = strlen(path), n = 0;
	int fd;

	for (; id; id /= 10)
		digits[n++] = (char)('0' + id % 10);
	while (n)
		path[at++] = digits[--n];
	path[at++] = '/';
	memcpy(path + at, name, strlen(name) + 1);
	fd = ash_os_open(path);
	if (fd < 0)
		return false;
	n = ash_os_read(fd, buf, size - 1);
	ash_os_close(fd);
	buf[n] = '\0';
	return n != 0;
}

/* The hexadecimal number behind `name` in a status file; false when it is not there. */
static bool status_mask(const char *text, const char *name, uint64_t *mask)
{
	const char *p = strstr(text, name);

	if (!p)
		return false;
	*mask = 0;
	for (p += strlen(name); *p == '\t' || *p == ' '; p++)
		;
	for (; (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'); p++)
		*mask = *mask * 16 + (uint64_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
	return *p == '\n';
}

/* While a handler runs, its signal is blocked: unless it was installed otherwise. */
static bool handlers_block(uint64_t caught)
{
	for (int signal = 1; caught; signal++, caught >>= 1) {
		struct sigaction action;

		if (caught & 1 && sigaction(signal, NULL, &action) == 0 && action.sa_flags & SA_NODEFER)
			return false;
	}
	return true;
}

/* How often the thread has gone to sleep, and the signals that it blocks or catches both. */
struct thread_look {
	char switches[64];
	uint64_t in_handler;
	uint64_t caught;
};

static bool look_at_thread(uint32_t id, struct thread_look *look)
{
	char text[4096];
	const char *switches;
	uint64_t blocked;

	if (!read_of_thread(id, "status", text, sizeof(text)) || !status_mask(text, "\nSigBlk:", &blocked) ||
	    !status_mask(text, "\nSigCgt:", &look->caught))
		return false;
	switches = strstr(text, "voluntary_ctxt_switches:");
	if (!switches)
		return false;
	strncpy(look->switches, switches, sizeof(look->switches) - 1);
	look->switches[sizeof(look->switches) - 1] = '\0';
	look->in_handler = blocked & look->caught;
	return true;
}

/* The calls in which threads idle. Not others: while a thread is in vfork its child works with its memory, and a handler
 * that suspends the thread, wherever it is, may wait in sigsuspend with its own signal open (Java's does). */
static bool is_idle_call(long number)
{
	static const uint16_t idle[] = {
		SYS_futex,  SYS_ppoll,    SYS_pselect6,   SYS_epoll_pwait, SYS_nanosleep, SYS_clock_nanosleep,
		SYS_read,   SYS_recvfrom, SYS_recvmsg,    SYS_accept,      SYS_accept4,   SYS_wait4,
		SYS_waitid,
#ifdef SYS_poll
		SYS_poll,   SYS_select,   SYS_epoll_wait,
#endif
	};

	for (unsigned i = 0; i < sizeof(idle) / sizeof(*idle); i++) {
		if (idle[i] == number)
			return true;
	}
	return false;
}

/* "running", "-1 ..." (a page fault), or the number of the call. */
static bool is_idle(uint32_t id)
{
	char text[256];
	long number = 0;

	if (!read_of_thread(id, "syscall", text, sizeof(text)) || *text < '0' || *text > '9')
		return false;
	for (const char *p = text; *p >= '0' && *p <= '9'; p++)
		number = number * 10 + (*p - '0');
	return is_idle_call(number);
}

/* The stack pointer in the last but one word of a "syscall" file. */
static uintptr_t stack_pointer_in(const char *text)
{
	const char *p = strrchr(text, ' ');
	uintptr_t sp = 0;

	if (!p)
		return 0;
	while (p > text && p[-1] != ' ')
		p--;
	for (p += 2; (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'); p++)
		sp = sp * 16 + (uintptr_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
	return sp;
}

/* An emulator's threads wait in calls of its own, while the program that it emulates is anywhere: its stack pointers are
 * not ours. */
static bool calls_are_ours(void)
{
	enum { UNKNOWN, OURS, AN_EMULATORS };
	static uint8_t known; /* atomic */
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	char text[256];

	if (load_relaxed(&known) == UNKNOWN && read_of_thread(ash_os_thread_id(), "syscall", text, sizeof(text)))
		store_relaxed(&known, here - stack_pointer_in(text) < ((uintptr_t)1 << 16) ? OURS : AN_EMULATORS);
	return load_relaxed(&known) == OURS;
}

bool ash_os_thread_waits(uint32_t id)
{
	struct thread_look before, after;
	int saved = errno;
	bool waits;

	/* It slept all the time between the two looks: what they and the one between them saw is one moment. */
	waits = calls_are_ours() && look_at_thread(id, &before) && is_idle(id) && look_at_thread(id, &after) &&
		strcmp(before.switches, after.switches) == 0 && !after.in_handler && handlers_block(after.caught);
	errno = saved;
	return waits;
}

bool ash_os_overcommit_strict(void)
{
	char mode = '0';
	int fd = ash_os_open("/proc/sys/vm/overcommit_memory");

	if (fd >= 0) {
		ash_os_read(fd, &mode, 1);
		ash_os_close(fd);
	}
	return mode == '2';
}

static void (*fault_told)(uintptr_t pc, uintptr_t argument);

static void on_fault(int signal, siginfo_t *info, void *context)
{
	const ucontext_t *u = context;

#if defined(__x86_64__)
	fault_told((uintptr_t)u->uc_mcontext.gregs[REG_RIP], (uintptr_t)u->uc_mcontext.gregs[REG_RDI]);
#elif defined(__aarch64__)
	fault_told((uintptr_t)u->uc_mcontext.pc, (uintptr_t)u->uc_mcontext.regs[0]);
#endif
	/* SA_RESETHAND: the instruction faults once more, and the program ends. */
}

void ash_os_on_fault(void (*told)(uintptr_t pc, uintptr_t argument))
{
	struct sigaction action, before;
	int saved = errno;

	memset(&action, 0, sizeof(action));
	action.sa_sigaction = on_fault;
	action.sa_flags = SA_SIGINFO | SA_RESETHAND | SA_ONSTACK;
	fault_told = told;
	if (sigaction(SIGSEGV, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
		sigaction(SIGSEGV, &action, NULL);
	errno = saved;
}

void ash_os_futex_wait(uint32_t *word, uint32_t value)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
	errno = saved;
}

bool ash_os_futex_wait_for(uint32_t *word, uint32_t value, unsigned ms)
{
	struct timespec timeout = {ms / 1000, (long)(ms % 1000) * 1000000};
	int saved = errno;
	bool woken = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &timeout, NULL, 0) == 0 || errno != ETIMEDOUT;

	errno = saved;
	return woken;
}

void ash_os_futex_wake(uint32_t *word, int n)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
	errno = saved;
}

bool ash_os_barrier_all_threads(void)
{
	int saved = errno;
	bool ok = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;

	if (!ok && errno == EPERM && syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0)
		ok = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
	errno = saved;
	return ok;
}

void ash_os_name_thread(const char *name)
{
	int saved = errno;

	prctl(PR_SET_NAME, name);
	errno = saved;
}

void ash_os_yield(void)
{
	syscall(SYS_sched_yield);
}

static uint32_t *wiped_page; /* const after start-up */

uint32_t *ash_os_wiped_in_child(void)
{
	int saved = errno;
	uint32_t *page = map(0, ash_page_size, PROT_READ | PROT_WRITE);

	if (page && madvise(page, ash_page_size, MADV_WIPEONFORK) != 0) {
		ash_os_unmap(page, ash_page_size);
		page = NULL;
	}
	if (page)
		*page = 1;
	wiped_page = page;
	errno = saved;
	return page;
}

uintptr_t ash_os_wiped_page(void)
{
	return (uintptr_t)wiped_page;
}

/* ---- which pages are resident */

/* As in <linux/fs.h> of Linux 6.7. */
#define PAGEMAP_SCAN 0xc0606610u
#define PAGE_PRESENT ((uint64_t)1 << 3)
#define PAGE_ZERO ((uint64_t)1 << 5)
struct page_region {
	uint64_t begin, end, categories;
};
struct page_scan {
	uint64_t size, flags, begin, end, walk_end, regions, nregions, max_pages;
	uint64_t inverted, wanted, wanted_any, returned;
};
_Static_assert(sizeof(struct page_scan) == (PAGEMAP_SCAN >> 16 & 0x3fff), "the request's number holds its size");

#define SCAN_REGIONS 32
#define PAGEMAP_ENTRIES 64

static bool resident_by_scan(int pagemap, uintptr_t p, size_t n, uint64_t *bits)
{
	struct page_region regions[SCAN_REGIONS];
	uintptr_t end = p + n * ash_page_size;
	struct page_scan scan = {.size = sizeof(scan),
				 .end = end,
				 .regions = (uintptr_t)regions,
				 .nregions = SCAN_REGIONS,
				 .inverted = PAGE_ZERO,
				 .wanted = PAGE_PRESENT | PAGE_ZERO,
				 .returned = PAGE_PRESENT};

	for (scan.begin = p; scan.begin < end; scan.begin = scan.walk_end) {
		long found = syscall(SYS_ioctl, pagemap, (unsigned long)PAGEMAP_SCAN, &scan);

		if (found < 0 || scan.walk_end <= scan.begin)
			return false;
		for (long i = 0; i < found; i++)
			bitmap_set(bits, (regions[i].begin - p) / ash_page_size,
				   (regions[i].end - regions[i].begin) / ash_page_size);
	}
	return true;
}

static bool resident_by_pagemap(int pagemap, uintptr_t p, size_t n, uint64_t *bits)
{
	uint64_t entry[PAGEMAP_ENTRIES];

	for (size_t i = 0, len; i < n; i += len) {
		off_t at = (off_t)((p / ash_page_size + i) * sizeof(*entry));

		len = size_min(n - i, PAGEMAP_ENTRIES);
		if (syscall(SYS_pread64, pagemap, entry, len * sizeof(*entry), at) != (long)(len * sizeof(*entry)))
			return false;
		for (size_t k = 0; k < len; k++) {
			if (entry[k] >> 63)
				bitmap_set(bits, i + k, 1);
		}
	}
	return true;
}

static bool resident_by_mincore(uintptr_t p, size_t n, uint64_t *bits)
{
	unsigned char in_core[512];

	for (size_t i = 0, len; i < n; i += len) {
		len = size_min(n - i, sizeof(in_core));
		if (syscall(SYS_mincore, p + i * ash_page_size, len * ash_page_size, in_core) != 0)
			return false;
		for (size_t k = 0; k < len; k++) {
			if (in_core[k] & 1)
				bitmap_set(bits, i + k, 1);
		}
	}
	return true;
}

bool ash_os_resident(enum residency how, int pagemap, uintptr_t p, size_t n, uint64_t *bits)
{
	int saved = errno;
	bool known = false;

	memset(bits, 0, round_up(n, 64) / 8);
	if (how == RESIDENCY_SCAN)
		known = resident_by_scan(pagemap, p, n, bits);
	else if (how == RESIDENCY_PAGEMAP)
		known = resident_by_pagemap(pagemap, p, n, bits);
	else if (how == RESIDENCY_MINCORE)
		known = resident_by_mincore(p, n, bits);
	errno = saved;
	return known;
}

/* Where this library or the program that carries it begins; by the linker. */
HIDDEN extern const ElfW(Ehdr) __ehdr_start __attribute__((weak));

bool ash_os_own_data(unsigned n, struct range *range)
{
	const ElfW(Ehdr) *elf = &__ehdr_start;
	const ElfW(Phdr) * segment;
	uintptr_t begin;

	OPAQUE(elf);
	if (!elf || (uintptr_t)elf + elf->e_phoff == ash_os_program_address())
		return false;
	segment = (const ElfW(Phdr) *)((uintptr_t)elf + elf->e_phoff);
	for (unsigned i = 0; i < elf->e_phnum; i++, segment++) {
		if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_W) || n--)
			continue;
		/* A shared object's first segment lies at 0. */
		begin = round_down((uintptr_t)elf + segment->p_vaddr, ash_page_size);
		range->base = (void *)begin;
		range->size = round_up((uintptr_t)elf + segment->p_vaddr + segment->p_memsz, ash_page_size) - begin;
		return true;
	}
	return false;
}
