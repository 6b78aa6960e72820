/* SPDX-License-Identifier: MIT
 *
 * If this were wrong, the tests of this folder would show nothing: a call that
 * is not led here is never refused. imports.py compares the names below with
 * what the library imports.
 */
#define _GNU_SOURCE
#include "inject.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

enum { SLOW_US = 100, PURGE_US = 3000, AWAIT_LOOKS = 1000, ARGUMENTS = 7 };

static struct {
	enum kind kind;
	uint64_t first;
	uint64_t count;
	int error;
	uint64_t seed;
	unsigned flags;
	bool known;
} plan;

static bool over;
static uint64_t uses, refused;
static uint64_t passed_ms;

static const char *const names[] = {
#define KIND(name, what, needs, ...) #name,
#include "kinds.def"
#undef KIND
};

/* glibc's ld.so: where the kernel put argc and argv. */
extern void *__libc_stack_end;

static uint64_t number(const char *text)
{
	uint64_t n = 0;

	while (*text >= '0' && *text <= '9')
		n = n * 10 + (uint64_t)(*text++ - '0');
	return n;
}

/* The first call comes from one thread: nobody else exists before main. */
static void plan_read(void)
{
	long argc = *(long *)__libc_stack_end;
	char **argv = (char **)__libc_stack_end + 1;

	plan.known = true;
	plan.kind = KINDS;
	if (argc != ARGUMENTS)
		return;
	for (unsigned k = 0; k < KINDS; k++) {
		if (strcmp(argv[1], names[k]) == 0)
			plan.kind = (enum kind)k;
	}
	plan.first = number(argv[2]);
	plan.count = number(argv[3]);
	plan.error = (int)number(argv[4]);
	plan.seed = number(argv[5]);
	plan.flags = (unsigned)number(argv[6]);
}

/* Counts one use of this kind of call: 0, or the errno that it is to fail with. */
static int fault(enum kind kind)
{
	uint64_t use;

	if (!plan.known)
		plan_read();
	if (kind != plan.kind || __atomic_load_n(&over, __ATOMIC_RELAXED))
		return 0;
	use = __atomic_add_fetch(&uses, 1, __ATOMIC_RELAXED);
	if (!plan.first || use < plan.first || use - plan.first >= plan.count)
		return 0;
	__atomic_add_fetch(&refused, 1, __ATOMIC_RELAXED);
	return plan.error;
}

/* The same for calls that say so by errno. */
static bool refuse(enum kind kind)
{
	int error = fault(kind);

	if (error && error != CUT_SHORT)
		errno = error;
	return error != 0;
}

void inject_end(void)
{
	__atomic_store_n(&over, true, __ATOMIC_SEQ_CST);
}

uint64_t inject_uses(void)
{
	return __atomic_load_n(&uses, __ATOMIC_RELAXED);
}

uint64_t inject_refused(void)
{
	return __atomic_load_n(&refused, __ATOMIC_RELAXED);
}

void inject_pass_ms(uint64_t ms)
{
	__atomic_add_fetch(&passed_ms, ms, __ATOMIC_RELAXED);
}

uint64_t inject_seed(void)
{
	return plan.seed;
}

bool inject_flag(unsigned flag)
{
	if (!plan.known)
		plan_read();
	return plan.flags & flag;
}

ssize_t __real_write(int fd, const void *buf, size_t size);

void inject_die(const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	/* The status tells, whether or not the line can be written. */
	if (__real_write(STDERR_FILENO, line, (size_t)n) < 0)
		_exit(1);
	_exit(1);
}

static bool awaited, caught;

static void system_is_slow(void)
{
	if (inject_flag(SLOW))
		usleep(SLOW_US);
}

