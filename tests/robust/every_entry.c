/* SPDX-License-Identifier: MIT
 *
 * If this fails, a statically linked program gets libc's malloc for some entry
 * points and ashlar's for others, does not link, or does not start.
 *
 * Calls every entry point of the library once, and the libc functions whose
 * memory the caller frees.
 */
#include <ashlar/ashlar.h>
#include <malloc.h>
#include <wchar.h>

#include "check.h"

void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t alignment, size_t size);

/* The 20 C++ operators by their mangled names; align_val_t is a size_t. */
struct nothrow {
	char none;
};
extern const struct nothrow nothrow_tag;
const struct nothrow nothrow_tag;
void *_Znwm(size_t), *_Znam(size_t);
void *_ZnwmRKSt9nothrow_t(size_t, const struct nothrow *), *_ZnamRKSt9nothrow_t(size_t, const struct nothrow *);
void *_ZnwmSt11align_val_t(size_t, size_t), *_ZnamSt11align_val_t(size_t, size_t);
void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t, size_t, const struct nothrow *);
void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t, size_t, const struct nothrow *);
void _ZdlPv(void *), _ZdaPv(void *), _ZdlPvm(void *, size_t), _ZdaPvm(void *, size_t);
void _ZdlPvRKSt9nothrow_t(void *, const struct nothrow *), _ZdaPvRKSt9nothrow_t(void *, const struct nothrow *);
void _ZdlPvSt11align_val_t(void *, size_t), _ZdaPvSt11align_val_t(void *, size_t);
void _ZdlPvmSt11align_val_t(void *, size_t, size_t), _ZdaPvmSt11align_val_t(void *, size_t, size_t);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *, size_t, const struct nothrow *);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *, size_t, const struct nothrow *);

static void *aligned(void *p, size_t alignment)
{
	CHECK(p != NULL && (uintptr_t)p % alignment == 0);
	return memset(p, 1, 100);
}

static void c_functions(void)
{
	void *p = NULL;

	free(aligned(malloc(100), 16));
	free(aligned(calloc(10, 10), 16));
	free(aligned(realloc(malloc(10), 100), 16));
	free(aligned(reallocarray(NULL, 10, 10), 16));
	CHECK(posix_memalign(&p, 64, 100) == 0);
	free(aligned(p, 64));
	free(aligned(aligned_alloc(128, 100), 128));
	free(aligned(memalign(256, 100), 256));
	free(aligned(valloc(100), 4096));
	free(aligned(pvalloc(100), 4096));
	free_sized(aligned(malloc(100), 16), 100);
	free_aligned_sized(aligned(aligned_alloc(64, 100), 64), 64, 100);
	p = malloc(100);
	CHECK(malloc_usable_size(p) == 112);
	free(p);
	malloc_stats();
}

static void new_and_delete(void)
{
	_ZdlPv(aligned(_Znwm(100), 16));
	_ZdaPv(aligned(_Znam(100), 16));
	_ZdlPvm(aligned(_Znwm(100), 16), 100);
	_ZdaPvm(aligned(_Znam(100), 16), 100);
	_ZdlPvRKSt9nothrow_t(aligned(_ZnwmRKSt9nothrow_t(100, &nothrow_tag), 16), &nothrow_tag);
	_ZdaPvRKSt9nothrow_t(aligned(_ZnamRKSt9nothrow_t(100, &nothrow_tag), 16), &nothrow_tag);
	CHECK(_ZnwmRKSt9nothrow_t(SIZE_MAX / 2, &nothrow_tag) == NULL);
}

static void aligned_new_and_delete(void)
{
	_ZdlPvSt11align_val_t(aligned(_ZnwmSt11align_val_t(100, 64), 64), 64);
	_ZdaPvSt11align_val_t(aligned(_ZnamSt11align_val_t(100, 64), 64), 64);
	_ZdlPvmSt11align_val_t(aligned(_ZnwmSt11align_val_t(100, 64), 64), 100, 64);
	_ZdaPvmSt11align_val_t(aligned(_ZnamSt11align_val_t(100, 64), 64), 100, 64);
	_ZdlPvSt11align_val_tRKSt9nothrow_t(aligned(_ZnwmSt11align_val_tRKSt9nothrow_t(100, 64, &nothrow_tag), 64), 64,
					    &nothrow_tag);
	_ZdaPvSt11align_val_tRKSt9nothrow_t(aligned(_ZnamSt11align_val_tRKSt9nothrow_t(100, 64, &nothrow_tag), 64), 64,
					    &nothrow_tag);
}

static void ashlar_functions(void)
{
	struct ashlar_stats stats;

	CHECK(ashlar_stats(&stats, sizeof stats) == 0 && stats.held > 0 && stats.in_use <= stats.held);
	ashlar_stats_print(STDERR_FILENO);
	CHECK(ashlar_structure_check() == 0);
	CHECK(strchr(ashlar_version(), '.') != NULL);
}

static void libc_memory(void)
{
	char *line = NULL, *text = NULL;
	size_t n = 0;
	wchar_t *wide = wcsdup(L"wide");

	free(aligned(realloc(strdup("a"), 100), 16));
	free(strndup("abc", 2));
	free(must(wide));
	CHECK(asprintf(&text, "%d", 42) == 2);
	FILE *f = must(fmemopen(text, 2, "r"));
	CHECK(getline(&line, &n, f) == 2);
	CHECK(malloc_usable_size(line) >= n);
	fclose(f);
	free(line);
	free(text);
	free(realpath("/", NULL));
}

static void *in_thread(void *arg)
{
	c_functions();
	use_every_size();
	return arg;
}

int main(void)
{
	watchdog(30);
	use_every_size();
	c_functions();
	new_and_delete();
	aligned_new_and_delete();
	ashlar_functions();
	libc_memory();
	join(start(in_thread, NULL));
	pid_t child = fork();
	if (child == 0) {
		use_every_size();
		exit(0);
	}
	wait_for(child);
	return puts("done") < 0;
}
