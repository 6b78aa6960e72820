/* SPDX-License-Identifier: MIT
 *
 * fuzz — what the targets of this folder share: operations read from bytes, and
 * a check that ends the process, so that the input which broke it is kept.
 *
 * A target is one function over the bytes of one input. libFuzzer calls it with
 * inputs that it invents (run.sh), replay.c with those of corpus/.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOLDS(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

struct input {
	const uint8_t *p;
	const uint8_t *end;
};

/* Zeros behind the end. */
static inline unsigned input_byte(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static inline unsigned input_short(struct input *in)
{
	unsigned low = input_byte(in);

	return low | input_byte(in) << 8;
}

static inline uint64_t input_word(struct input *in)
{
	uint64_t word = 0;

	for (unsigned i = 0; i < 8; i++)
		word |= (uint64_t)input_byte(in) << (8 * i);
	return word;
}

static inline bool input_left(const struct input *in)
{
	return in->p < in->end;
}

#endif
