/* SPDX-License-Identifier: MIT */
#include "base/identity.h"

/* meson.build sets these for each library; so set, they are libashlar's. */
#ifndef SPEAKS_JEMALLOC
#define SPEAKS_JEMALLOC 0
#endif
#ifndef CONF_VARIABLE
#define CONF_VARIABLE "MALLOC_CONF"
#endif
#ifndef CONF_LINK
#define CONF_LINK "/etc/malloc.conf"
#endif

const bool ash_speaks_jemalloc = SPEAKS_JEMALLOC;
#if SPEAKS_JEMALLOC
const char ash_message_prefix[] = "<jemalloc>: ";
#else
const char ash_message_prefix[] = "ashlar: ";
#endif
const char ash_conf_variable[] = CONF_VARIABLE;
const char ash_conf_link[] = CONF_LINK;
