/* SPDX-License-Identifier: MIT
 *
 * libashlar-record.so — preloaded before an allocator (or alone, over the C library's), it writes what the program
 * allocates and frees to the file that ASHLAR_RECORD names. Every entry point by which memory is got or given back is
 * here, records the call, and passes it to the next library that has it; reallocarray, valloc, pvalloc and the
 * sized frees are made of those, since their next one might call an entry point that would record again.
 *
 * The C++ operators are recorded only where the allocator has its own; others, libstdc++'s or the program's, are left to
 * call malloc, which records. So nothing is recorded twice, and nothing is missed but what an allocator offers beyond the
 * standard names (mallocx, mi_malloc).
 */
#define _GNU_SOURCE
#include "log.h"
#include "resident.h"

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))
#define unlikely(x) __builtin_expect(!!(x), 0)
#define BOOT_BYTES 65536

/* Name, is it aligned, does it throw. What follows the first parameter is passed on as two words. */
#define OPERATORS_NEW(X) \
	X(_Znwm, 0, 1) \
	X(_Znam, 0, 1) \
	X(_ZnwmRKSt9nothrow_t, 0, 0) \
	X(_ZnamRKSt9nothrow_t, 0, 0) \
	X(_ZnwmSt11align_val_t, 1, 1) \
	X(_ZnamSt11align_val_t, 1, 1) \
	X(_ZnwmSt11align_val_tRKSt9nothrow_t, 1, 0) \
	X(_ZnamSt11align_val_tRKSt9nothrow_t, 1, 0)
#define OPERATORS_DELETE(X) \
	X(_ZdlPv, EVENT_FREE) \
	X(_ZdaPv, EVENT_FREE) \
	X(_ZdlPvm, EVENT_FREE_SIZED) \
	X(_ZdaPvm, EVENT_FREE_SIZED) \
	X(_ZdlPvRKSt9nothrow_t, EVENT_FREE) \
	X(_ZdaPvRKSt9nothrow_t, EVENT_FREE) \
	X(_ZdlPvSt11align_val_t, EVENT_FREE) \
	X(_ZdaPvSt11align_val_t, EVENT_FREE) \
	X(_ZdlPvmSt11align_val_t, EVENT_FREE_SIZED) \
	X(_ZdaPvmSt11align_val_t, EVENT_FREE_SIZED) \
	X(_ZdlPvSt11align_val_tRKSt9nothrow_t, EVENT_FREE) \
	X(_ZdaPvSt11align_val_tRKSt9nothrow_t, EVENT_FREE)

typedef void *new_function(size_t size, uintptr_t a, uintptr_t b);
typedef void delete_function(void *p, uintptr_t a, uintptr_t b);

enum operator_index {
#define INDEX(name, ...) INDEX_##name,
	OPERATORS_NEW(INDEX) OPERATORS_DELETE(INDEX) OPERATORS
#undef INDEX
};

static const char *const operator_names[OPERATORS] = {
#define NAME(name, ...) #name,
	OPERATORS_NEW(NAME) OPERATORS_DELETE(NAME)
#undef NAME
};

/* The next library's; set once, before the first call returns. */
static struct {
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void (*free)(void *);
	int (*posix_memalign)(void **, size_t, size_t);
	void *(*aligned_alloc)(size_t, size_t);
	void *(*memalign)(size_t, size_t);
} next;

/* Set by the first call of an operator: dlsym allocates for what it does not find, as in a C program. */
static struct {
	void *next[OPERATORS];
	bool pass; /* the next are not the allocator's: they call malloc */
	atomic_bool known;
} operators;

/* Serves what the dynamic linker allocates while the next functions are looked up; never given back. */
static _Alignas(16) char boot[BOOT_BYTES];
static size_t boot_used;

static bool is_boot(const void *p)
{
	return (uintptr_t)p - (uintptr_t)boot < BOOT_BYTES;
}

static void *boot_take(size_t alignment, size_t size)
{
	size_t at = (boot_used + alignment - 1) & ~(alignment - 1);

	if (size > BOOT_BYTES || at > BOOT_BYTES - size)
		return NULL;
	boot_used = at + size;
	return boot + at;
}

static void complain_and_abort(const char *line)
{
	(void)!syscall(SYS_write, 2, line, strlen(line));
	abort();
}

static void *look_up(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (found == NULL)
		complain_and_abort(
			"ashlar-record: the next library lacks one of malloc, calloc, realloc, free, memalign...\n");
	return found;
}

static const void *library_of(void *function)
{
	Dl_info info;

	return function != NULL && dladdr(function, &info) ? info.dli_fbase : NULL;
}

static void look_up_all(void)
{
	*(void **)&next.calloc = look_up("calloc");
	*(void **)&next.realloc = look_up("realloc");
	*(void **)&next.free = look_up("free");
	*(void **)&next.posix_memalign = look_up("posix_memalign");
	*(void **)&next.aligned_alloc = look_up("aligned_alloc");
	*(void **)&next.memalign = look_up("memalign");
	*(void **)&next.malloc = look_up("malloc");
}

