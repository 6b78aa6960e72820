/* SPDX-License-Identifier: MIT
 *
 * If this fails, a free that comes before the first allocation meets a heap
 * that does not exist yet.
 */
#include "bug.h"

int main(void)
{
	static _Alignas(64) char in_data[64];

	announce("free", "foreign pointer", in_data);
	free(opaque(in_data));
	return survived();
}
