/* SPDX-License-Identifier: MIT
 *
 * new and delete as a C++ program writes them — if this fails, C++ programs do
 * not reach the allocator, or do not get the new-handler and the bad_alloc that
 * the language promises when memory runs out.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

static unsigned failures;

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
			failures++; \
		} \
	} while (0)

/* What no machine has, hidden from the compiler, which refuses to compile it. */
static volatile std::size_t too_much = PTRDIFF_MAX / 2;
/* Where results go: an unused new may be left out by the compiler. */
static void *volatile sink;

struct plain {
	char bytes[40];
};
struct alignas(128) overaligned {
	char bytes[200];
};
struct with_destructor {
	std::string text = "a string that is too long for the object itself";
};

static const char *library_of(void *function)
{
	Dl_info info;
	return function && dladdr(function, &info) ? info.dli_fname : "no library";
}

static void all_twenty_operators_come_from_the_library_under_test()
{
	static const char *const names[] = {
		"_Znwm",
		"_Znam",
		"_ZnwmRKSt9nothrow_t",
		"_ZnamRKSt9nothrow_t",
		"_ZnwmSt11align_val_t",
		"_ZnamSt11align_val_t",
		"_ZnwmSt11align_val_tRKSt9nothrow_t",
		"_ZnamSt11align_val_tRKSt9nothrow_t",
		"_ZdlPv",
		"_ZdaPv",
		"_ZdlPvRKSt9nothrow_t",
		"_ZdaPvRKSt9nothrow_t",
		"_ZdlPvm",
		"_ZdaPvm",
		"_ZdlPvSt11align_val_t",
		"_ZdaPvSt11align_val_t",
		"_ZdlPvSt11align_val_tRKSt9nothrow_t",
		"_ZdaPvSt11align_val_tRKSt9nothrow_t",
		"_ZdlPvmSt11align_val_t",
		"_ZdaPvmSt11align_val_t",
	};
	const char *wanted = getenv("TEST_LIBRARY") ? getenv("TEST_LIBRARY") : "libashlar.so.1";
	static_assert(sizeof(names) / sizeof(names[0]) == 20, "8 of new, 12 of delete");
	for (const char *name : names) {
		const char *library = library_of(dlsym(RTLD_DEFAULT, name));
		if (!strstr(library, wanted)) {
			fprintf(stderr, "%s comes from %s, but the test is for %s\n", name, library, wanted);
			failures++;
		}
	}
}

template <class T> static void check_expressions(std::size_t alignment)
{
	T *one = new T, *many = new T[7], *quiet = new (std::nothrow) T, *quiet_many = new (std::nothrow) T[7];
	for (T *p : {one, many, quiet, quiet_many})
		CHECK(p && reinterpret_cast<std::uintptr_t>(p) % alignment == 0);
	CHECK(malloc_usable_size(one) >= sizeof(T));
	delete one;
	delete[] many;
	delete quiet;
	delete[] quiet_many;
}

static void new_expressions_of_all_forms_work()
{
	check_expressions<char>(1);
	check_expressions<plain>(16);
	check_expressions<overaligned>(128);
	check_expressions<with_destructor>(8);
	void *p = ::operator new(1000, std::align_val_t(512));
	CHECK(reinterpret_cast<std::uintptr_t>(p) % 512 == 0);
	::operator delete(p, 1000, std::align_val_t(512));
	::operator delete(::operator new(64), 64);
	::operator delete[](::operator new[](64), 64);
}

static void containers_work_from_many_threads()
{
	std::vector<std::thread> threads;
	std::size_t total[4] = {};
	for (int t = 0; t < 4; t++) {
		threads.emplace_back([t, &total] {
			std::map<int, std::string> map;
			for (int i = 0; i < 20000; i++)
				map[i * 7919 % 10007] += "entry " + std::to_string(i);
			for (auto &entry : map)
				total[t] += entry.second.size();
		});
	}
	for (auto &thread : threads)
		thread.join();
	CHECK(total[0] > 0 && total[0] == total[1] && total[1] == total[2] && total[2] == total[3]);
}

template <class F> static bool throws_bad_alloc(F call)
{
	try {
		call();
	} catch (const std::bad_alloc &) {
		return true;
	}
	return false;
}

static void without_memory_new_throws_bad_alloc()
{
	CHECK(throws_bad_alloc([] { sink = ::operator new(too_much); }));
	CHECK(throws_bad_alloc([] { sink = ::operator new[](too_much); }));
	CHECK(throws_bad_alloc([] { sink = ::operator new(too_much, std::align_val_t(64)); }));
	CHECK(throws_bad_alloc([] { sink = ::operator new[](too_much, std::align_val_t(64)); }));
	CHECK(throws_bad_alloc([] { sink = ::operator new(std::numeric_limits<std::size_t>::max()); }));
	CHECK(throws_bad_alloc([] { sink = new char[too_much]; }));
	CHECK(throws_bad_alloc([] { std::vector<char> v(too_much); }));
	CHECK(throws_bad_alloc([] { std::string s(too_much, 'x'); }));
}

