// SPDX-License-Identifier: MIT
//! Runs Traffic Server's own allocator for buffers that stay out of core files, as its configure has set it up. It makes
//! an arena a thread, and puts hooks of its own into it that live in the thread; buffers outlive the threads. If this
//! fails, its buffers land in core files, or it stops at "Unable to extend arena".
#include "tscore/JeAllocator.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

static_assert(JEMALLOC_NODUMP_ALLOCATOR_SUPPORTED, "configure has not found jemalloc 5");

// What the allocator takes from the rest of Traffic Server.
void ink_abort(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vfprintf(stderr, format, args);
	abort();
}
extern "C" void *ats_memalign(size_t alignment, size_t size)
{
	return aligned_alloc(alignment, size);
}
extern "C" void ats_free(void *p)
{
	free(p);
}
extern "C" int ats_madvise(caddr_t p, size_t size, int advice)
{
	return madvise(p, size, advice);
}
// Its log, which is off.
extern "C" {
char no_diags[4096] __asm__("_ZN16DiagsConfigState7enabledE");
bool no_flag(int) __asm__("_Z13get_cont_flagN9ContFlags5flagsE");
bool no_flag(int)
{
	return false;
}
void no_message() __asm__("_ZN10LogMessageC1Eb");
void no_message()
{
}
void no_debug() __asm__("_ZN10LogMessage5debugEPKcRK14SourceLocationS1_z");
void no_debug()
{
}
}

/// Begin and end of each mapping, and whether it stays out of core files.
static std::map<uintptr_t, std::pair<uintptr_t, bool>> mappings()
{
	std::ifstream smaps("/proc/self/smaps");
	std::map<uintptr_t, std::pair<uintptr_t, bool>> found;
	uintptr_t begin = 0, end = 0;
	for (std::string line; std::getline(smaps, line);) {
		uintptr_t from, to;
		if (sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2)
			begin = from, end = to;
		else if (line.rfind("VmFlags:", 0) == 0)
			found[begin] = {end, line.find(" dd") != std::string::npos};
	}
	return found;
}

static bool left_out(const std::map<uintptr_t, std::pair<uintptr_t, bool>> &all, const void *p, size_t size)
{
	auto mapping = --all.upper_bound(reinterpret_cast<uintptr_t>(p));
	return mapping->second.second && reinterpret_cast<uintptr_t>(p) + size <= mapping->second.first;
}

static InkFreeList list(uint32_t size, uint32_t alignment)
{
	InkFreeList f{};
	f.type_size = size;
	f.alignment = alignment;
	f.advice = MADV_DONTDUMP;
	return f;
}

static InkFreeList lists[] = {list(128, 16), list(4096, 4096), list(32768, 4096), list(2 << 20, 4096)};
static const int counts[] = {1000, 500, 100, 5};

static void take(std::vector<std::pair<InkFreeList *, void *>> &objects)
{
	auto &allocator = jearena::globalJemallocNodumpAllocator();
	for (int kind = 0; kind < 4; kind++)
		for (int i = 0; i < counts[kind]; i++) {
			void *p = allocator.allocate(&lists[kind]);
			memset(p, kind + 1, lists[kind].type_size);
			objects.emplace_back(&lists[kind], p);
		}
	// Some go again, to be taken once more.
	for (size_t i = 0; i < objects.size(); i += 3) {
		allocator.deallocate(objects[i].first, objects[i].second);
		objects[i].second = allocator.allocate(objects[i].first);
		memset(objects[i].second, 7, objects[i].first->type_size);
	}
}

int main()
{
	std::vector<std::vector<std::pair<InkFreeList *, void *>>> objects(4);
	for (auto &mine : objects)
		std::thread(take, std::ref(mine)).join();
	auto all = mappings();
	size_t out = 0, in = 0;
	for (auto &mine : objects)
		for (auto &[f, p] : mine)
			(left_out(all, p, f->type_size) ? out : in)++;
	auto ordinary = std::make_unique<char[]>(100000);
	bool dumped = !left_out(all, ordinary.get(), 1);
	// By another thread than took them, which has gone.
	for (auto &mine : objects)
		for (auto &[f, p] : mine)
			jearena::globalJemallocNodumpAllocator().deallocate(f, p);
	printf("%zu buffers stay out of core files, %zu do not; what new gives is %sin them\n", out, in,
	       dumped ? "" : "not ");
	return 0;
}
