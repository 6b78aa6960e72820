/* SPDX-License-Identifier: MIT
 *
 * kinds — what the program that meets a fault and the one that plans them agree on.
 *
 *   fault-case KIND FIRST COUNT ERRNO SEED FLAGS
 *
 * refuses the uses FIRST to FIRST + COUNT - 1 of this kind of call, counted from
 * the start of the process, with this errno. FIRST 0 refuses none.
 */
#ifndef TESTS_FAULTS_KINDS_H
#define TESTS_FAULTS_KINDS_H

#include <stddef.h>
#include <stdint.h>

enum kind {
#define KIND(name, what, needs, ...) KIND_##name,
#include "kinds.def"
#undef KIND
	KINDS
};

enum need {
	LIMITED = 1,
	NO_RSEQ = 2,
	TALKING = 4,
	SLOW = 8,
	FULL = 16,
	CONTEND = 32,
	HUGE = 64,
	NO_SCAN = 128,
	NO_PAGEMAP = 256,
	ARENAS = 512,
	UNUSED = 1024,
	ALTOGETHER = 2048
};

/* No errno has this number. */
#define CUT_SHORT 4095

/* FLAGS: the needs of the kind, and faults of the test itself that its checks must notice. */
enum plant {
	PLANT_LEAK = 1 << 16,  /* an object is never freed */
	PLANT_STAIN = 2 << 16, /* a byte of a live object changes */
	PLANT_LIE = 4 << 16,   /* a call that says that it succeeded has not */
	PLANT_HANG = 8 << 16,  /* the process does not end */
	PLANT_KEPT = 16 << 16  /* NULL after the faults are gone */
};

#define FD_RESULT 3

/* What the process that met the faults says of itself on FD_RESULT. */
struct result {
	uint64_t uses;    /* of this kind of call until the faults went */
	uint64_t refused; /* of these */
	uint64_t in_use;  /* bytes in use when everything was freed */
	uint64_t held;    /* bytes held from the system then */
	uint64_t dirty;
	uint64_t refusals; /* requests that got NULL and ENOMEM */
};

#endif
