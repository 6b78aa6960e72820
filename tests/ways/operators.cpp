/* SPDX-License-Identifier: MIT
 *
 * Each kind of new and delete, in a C++ program that is linked to ashlar. If
 * this fails, C++ programs cannot be linked to it, or their objects come from
 * one heap and go back to another.
 */
#include <ashlar/ashlar.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

struct alignas(128) wide {
	char bytes[1000];
};

static std::size_t bytes_in_use()
{
	struct ashlar_stats stats;

	if (::ashlar_stats(&stats, sizeof(stats)) != 0)
		std::abort();
	return stats.in_use;
}

static bool throws_when_there_is_no_memory()
{
	volatile std::size_t size = PTRDIFF_MAX;

	try {
		::operator delete(::operator new(size));
	} catch (const std::bad_alloc &) {
		return ::operator new(size, std::nothrow) == nullptr;
	}
	return false;
}

int main()
{
	std::size_t before = bytes_in_use(), grown;
	bool aligned = true;
	{
		std::vector<std::unique_ptr<wide>> objects;
		std::map<int, std::string> names;
		std::unique_ptr<wide[]> array(new (std::nothrow) wide[10]);

		for (int i = 0; i < 20000; i++) {
			objects.push_back(std::make_unique<wide>());
			aligned = aligned && reinterpret_cast<std::uintptr_t>(objects.back().get()) % 128 == 0;
			names[i % 100] += "a string that does not fit into the object";
		}
		aligned = aligned && array != nullptr && reinterpret_cast<std::uintptr_t>(array.get()) % 128 == 0;
		grown = bytes_in_use() - before;
	}
	std::printf("aligned %d, throws %d, grown %zu\n", aligned, throws_when_there_is_no_memory(), grown);
	return 0;
}