/* The first call comes from the dynamic linker, while there is one thread; others, if there were any, wait. */
static void start(void)
{
	static atomic_flag begun = ATOMIC_FLAG_INIT;
	Dl_info info;

	if (atomic_flag_test_and_set(&begun)) {
		while (!self.busy && atomic_load(&recording) == RECORDING_UNKNOWN)
			sched_yield();
		return;
	}
	self.busy = true;
	look_up_all();
	log_prepare(dladdr((void *)next.malloc, &info) ? info.dli_fname : "?");
	atomic_store(&recording, RECORDING_ON);
	self.busy = false;
}

/* Now the environment can be read; what was allocated before is in the buffer. */
__attribute__((constructor(101))) static void open_recording(void)
{
	if (atomic_load(&recording) == RECORDING_UNKNOWN)
		start();
	if (atomic_load(&recording) == RECORDING_ON) {
		self.busy = true;
		log_open();
		log_sample();
		self.busy = false;
	}
	at_quick_exit(log_close);
}

__attribute__((destructor)) static void close_recording(void)
{
	log_close();
}

PUBLIC __attribute__((noreturn)) void _exit(int status)
{
	log_close();
	for (;;)
		syscall(SYS_exit_group, status);
}

PUBLIC __attribute__((noreturn)) void _Exit(int status)
{
	_exit(status);
}

static bool enter_slow(void)
{
	if (atomic_load(&recording) == RECORDING_UNKNOWN)
		start();
	if (self.busy || atomic_load(&recording) != RECORDING_ON) {
		if (self.busy)
			log_inner();
		return false;
	}
	self.busy = true;
	return true;
}

/* False: pass the call on and record nothing. */
static inline bool enter(void)
{
	if (unlikely(self.busy || atomic_load_explicit(&recording, memory_order_relaxed) != RECORDING_ON))
		return enter_slow();
	self.busy = true;
	atomic_signal_fence(memory_order_seq_cst);
	return true;
}

static inline void leave(void)
{
	if (unlikely(self.wrote))
		log_rest();
	atomic_signal_fence(memory_order_seq_cst);
	self.busy = false;
}

/* While the next functions are looked up there are none. */
static inline bool is_booting(void)
{
	return unlikely(next.malloc == NULL);
}

/* glibc takes any alignment, rounded up to a power of two. */
static unsigned log2_of(size_t alignment)
{
	return alignment <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(alignment - 1);
}

static void record_allocation(enum event_kind kind, void *p, size_t size, size_t alignment)
{
	if (p == NULL)
		return;
	log_allocation(kind, p, size, log2_of(alignment));
	if (unlikely(size >= LARGE_BYTES)) {
		int error = errno;

		resident_add(p, size);
		errno = error;
	}
}

PUBLIC void *malloc(size_t size)
{
	void *p;

	if (!enter())
		return is_booting() ? boot_take(16, size) : next.malloc(size);
	p = next.malloc(size);
	record_allocation(EVENT_MALLOC, p, size, 0);
	leave();
	return p;
}

PUBLIC void *calloc(size_t n, size_t size)
{
	void *p;

	if (!enter())
		return is_booting() ? boot_take(16, n * size) : next.calloc(n, size);
	p = next.calloc(n, size);
	record_allocation(EVENT_CALLOC, p, n * size, 0);
	leave();
	return p;
}

static void release(void *p, enum event_kind kind)
{
	bool recorded;

	if (p == NULL || unlikely(is_boot(p)))
		return;
	recorded = enter();
	if (recorded) {
		if (unlikely(resident_maybe(p))) {
			int error = errno;

			resident_remove(p);
			errno = error;
		}
		log_address(kind, p);
	}
	next.free(p);
	if (recorded)
		leave();
}

PUBLIC void free(void *p)
{
	release(p, EVENT_FREE);
}

PUBLIC void free_sized(void *p, size_t size);
PUBLIC void free_sized(void *p, size_t size)
{
	release(p, EVENT_FREE_SIZED);
}

PUBLIC void free_aligned_sized(void *p, size_t alignment, size_t size);
PUBLIC void free_aligned_sized(void *p, size_t alignment, size_t size)
{
	release(p, EVENT_FREE_SIZED);
}

static void *boot_realloc(void *old, size_t size)
{
	void *p = malloc(size);
	size_t left = old == NULL ? 0 : (size_t)(boot + BOOT_BYTES - (char *)old);

	if (p != NULL && left > 0)
		memcpy(p, old, size < left ? size : left);
	return p;
}

static void record_resize(struct large l, void *old, void *p, size_t size)
{
	int error = errno;

	if (p != NULL) {
		log_allocation(EVENT_RESIZED, p, size, 0);
		resident_put(l, p, size);
	} else if (size == 0) {
		log_plain(EVENT_RESIZE_FREED);
	} else {
		log_plain(EVENT_RESIZE_FAILED);
		resident_put(l, old, l.size);
	}
	errno = error;
}

