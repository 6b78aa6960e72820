/* SPDX-License-Identifier: MIT */
#include "base/options.h"

struct options ash_options = {
#define BOOL(name, value, doc) .name = (value),
#define NUMBER(name, value, smallest, largest, unit, doc) .name = (value),
#define CLIPPED(name, value, smallest, largest, unit, doc) .name = (value),
#define SHARE(name, value, doc) .name = (value),
#define CHOICE(name, value, choices, doc) .name = (value),
#include "base/option.def"
};