/* Where a thread gives memory back and holds no lock, another may come in between. */
static void purge_is_slow(void)
{
	system_is_slow();
	if (__atomic_exchange_n(&awaited, false, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(&caught, true, __ATOMIC_SEQ_CST);
		usleep(PURGE_US);
	}
}

bool inject_purge_is_awaited(void)
{
	return __atomic_load_n(&awaited, __ATOMIC_SEQ_CST);
}

void inject_await_purge(void)
{
	__atomic_store_n(&caught, false, __ATOMIC_SEQ_CST);
	__atomic_store_n(&awaited, true, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < AWAIT_LOOKS && !__atomic_load_n(&caught, __ATOMIC_SEQ_CST); i++)
		usleep(SLOW_US);
	__atomic_store_n(&awaited, false, __ATOMIC_SEQ_CST);
}

/* ---- memory */

void *__real_mmap(void *hint, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *hint, size_t size, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *hint, size_t size, int prot, int flags, int fd, off_t offset);

static enum kind kind_of_mmap(const void *hint, int prot)
{
	if (prot == PROT_NONE)
		return hint ? KIND_mmap_reserve_at : KIND_mmap_reserve;
	if (prot == PROT_READ)
		return KIND_mmap_zeros;
	return hint ? KIND_mmap_memory_at : KIND_mmap_memory;
}

void *__wrap_mmap(void *hint, size_t size, int prot, int flags, int fd, off_t offset)
{
	if (refuse(kind_of_mmap(hint, prot))) {
		/* What a kernel does where the place is taken. */
		if (plan.error == CUT_SHORT)
			return __real_mmap(NULL, size, prot, flags, fd, offset);
		return MAP_FAILED;
	}
	return __real_mmap(hint, size, prot, flags, fd, offset);
}

void *__wrap_mmap64(void *hint, size_t size, int prot, int flags, int fd, off_t offset)
{
	return __wrap_mmap(hint, size, prot, flags, fd, offset);
}

int __real_mprotect(void *p, size_t size, int prot);
int __wrap_mprotect(void *p, size_t size, int prot);

int __wrap_mprotect(void *p, size_t size, int prot)
{
	bool refused_now = refuse(KIND_mprotect);

	system_is_slow();
	if (inject_flag(PLANT_LIE) && !refused_now && inject_uses() > 2)
		return 0;
	return refused_now ? -1 : __real_mprotect(p, size, prot);
}

int __real_munmap(void *p, size_t size);
int __wrap_munmap(void *p, size_t size);

int __wrap_munmap(void *p, size_t size)
{
	return refuse(KIND_munmap) ? -1 : __real_munmap(p, size);
}

void *__real_mremap(void *p, size_t size, size_t new_size, int flags, void *place);
void *__wrap_mremap(void *p, size_t size, size_t new_size, int flags, ...);

void *__wrap_mremap(void *p, size_t size, size_t new_size, int flags, ...)
{
	void *place = NULL;
	va_list args;

	if (flags & MREMAP_FIXED) {
		va_start(args, flags);
		place = va_arg(args, void *);
		va_end(args);
	}
	return refuse(KIND_mremap) ? MAP_FAILED : __real_mremap(p, size, new_size, flags, place);
}

static enum kind kind_of_advice(int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
		return KIND_madvise_dontneed;
	case MADV_NOHUGEPAGE:
		return KIND_madvise_nohugepage;
	case MADV_WIPEONFORK:
		return KIND_madvise_wipeonfork;
	default:
		return KIND_madvise_other;
	}
}

int __real_madvise(void *p, size_t size, int advice);
int __wrap_madvise(void *p, size_t size, int advice);

int __wrap_madvise(void *p, size_t size, int advice)
{
	bool refused_now = refuse(kind_of_advice(advice));

	purge_is_slow();
	return refused_now ? -1 : __real_madvise(p, size, advice);
}

/* Linux 6.14 on every kernel: the same effect, range by range. */
static long advise_each(const struct iovec *range, size_t n, int advice)
{
	long bytes = 0;

	for (size_t i = 0; i < n; i++) {
		if (__real_madvise(range[i].iov_base, range[i].iov_len, advice) != 0)
			break;
		bytes += (long)range[i].iov_len;
	}
	return bytes ? bytes : -1;
}

static long advise_ranges(const struct iovec *range, size_t n, int advice)
{
	bool refused_now = refuse(KIND_process_madvise);

	purge_is_slow();
	if (!refused_now)
		return advise_each(range, n, advice);
	return plan.error == CUT_SHORT ? advise_each(range, n / 2, advice) : -1;
}

/* ---- what has no name in the C library */

static bool futex_refused(long op)
{
	/* A filter that refuses to wake refuses to wait as well: nobody sleeps. */
	if (refuse(KIND_futex))
		return true;
	return (op & FUTEX_CMD_MASK) == FUTEX_WAIT && refuse(KIND_futex_wait);
}

/* How much is read: all, one byte, or (-1) nothing. */
static long read_length(enum kind kind, long wanted)
{
	if (!refuse(kind))
		return wanted;
	return plan.error != CUT_SHORT ? -1 : wanted > 1 ? 1 : wanted;
}

/* Calls that older kernels and containers do not have. */
static bool is_missing(long call)
{
	bool scan = call == SYS_ioctl && inject_flag(NO_SCAN | NO_PAGEMAP);
	bool pagemap = call == SYS_pread64 && inject_flag(NO_PAGEMAP);

	if (scan || pagemap)
		errno = scan ? ENOTTY : EPERM;
	return scan || pagemap;
}

static const struct {
	long call;
	enum kind kind;
} plain[] = {
	{SYS_gettid, KIND_gettid},         {SYS_tgkill, KIND_tgkill},   {SYS_sched_yield, KIND_sched_yield},
	{SYS_membarrier, KIND_membarrier}, {SYS_openat, KIND_open},     {SYS_close, KIND_close},
	{SYS_ioctl, KIND_ioctl},           {SYS_mincore, KIND_mincore}, {SYS_sched_getaffinity, KIND_sched_getaffinity},
};