PUBLIC void *realloc(void *old, size_t size)
{
	struct large l = {0};
	void *p;

	if (unlikely(old == NULL))
		return malloc(size);
	if (unlikely(is_boot(old)))
		return boot_realloc(old, size);
	if (!enter())
		return next.realloc(old, size);
	if (unlikely(resident_maybe(old)))
		l = resident_take(old, size);
	log_address(EVENT_REALLOC, old);
	p = next.realloc(old, size);
	record_resize(l, old, p, size);
	leave();
	return p;
}

PUBLIC void *reallocarray(void *old, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, bytes);
}

PUBLIC int posix_memalign(void **out, size_t alignment, size_t size)
{
	int error;

	if (!enter()) {
		if (!is_booting())
			return next.posix_memalign(out, alignment, size);
		*out = boot_take(alignment, size);
		return *out != NULL ? 0 : ENOMEM;
	}
	error = next.posix_memalign(out, alignment, size);
	if (error == 0)
		record_allocation(EVENT_ALIGNED, *out, size, alignment);
	leave();
	return error;
}

PUBLIC void *aligned_alloc(size_t alignment, size_t size)
{
	void *p;

	if (!enter())
		return is_booting() ? boot_take(alignment, size) : next.aligned_alloc(alignment, size);
	p = next.aligned_alloc(alignment, size);
	record_allocation(EVENT_ALIGNED, p, size, alignment);
	leave();
	return p;
}

PUBLIC void *memalign(size_t alignment, size_t size);
PUBLIC void *memalign(size_t alignment, size_t size)
{
	void *p;

	if (!enter())
		return is_booting() ? boot_take(alignment, size) : next.memalign(alignment, size);
	p = next.memalign(alignment, size);
	record_allocation(EVENT_ALIGNED, p, size, alignment);
	leave();
	return p;
}

PUBLIC void *valloc(size_t size)
{
	return memalign((size_t)sysconf(_SC_PAGESIZE), size);
}

PUBLIC void *pvalloc(size_t size);
PUBLIC void *pvalloc(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (size > SIZE_MAX - page) {
		errno = ENOMEM;
		return NULL;
	}
	return memalign(page, size ? (size + page - 1) & ~(page - 1) : page);
}

/* Two threads may both do it, with the same result. What it allocates is not the program's. */
static void look_up_operators(void)
{
	bool recorded = enter();

	for (unsigned i = 0; i < OPERATORS; i++)
		operators.next[i] = dlsym(RTLD_NEXT, operator_names[i]);
	operators.pass = operators.next[INDEX__Znwm] != NULL &&
			 library_of(operators.next[INDEX__Znwm]) != library_of((void *)next.malloc);
	atomic_store(&operators.known, true);
	if (recorded)
		leave();
}

/* NULL: there is none, or it is the allocator's. */
static void *passed_to(enum operator_index i)
{
	if (unlikely(!atomic_load_explicit(&operators.known, memory_order_acquire)))
		look_up_operators();
	return operators.pass ? operators.next[i] : NULL;
}

/* Memory comes from malloc as in an allocator's own operator; that one deals with it when there is none left. */
static void *operator_new(enum operator_index i, size_t size, size_t alignment, bool throws, uintptr_t a, uintptr_t b)
{
	new_function *function = (new_function *)passed_to(i);
	void *p;

	if (function != NULL)
		return function(size, a, b);
	p = alignment ? memalign(alignment, size) : malloc(size);
	function = (new_function *)operators.next[i];
	if (p != NULL || (function == NULL && !throws))
		return p;
	if (function == NULL)
		complain_and_abort("ashlar-record: operator new: out of memory, and no C++ library to throw\n");
	p = function(size, a, b);
	if (p != NULL && enter()) {
		record_allocation(alignment ? EVENT_ALIGNED : EVENT_MALLOC, p, size, alignment);
		leave();
	}
	return p;
}

static void operator_delete(enum operator_index i, void *p, enum event_kind kind, uintptr_t a, uintptr_t b)
{
	delete_function *function = (delete_function *)passed_to(i);

	if (function != NULL)
		function(p, a, b);
	else
		release(p, kind);
}

#define DEFINE_NEW(name, aligned, throws) \
	PUBLIC void *name(size_t size, uintptr_t a, uintptr_t b); \
	PUBLIC void *name(size_t size, uintptr_t a, uintptr_t b) \
	{ \
		return operator_new(INDEX_##name, size, (aligned) ? a : 0, throws, a, b); \
	}
OPERATORS_NEW(DEFINE_NEW)

#define DEFINE_DELETE(name, kind) \
	PUBLIC void name(void *p, uintptr_t a, uintptr_t b); \
	PUBLIC void name(void *p, uintptr_t a, uintptr_t b) \
	{ \
		operator_delete(INDEX_##name, p, kind, a, b); \
	}
OPERATORS_DELETE(DEFINE_DELETE)
