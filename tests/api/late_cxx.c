/* SPDX-License-Identifier: MIT
 *
 * A C program that loads a C++ extension at run time, as python3 does — if this
 * fails, such an extension dies where it should catch a bad_alloc, because the
 * allocator looked for libstdc++ only when the program began.
 *
 *   late_cxx EXTENSION
 */
#include "entry.h"

static const char *extension;

static int load_and_run(int flags)
{
	if (dlsym(RTLD_DEFAULT, "__cxa_throw"))
		DIE("libstdc++ is loaded before the extension: this proves nothing");
	void *handle = dlopen(extension, RTLD_NOW | flags);
	if (!handle)
		DIE("%s", dlerror());
	int (*run)(void);
	*(void **)(void *)&run = dlsym(handle, "extension_run");
	if (!run)
		DIE("%s", dlerror());
	return run();
}

static void run_local(void)
{
	CHECK_EQUAL(load_and_run(RTLD_LOCAL), 0);
}
static void run_global(void)
{
	CHECK_EQUAL(load_and_run(RTLD_GLOBAL), 0);
}

static void check_extension(void (*run)(void))
{
	struct outcome out;
	run_in_child(run, &out);
	CHECK_CASE(out.signal == 0 && out.status == 0, "signal %d, status %d, it wrote: %s", out.signal, out.status,
		   out.text);
}

static void an_extension_loaded_with_its_symbols_global_catches_bad_alloc(void)
{
	check_extension(run_global);
}

static void an_extension_loaded_with_its_symbols_local_catches_bad_alloc(void)
{
	check_extension(run_local);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		TEST(an_extension_loaded_with_its_symbols_global_catches_bad_alloc),
		TEST(an_extension_loaded_with_its_symbols_local_catches_bad_alloc),
	};
	if (argc != 2)
		DIE("usage: late_cxx EXTENSION");
	extension = argv[1];
	entry_load();
	return RUN_TESTS(tests);
}