static bool plain_refused(long call)
{
	for (unsigned i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
		if (plain[i].call == call)
			return refuse(plain[i].kind);
	}
	inject_die("the library makes system call %ld, of which this test knows nothing", call);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long call, ...)
{
	va_list args;
	long a[6];

	va_start(args, call);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (is_missing(call))
		return -1;
	switch (call) {
	case SYS_process_madvise:
		return advise_ranges((const struct iovec *)a[1], (size_t)a[2], (int)a[3]);
	case SYS_futex:
		if (futex_refused(a[1]))
			return -1;
		break;
	case SYS_read:
	case SYS_pread64:
		a[2] = read_length(call == SYS_read ? KIND_read : KIND_pread, a[2]);
		if (a[2] < 0)
			return -1;
		break;
	default:
		if (plain_refused(call))
			return -1;
	}
	return __real_syscall(call, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- clocks, CPUs, limits */

int __real_clock_gettime(clockid_t clock, struct timespec *ts);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	bool of_thread = clock == CLOCK_THREAD_CPUTIME_ID;
	static uint64_t begin_ms;
	uint64_t ms;
	int status;

	if (refuse(of_thread ? KIND_clock_thread : KIND_clock_gettime))
		return -1;
	status = __real_clock_gettime(clock, ts);
	if (status == 0 && !of_thread) {
		ms = (uint64_t)ts->tv_sec * 1000 + (uint64_t)ts->tv_nsec / 1000000;
		/* Threads that meet often do so within no time, however slow this machine is. */
		if (inject_flag(CONTEND))
			ms = begin_ms ? begin_ms : (begin_ms = ms);
		ms += __atomic_load_n(&passed_ms, __ATOMIC_RELAXED);
		ts->tv_sec = (time_t)(ms / 1000);
		ts->tv_nsec = (long)(ms % 1000) * 1000000;
	}
	return status;
}

int __real_sched_getcpu(void);
int __wrap_sched_getcpu(void);

int __wrap_sched_getcpu(void)
{
	return refuse(KIND_sched_getcpu) ? -1 : __real_sched_getcpu();
}

int __real_getrlimit(__rlimit_resource_t resource, struct rlimit *limit);
int __wrap_getrlimit(__rlimit_resource_t resource, struct rlimit *limit);
int __wrap_getrlimit64(__rlimit_resource_t resource, struct rlimit *limit);

int __wrap_getrlimit(__rlimit_resource_t resource, struct rlimit *limit)
{
	return refuse(KIND_getrlimit) ? -1 : __real_getrlimit(resource, limit);
}

int __wrap_getrlimit64(__rlimit_resource_t resource, struct rlimit *limit)
{
	return __wrap_getrlimit(resource, limit);
}

pid_t __real_getpid(void);
pid_t __wrap_getpid(void);

pid_t __wrap_getpid(void)
{
	return refuse(KIND_getpid) ? -1 : __real_getpid();
}

/* ---- files and signals */

ssize_t __real_readlink(const char *path, char *buf, size_t size);
ssize_t __wrap_readlink(const char *path, char *buf, size_t size);

ssize_t __wrap_readlink(const char *path, char *buf, size_t size)
{
	return refuse(KIND_readlink) ? -1 : __real_readlink(path, buf, size);
}

ssize_t __wrap_write(int fd, const void *buf, size_t size);

ssize_t __wrap_write(int fd, const void *buf, size_t size)
{
	if (refuse(KIND_write)) {
		if (plan.error != CUT_SHORT)
			return -1;
		size = size > 1 ? 1 : size;
	}
	return __real_write(fd, buf, size);
}

int __real_sigaction(int number, const struct sigaction *action, struct sigaction *before);
int __wrap_sigaction(int number, const struct sigaction *action, struct sigaction *before);

int __wrap_sigaction(int signal, const struct sigaction *action, struct sigaction *before)
{
	return refuse(KIND_sigaction) ? -1 : __real_sigaction(signal, action, before);
}

/* ---- threads: these give the error as their value */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	int error = fault(KIND_pthread_create);

	return error ? error : __real_pthread_create(thread, attr, run, arg);
}

int __real_pthread_attr_setstacksize(pthread_attr_t *attr, size_t size);
int __wrap_pthread_attr_setstacksize(pthread_attr_t *attr, size_t size);

int __wrap_pthread_attr_setstacksize(pthread_attr_t *attr, size_t size)
{
	int error = fault(KIND_pthread_attr_setstacksize);

	return error ? error : __real_pthread_attr_setstacksize(attr, size);
}

int __real_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
	int error = fault(KIND_pthread_sigmask);

	return error ? error : __real_pthread_sigmask(how, set, before);
}

int __real_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);

int __wrap_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
	return refuse(KIND_prctl) ? -1 : __real_prctl(option, a, b, c, d);
}

int __real_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));

int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
	int error = fault(KIND_pthread_key_create);

	return error ? error : __real_pthread_key_create(key, destructor);
}

int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
	int error = fault(KIND_pthread_setspecific);

	return error ? error : __real_pthread_setspecific(key, value);
}

int __real_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	int error = fault(KIND_pthread_atfork);

	return error ? error : __real_pthread_atfork(prepare, parent, child);
}