static void the_exception_passes_through_frames_with_destructors()
{
	static int destroyed;
	struct witness {
		~witness()
		{
			destroyed++;
		}
	};
	CHECK(throws_bad_alloc([] {
		witness first;
		std::unique_ptr<plain> owned(new plain);
		witness second;
		sink = ::operator new(too_much);
	}));
	CHECK(destroyed == 2);
}

static void without_memory_nothrow_new_gives_null()
{
	CHECK(::operator new(too_much, std::nothrow) == nullptr);
	CHECK(::operator new[](too_much, std::nothrow) == nullptr);
	CHECK(::operator new(too_much, std::align_val_t(64), std::nothrow) == nullptr);
	CHECK(::operator new[](too_much, std::align_val_t(64), std::nothrow) == nullptr);
	CHECK(new (std::nothrow) char[too_much] == nullptr);
}

static int handler_calls;

static void give_up_at_the_third_call()
{
	if (++handler_calls == 3)
		std::set_new_handler(nullptr);
}

static void the_new_handler_is_called_until_it_gives_up()
{
	const std::function<void()> calls[] = {
		[] { sink = ::operator new(too_much); },
		[] { sink = ::operator new[](too_much); },
		[] { sink = ::operator new(too_much, std::align_val_t(64)); },
		[] { sink = ::operator new[](too_much, std::align_val_t(64)); },
	};
	for (auto &call : calls) {
		handler_calls = 0;
		std::set_new_handler(give_up_at_the_third_call);
		CHECK(throws_bad_alloc(call));
		CHECK(handler_calls == 3);
	}
}

static void nothrow_new_calls_the_handler_too()
{
	handler_calls = 0;
	std::set_new_handler(give_up_at_the_third_call);
	CHECK(::operator new(too_much, std::nothrow) == nullptr);
	CHECK(handler_calls == 3);
	handler_calls = 0;
	std::set_new_handler(give_up_at_the_third_call);
	CHECK(::operator new[](too_much, std::align_val_t(64), std::nothrow) == nullptr);
	CHECK(handler_calls == 3);
}

struct handlers_own {
	int value;
};

static void a_handler_may_throw_something_of_its_own()
{
	std::set_new_handler([] { throw handlers_own{7}; });
	int seen = 0;
	try {
		sink = ::operator new(too_much);
	} catch (const handlers_own &e) {
		seen = e.value;
	}
	std::set_new_handler(nullptr);
	CHECK(seen == 7);
}

static constexpr std::size_t block = std::size_t(256) << 20;
static std::vector<void *> blocks;

static void give_a_block_back()
{
	handler_calls++;
	if (blocks.empty()) {
		std::set_new_handler(nullptr);
		return;
	}
	::operator delete(blocks.back());
	blocks.pop_back();
}

static std::size_t address_space_in_use()
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	CHECK(file && fscanf(file, "%lu", &pages) == 1);
	if (file)
		fclose(file);
	return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/* Takes address space until there is none under the limit: then the handler frees, and the call that failed succeeds. */
static void a_handler_that_frees_memory_makes_the_call_succeed()
{
	rlimit old_space, old_data, limit;
	getrlimit(RLIMIT_AS, &old_space);
	getrlimit(RLIMIT_DATA, &old_data);
	limit = old_space;
	blocks.reserve(1 << 20);
	limit.rlim_cur = address_space_in_use() + (std::size_t(4) << 30);
	handler_calls = 0;
	setrlimit(RLIMIT_AS, &limit);
	setrlimit(RLIMIT_DATA, &limit);
	std::set_new_handler(give_a_block_back);
	while (handler_calls == 0 && blocks.size() < (1 << 20) - 1)
		blocks.push_back(::operator new(block));
	std::set_new_handler(nullptr);
	setrlimit(RLIMIT_AS, &old_space);
	setrlimit(RLIMIT_DATA, &old_data);
	CHECK(handler_calls == 1);
	CHECK(!blocks.empty());
	for (void *p : blocks)
		::operator delete(p);
	blocks.clear();
}

int main()
{
	static const struct {
		const char *name;
		void (*run)();
	} tests[] = {
#define TEST(name) {#name, name}
		TEST(all_twenty_operators_come_from_the_library_under_test),
		TEST(new_expressions_of_all_forms_work),
		TEST(containers_work_from_many_threads),
		TEST(without_memory_new_throws_bad_alloc),
		TEST(the_exception_passes_through_frames_with_destructors),
		TEST(without_memory_nothrow_new_gives_null),
		TEST(the_new_handler_is_called_until_it_gives_up),
		TEST(nothrow_new_calls_the_handler_too),
		TEST(a_handler_may_throw_something_of_its_own),
		TEST(a_handler_that_frees_memory_makes_the_call_succeed),
	};
	for (auto &test : tests) {
		unsigned before = failures;
		alarm(120);
		test.run();
		fprintf(stderr, "%s %s\n", failures == before ? "ok    " : "FAILED", test.name);
	}
	return failures != 0;
}
