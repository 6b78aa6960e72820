/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/os.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/compiler.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
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

bool ash_os_commit(void *p, size_t size)
{
	int saved = errno;
	bool ok = mprotect(p, size, PROT_READ | PROT_WRITE) == 0;

	errno = saved;
	return ok;
}

void ash_os_unmap(void *p, size_t size)
{
	int saved = errno;

	munmap(p, size);
	errno = saved;
}

void ash_os_no_huge(void *p, size_t size)
{
	int saved = errno;

	madvise(p, size, MADV_NOHUGEPAGE);
	errno = saved;
}

/* One call for all ranges; returns how many ranges it gave back whole. */
static unsigned purge_vector(const struct range *ranges, unsigned n, size_t *calls)
{
	_Static_assert(sizeof(struct range) == sizeof(struct iovec) &&
			       offsetof(struct range, size) == offsetof(struct iovec, iov_len),
		       "a range is passed to the kernel as it is");
	unsigned done = 0;
	ssize_t bytes;

	if (n < 2 || load_relaxed(&process_madvise_refused))
		return 0;
	++*calls;
	bytes = syscall(SYS_process_madvise, PIDFD_SELF_PROCESS, ranges, (size_t)n, MADV_DONTNEED, 0);
	if (bytes < 0) {
		store_relaxed(&process_madvise_refused, true);
		return 0;
	}
	while (done < n && (size_t)bytes >= ranges[done].size)
		bytes -= (ssize_t)ranges[done++].size;
	return done;
}

bool ash_os_purge(const struct range *ranges, unsigned n, size_t *calls)
{
	int saved = errno;
	bool ok = true;

	for (unsigned i = purge_vector(ranges, n, calls); ok && i < n; i++) {
		++*calls;
		ok = madvise(ranges[i].base, ranges[i].size, MADV_DONTNEED) == 0;
	}
	errno = saved;
	return ok;
}

uint64_t ash_os_now_ms(void)
{
	struct timespec ts = {0, 0};
	int saved = errno;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	errno = saved;
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
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

void ash_os_futex_wake(uint32_t *word, int n)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
	errno = saved;
}

void ash_os_yield(void)
{
	syscall(SYS_sched_yield);
}

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
	errno = saved;
	return page;
}
