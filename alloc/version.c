/* SPDX-License-Identifier: MIT */
#include <ashlar/ashlar.h>
#include "ashlar-config.h"

__attribute__((visibility("default"))) const char *ashlar_version(void)
{
	return ASHLAR_VERSION;
}
