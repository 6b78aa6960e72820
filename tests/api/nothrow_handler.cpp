/* SPDX-License-Identifier: MIT
 *
 * A new-handler that throws bad_alloc under a nothrow new — if this fails, an
 * exception leaves a call that the program, and the compiler, know to throw
 * nothing: std::terminate, or memory that is never cleaned up.
 */
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <new>

static volatile std::size_t too_much = PTRDIFF_MAX / 2;

int main()
{
	alarm(60);
	std::set_new_handler([] { throw std::bad_alloc(); });
	void *results[] = {
		::operator new(too_much, std::nothrow),
		::operator new[](too_much, std::nothrow),
		::operator new(too_much, std::align_val_t(64), std::nothrow),
		::operator new[](too_much, std::align_val_t(64), std::nothrow),
	};
	for (void *p : results) {
		if (p) {
			fprintf(stderr, "a nothrow new gave %p\n", p);
			return 1;
		}
	}
	fprintf(stderr, "ok     a_handler_that_throws_bad_alloc_makes_nothrow_new_give_null\n");
	return 0;
}
