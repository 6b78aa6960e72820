/* SPDX-License-Identifier: MIT
 *
 * operator new when memory runs out: calls the program's new-handler until it
 * frees some or there is none, then throws std::bad_alloc. All through symbols
 * of the C++ library, if the program has one; ours links none.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>

#include "alloc/slow.h"
#include "base/identity.h"
#include "base/options.h"
#include "base/print.h"

typedef void (*handler_fn)(void);
typedef handler_fn get_handler_fn(void);

/* std::get_new_handler() and std::__throw_bad_alloc(): libstdc++ and libc++ have both. */
extern get_handler_fn _ZSt15get_new_handlerv __attribute__((weak));
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));
/* Absent in a static program; dlopen is looked up, since its mere name makes the linker warn there. */
extern __typeof__(dlsym) dlsym __attribute__((weak));

/* A symbol of a C++ library that came after us, out of sight (a plug-in's). */
static void *late_symbol(const char *name)
{
	static const char *const libraries[] = {"libstdc++.so.6", "libc++.so.1"};

	void *(*open)(const char *, int) = dlsym ? (void *(*)(const char *, int))dlsym(RTLD_DEFAULT, "dlopen") : NULL;

	if (!open)
		return NULL;
	for (unsigned i = 0; i < sizeof(libraries) / sizeof(*libraries); i++) {
		void *library = open(libraries[i], RTLD_LAZY | RTLD_NOLOAD);
		void *symbol = library ? dlsym(library, name) : NULL;

		if (symbol)
			return symbol;
	}
	return NULL;
}

/* Under experimental_infallible_new nobody is asked. */
static COLD void stop_if_infallible(size_t size)
{
	if (!ash_options.experimental_infallible_new)
		return;
	if (ash_speaks_jemalloc)
		ash_message("Allocation failed and opt.experimental_infallible_new is true. Aborting.");
	else
		ash_message("new: out of memory for %zu bytes (experimental_infallible_new:true)", size);
	abort();
}

static handler_fn new_handler(void)
{
	get_handler_fn *get = _ZSt15get_new_handlerv;

	if (!get)
		get = (get_handler_fn *)late_symbol("_ZSt15get_new_handlerv");
	return get ? get() : NULL;
}

static COLD void throw_bad_alloc(size_t size)
{
	void (*throw)(void) = _ZSt17__throw_bad_allocv;

	if (!throw)
		throw = (void (*)(void))late_symbol("_ZSt17__throw_bad_allocv");
	if (throw)
		throw();
	ash_message("new: out of memory for %zu bytes, and no C++ library to throw std::bad_alloc", size);
	abort();
}

static void *new_or_throw(size_t size, size_t align)
{
	struct request r = {.call = "new", .size = size, .align = align};
	void *p;

	while (unlikely(!(p = ash_request(&r)))) {
		handler_fn handler;

		stop_if_infallible(size);
		handler = new_handler();
		if (!handler)
			throw_bad_alloc(size);
		handler();
	}
	return p;
}

/* A new-handler may throw, and what it throws must become NULL: the C++
 * library's own nothrow operator does that around operator new, which is ours. */
static COLD void *nothrow_with_handler(size_t size, size_t align)
{
	void *p = NULL;

	if (align <= 1) {
		void *(*new)(size_t, const void *) =
			(void *(*)(size_t, const void *))late_symbol("_ZnwmRKSt9nothrow_t");

		p = new ? new (size, "") : NULL;
	} else {
		void *(*new)(size_t, size_t, const void *) =
			(void *(*)(size_t, size_t, const void *))late_symbol("_ZnwmSt11align_val_tRKSt9nothrow_t");

		p = new ? new (size, align, "") : NULL;
	}
	return p;
}

static void *new_or_null(size_t size, size_t align)
{
	struct request r = {.call = "new", .size = size, .align = align};
	void *p = ash_request(&r);

	if (unlikely(!p))
		stop_if_infallible(size);
	return likely(p || !new_handler()) ? p : nothrow_with_handler(size, align);
}

void *ash_new_refill(size_t size, unsigned cls, struct tcache *tc)
{
	return new_or_throw(size, 1);
}

void *ash_new_large(size_t size)
{
	return new_or_throw(size, 1);
}

void *ash_new_nothrow_refill(size_t size, unsigned cls, struct tcache *tc)
{
	return new_or_null(size, 1);
}

void *ash_new_nothrow_large(size_t size)
{
	return new_or_null(size, 1);
}

void *ash_new_aligned(size_t size, size_t align)
{
	return new_or_throw(size, align);
}

void *ash_new_aligned_nothrow(size_t size, size_t align)
{
	return new_or_null(size, align);
}
