/* SPDX-License-Identifier: MIT
 *
 * The extension that late_cxx loads. extension_run() returns 0 when each
 * failing new was answered as C++ promises.
 */
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <new>
#include <string>

static volatile std::size_t too_much = PTRDIFF_MAX / 2;
static void *volatile sink; /* an unused new may be left out by the compiler */
static int handler_calls;

static bool bad_alloc_is_caught()
{
	try {
		sink = ::operator new(too_much);
	} catch (const std::bad_alloc &) {
		return true;
	}
	return false;
}

static bool handler_is_called()
{
	std::set_new_handler([] {
		if (++handler_calls == 2)
			std::set_new_handler(nullptr);
	});
	return bad_alloc_is_caught() && handler_calls == 2;
}

static bool containers_work()
{
	std::map<int, std::string> map;
	for (int i = 0; i < 1000; i++)
		map[i] = std::string(100, 'x');
	return map.size() == 1000;
}

extern "C" int extension_run()
{
	if (!containers_work())
		return fprintf(stderr, "containers do not work\n"), 1;
	if (!bad_alloc_is_caught())
		return fprintf(stderr, "no bad_alloc\n"), 2;
	if (!handler_is_called())
		return fprintf(stderr, "the new-handler was called %d times\n", handler_calls), 3;
	return ::operator new(too_much, std::nothrow) ? 4 : 0;
}
