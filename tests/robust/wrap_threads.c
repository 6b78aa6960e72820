/* SPDX-License-Identifier: MIT
 *
 * A library that wraps pthread_create, finds the real one by dlsym and passes
 * its argument in memory that it allocates, as profilers and tracers do.
 */
#include <dlfcn.h>

#include "check.h"

struct call {
	void *(*body)(void *);
	void *arg;
};

static void *run(void *p)
{
	struct call call = *(struct call *)p;

	free(p);
	use_every_size();
	return call.body(call.arg);
}

static unsigned wrapped;

__attribute__((destructor)) static void wrapped_some(void)
{
	CHECK(wrapped > 0);
}

__attribute__((visibility("default"))) int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
							  void *(*body)(void *), void *arg)
{
	static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	struct call *call = must(malloc(sizeof *call));

	if (real == NULL)
		real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT,
												      "pthread_create");
	CHECK(real != NULL);
	__atomic_add_fetch(&wrapped, 1, __ATOMIC_RELAXED);
	*call = (struct call){body, arg};
	return real(thread, attr, run, call);
}
