/* SPDX-License-Identifier: MIT
 *
 * mallctl takes names and numbers from a program's users (redis has a command for
 * it). If this fails, a name or a mib is read past its end, a buffer is written
 * past its end, or a name answers otherwise than its own mib.
 *
 * An input is a length, the numbers of a mib, and a name. Nothing is written, so
 * that nothing changes; no length is that of what creating calls answer.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"

/* With a sanitizer, whose malloc the target itself uses, the library's functions have a prefix. */
#ifndef ALLOC
#define ALLOC(name) name
#endif

int ALLOC(mallctl)(const char *name, void *old, size_t *old_len, void *new, size_t new_len);
int ALLOC(mallctlnametomib)(const char *name, size_t *mib, size_t *mib_len);
int ALLOC(mallctlbymib)(const size_t *mib, size_t mib_len, void *old, size_t *old_len, void *new, size_t new_len);

enum { DEPTH = 7, BUFFER = 64, MARK = 0xee };

static const size_t lengths[] = {0, 1, 2, 3, 5, 8, 16, 48};

struct answer {
	int result;
	size_t len;
	unsigned char buffer[BUFFER];
};

/* One name reads its buffer: it has the address of another. */
static void prepare(struct answer *answer, size_t len)
{
	static char name[BUFFER];
	char *p = name;

	answer->len = len;
	memset(answer->buffer, MARK, BUFFER);
	memcpy(answer->buffer, &p, len < sizeof(p) ? len : sizeof(p));
}

static void is_possible(const struct answer *answer, size_t len)
{
	static const int results[] = {0, ENOENT, EINVAL, EPERM, EFAULT};
	bool known = false;

	for (unsigned i = 0; i < sizeof(results) / sizeof(*results); i++)
		known |= answer->result == results[i];
	HOLDS(known);
	HOLDS(answer->len <= len);
	for (size_t i = len; i < BUFFER; i++)
		HOLDS(answer->buffer[i] == MARK);
}

static void mib_is_read(const size_t *mib, size_t depth, size_t len)
{
	struct answer answer;

	prepare(&answer, len);
	answer.result = ALLOC(mallctlbymib)(mib, depth, answer.buffer, &answer.len, NULL, 0);
	is_possible(&answer, len);
}

static void name_is_read(const char *name, size_t len)
{
	struct answer by_name, by_mib;
	size_t mib[DEPTH + 1] = {[DEPTH] = 77}, depth = DEPTH;
	int found = ALLOC(mallctlnametomib)(name, mib, &depth);

	HOLDS(found == 0 || found == ENOENT);
	HOLDS(depth <= DEPTH && mib[DEPTH] == 77);
	prepare(&by_name, len);
	by_name.result = ALLOC(mallctl)(name, by_name.buffer, &by_name.len, NULL, 0);
	is_possible(&by_name, len);
	HOLDS(found == 0 || by_name.result == ENOENT);
	if (found)
		return;
	prepare(&by_mib, len);
	by_mib.result = ALLOC(mallctlbymib)(mib, depth, by_mib.buffer, &by_mib.len, NULL, 0);
	HOLDS(by_mib.result == by_name.result && by_mib.len == by_name.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};
	size_t len = lengths[input_byte(&in) % (sizeof(lengths) / sizeof(*lengths))], mib[DEPTH], depth;
	char *name;

	depth = input_byte(&in) % (DEPTH + 1);
	for (size_t i = 0; i < depth; i++)
		mib[i] = input_short(&in);
	/* Words of a mib are mostly one number. */
	for (size_t i = 1; i < depth; i++)
		mib[i] = mib[i] & 1 ? mib[0] : mib[i] >> 1;
	mib_is_read(mib, depth, len);
	/* Of its own size: a read behind the end is seen. */
	size = (size_t)(in.end - in.p);
	name = malloc(size + 1);
	HOLDS(name != NULL);
	memcpy(name, in.p, size);
	name[size] = '\0';
	name_is_read(name, len);
	free(name);
	return 0;
}
