/* SPDX-License-Identifier: MIT
 *
 * If this fails, a C++ program that deletes an object twice is not told so in
 * its own words. (The operators are called by their mangled names.)
 */
#include "bug.h"

void *_Znwm(size_t size);
void _ZdlPv(void *p);

int main(void)
{
	void *p = must(_Znwm(40));

	announce("delete", "double free of", p);
	_ZdlPv(p);
	_ZdlPv(opaque(p));
	return survived();
}
