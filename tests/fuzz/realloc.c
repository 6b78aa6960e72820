/* SPDX-License-Identifier: MIT
 *
 * The whole library, one thread, a sequence of calls: if this fails, realloc
 * loses contents, two objects overlap, an alignment is not kept, calloc gives
 * old bytes, or the structures break. Time passes when the input says so.
 */
#include <errno.h>
#include <string.h>

#include "fuzz.h"

#include "pattern.h"

/* With a sanitizer, whose malloc the target itself uses, the library's functions have a prefix. */
#ifndef ALLOC
#define ALLOC(name) name
#endif

void *ALLOC(malloc)(size_t size);
void *ALLOC(calloc)(size_t count, size_t size);
void *ALLOC(realloc)(void *p, size_t size);
void *ALLOC(reallocarray)(void *p, size_t count, size_t size);
int ALLOC(posix_memalign)(void **out, size_t align, size_t size);
size_t ALLOC(malloc_usable_size)(void *p);
void ALLOC(free)(void *p);
int ALLOC(malloc_trim)(size_t pad);
int ashlar_structure_check(void);

enum { OBJECTS = 24, LARGEST = 8 << 20, TOTAL = 24 << 20, OPERATIONS = 150 };

static struct object {
	unsigned char *p;
	size_t size;
	uint64_t id;
} objects[OBJECTS];
static size_t total;
static uint64_t ids;

static uint64_t passed_ms;

uint64_t __real_ash_os_now_ms(void);
uint64_t __wrap_ash_os_now_ms(void);

/* A clock that goes by the input alone. */
uint64_t __wrap_ash_os_now_ms(void)
{
	return 1000000 + passed_ms;
}

/* Close to a power of two, or to a class, as often as anywhere. */
static size_t some_size(struct input *in)
{
	unsigned how = input_byte(in);
	/* Mostly small: a page that is touched for the first time costs as much as a hundred calls. */
	static const unsigned char shifts[] = {0,  1,  2,  3,  4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
					       16, 17, 18, 20, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 22};
	unsigned shift = shifts[how % 32];
	size_t size = (size_t)1 << (shift == 22 && input_byte(in) ? 16 : shift);

	if (how & 128)
		size += size / 4 * (input_byte(in) % 4) + input_byte(in) % 32;
	else
		size = size + input_byte(in) - (size > 128 ? 128 : 0);
	return size < LARGEST ? size : LARGEST;
}

static void object_made(struct object *o, void *p, size_t size)
{
	HOLDS(p != NULL);
	HOLDS((uintptr_t)p % (size >= 16 ? 16 : 8) == 0);
	HOLDS(ALLOC(malloc_usable_size)(p) >= size);
	o->p = p;
	o->size = size;
	o->id = ++ids;
	total += size;
	pattern_fill(p, size, o->id);
}

static void make(struct input *in, struct object *o, unsigned way)
{
	size_t size = some_size(in), align = (size_t)8 << input_byte(in) % 16;
	void *p = NULL;

	if (total + size > TOTAL)
		return;
	switch (way % 4) {
	case 0:
		p = ALLOC(calloc)(1, size);
		HOLDS(p && bytes_are_sampled(p, size, 0));
		break;
	case 1:
		HOLDS(ALLOC(posix_memalign)(&p, align, size) == 0);
		HOLDS((uintptr_t)p % align == 0);
		break;
	case 2:
		p = ALLOC(realloc)(NULL, size);
		break;
	default:
		p = ALLOC(malloc)(size);
		break;
	}
	object_made(o, p, size);
}

static void end(struct object *o)
{
	HOLDS(pattern_intact(o->p, o->size, o->id));
	total -= o->size;
	ALLOC(free)(o->p);
	o->p = NULL;
}

static void resize(struct input *in, struct object *o, unsigned way)
{
	size_t size = some_size(in), kept = size < o->size ? size : o->size;
	void *p;

	if (total - o->size + size > TOTAL)
		return;
	HOLDS(pattern_intact(o->p, o->size, o->id));
	p = size && way % 2 ? ALLOC(reallocarray)(o->p, size, 1) : ALLOC(realloc)(o->p, size);
	total -= o->size;
	if (!size) {
		HOLDS(p == NULL);
		o->p = NULL;
		return;
	}
	HOLDS(p && pattern_kept(p, kept, o->size, o->id));
	object_made(o, p, size);
}

static void impossible(struct object *o)
{
	/* Unknown to the compiler, which would warn. */
	volatile size_t most = PTRDIFF_MAX;

	errno = 0;
	HOLDS(ALLOC(realloc)(o->p, most) == NULL && errno == ENOMEM);
	HOLDS(ALLOC(reallocarray)(o->p, most, 3) == NULL);
	HOLDS(pattern_intact(o->p, o->size, o->id));
}

static void operate(struct input *in)
{
	unsigned op = input_byte(in), way = op / 4 / OBJECTS;
	struct object *o = &objects[op / 4 % OBJECTS];

	if (op == 255)
		ALLOC(malloc_trim)(input_byte(in));
	else if (op >= 252)
		passed_ms += input_short(in);
	else if (!o->p)
		make(in, o, op % 4);
	else if (op % 4 == 0)
		end(o);
	else if (op % 4 == 1 && way == 2)
		impossible(o);
	else
		resize(in, o, way);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};

	for (unsigned i = 0; i < OPERATIONS && input_left(&in); i++)
		operate(&in);
	for (unsigned i = 0; i < OBJECTS; i++) {
		if (objects[i].p)
			end(&objects[i]);
	}
	HOLDS(total == 0);
	HOLDS(ashlar_structure_check() == 0);
	return 0;
}
