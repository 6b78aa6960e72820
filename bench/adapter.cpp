/* SPDX-License-Identifier: MIT
 *
 * The one C++ file: runs the workloads of harness.h under google-benchmark, and says which allocator served them.
 *
 * google-benchmark allocates too, but not between the two readings of `struct usage` around a workload. If the wrong
 * allocator were loaded, or the readings took in something else, every table made of them would lie: so the object that
 * `malloc` is in comes from the kernel's list of mappings, and times, faults and memory come from the kernel.
 */
#include "bench/harness.h"

#include <benchmark/benchmark.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

struct usage {
	double user, sys, wall;
	long minor_faults, major_faults;
};

struct bench {
	benchmark::State *state;
	const bench_workload *workload;
	double operations;
	usage from;   /* when the work began */
	usage beside; /* spent since on looking at memory and on pauses: not the workload's */
	double idle_kib, end_kib, peak_kib;
	double rss_sum, live_sum; /* over the samples */
	bool ended, end_is_own;
};

namespace
{

bench_workload *workloads, **last = &workloads;
double scale = 1;
long threads_wanted;
bool quick, threaded;

usage operator-(const usage &a, const usage &b)
{
	return {a.user - b.user, a.sys - b.sys, a.wall - b.wall, a.minor_faults - b.minor_faults,
		a.major_faults - b.major_faults};
}

double seconds(const timeval &t)
{
	return double(t.tv_sec) + double(t.tv_usec) * 1e-6;
}

double clock_now()
{
	timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return double(t.tv_sec) + double(t.tv_nsec) * 1e-9;
}

usage usage_of(int who)
{
	rusage r;

	getrusage(who, &r);
	return {seconds(r.ru_utime), seconds(r.ru_stime), clock_now(), r.ru_minflt, r.ru_majflt};
}

/* Of this process, all its threads, and the children that it has waited for. */
usage usage_now()
{
	usage own = usage_of(RUSAGE_SELF), children = usage_of(RUSAGE_CHILDREN);

	children.wall = 0;
	return {own.user + children.user, own.sys + children.sys, own.wall, own.minor_faults + children.minor_faults,
		own.major_faults + children.major_faults};
}

/* What this thread does while one of these exists is not the workload's. */
class aside
{
	bench *b;
	usage from;

      public:
	explicit aside(bench *b) : b(b), from(usage_of(RUSAGE_THREAD))
	{
	}
	~aside()
	{
		b->beside = b->beside - (from - usage_of(RUSAGE_THREAD));
	}
};

void read_text(const char *path, char *text, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got = fd < 0 ? -1 : 1;

	while (got > 0 && n < room - 1) {
		got = read(fd, text + n, room - 1 - n);
		n += got > 0 ? size_t(got) : 0;
	}
	if (fd >= 0)
		close(fd);
	if (n == 0)
		bench_fail("a file of /proc/self cannot be read");
	text[n] = '\0';
}

/* The number after the key. For the peak not ru_maxrss: that one remembers the parent from before exec. */
double number_in(const char *path, const char *key)
{
	char text[8192];

	read_text(path, text, sizeof text);
	const char *line = strstr(text, key);
	if (!line)
		bench_fail("a file of /proc/self lacks a line");
	return atof(line + strlen(key));
}

/* Exact: the kernel walks the page tables, while its counters may lag behind by some pages a CPU. */
double exact_rss_kib()
{
	return number_in("/proc/self/smaps_rollup", "\nRss:");
}

double rss_kib()
{
	char text[128];
	long pages = 0;

	read_text("/proc/self/statm", text, sizeof text);
	if (sscanf(text, "%*s %ld", &pages) != 1)
		bench_fail("/proc/self/statm has another form");
	return double(pages) * double(sysconf(_SC_PAGESIZE)) / 1024;
}

/* The file that the address lies in, by /proc/self/maps. */
std::string file_of(const void *address)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[4608], path[4096];
	uintptr_t start, end, wanted = uintptr_t(address);
	std::string found = "?";

	while (maps && fgets(line, sizeof line, maps)) {
		path[0] = '\0';
		sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %4095s", &start, &end, path);
		if (start <= wanted && wanted < end)
			found = path;
	}
	if (maps)
		fclose(maps);
	return found;
}

void report(benchmark::State &state, const bench &b, const usage &work)
{
	state.counters["user_s"] = work.user > 0 ? work.user : 0;
	state.counters["sys_s"] = work.sys > 0 ? work.sys : 0;
	state.counters["wall_s"] = work.wall;
	state.counters["minor_faults"] = double(work.minor_faults);
	state.counters["major_faults"] = double(work.major_faults);
	state.counters["idle_kib"] = b.idle_kib;
	state.counters["end_kib"] = b.end_kib;
	state.counters["peak_kib"] = b.peak_kib > 0 ? b.peak_kib : number_in("/proc/self/status", "VmHWM:");
	if (b.live_sum > 0)
		state.counters["rss_live_mean"] = b.rss_sum / b.live_sum;
	if (b.workload->threads)
		state.counters["workload_threads"] = bench_threads(&b);
	state.counters["operations"] = b.operations * double(state.iterations());
	state.SetItemsProcessed(int64_t(b.operations * double(state.iterations())));
}

void run(benchmark::State &state, const bench_workload *w)
{
	bench b = {};

	b.state = &state;
	b.workload = w;
	bench_begin(&b);
	w->run(&b);
	report(state, b, usage_now() - b.from - b.beside);
}

long iterations_of(const bench_workload *w)
{
	double n = double(quick ? w->quick : w->iterations) * scale;

	return n < 1 ? 1 : long(n);
}

bool wanted(const bench_workload *w)
{
	return (!quick || w->quick) && (!threaded || w->threads);
}

/* Takes our own options out of the command line; google-benchmark reads, and checks, the rest. */
int own_options(int argc, char **argv)
{
	int kept = 1;

	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--scale=", 8) == 0)
			scale = atof(argv[i] + 8);
		else if (strncmp(argv[i], "--threads=", 10) == 0)
			threads_wanted = atol(argv[i] + 10);
		else if (strcmp(argv[i], "--quick") == 0)
			quick = true;
		else if (strcmp(argv[i], "--threaded") == 0)
			threaded = true;
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = nullptr;
	if (!(scale > 0) || threads_wanted < 0 || threads_wanted > BENCH_MAX_THREADS)
		bench_fail("--scale=FACTOR is above 0, --threads=N is from 1 to 1024");
	return kept;
}

} // namespace

extern "C" {

void bench_register(bench_workload *w)
{
	*last = w;
	last = &w->next;
}

bool bench_next(bench *b)
{
	if (b->state->KeepRunning())
		return true;
	if (!b->ended && !b->end_is_own) {
		aside looking(b);
		b->end_kib = exact_rss_kib();
	}
	b->ended = true;
	return false;
}

void bench_begin(bench *b)
{
	b->idle_kib = exact_rss_kib();
	b->beside = {};
	b->from = usage_now();
}

long bench_iterations(const bench *b)
{
	return long(b->state->max_iterations);
}

long bench_arg(const bench *b, unsigned i)
{
	return b->workload->args[i];
}

unsigned bench_threads(const bench *b)
{
	if (b->workload->threads == 0)
		return 1;
	return threads_wanted ? unsigned(threads_wanted) : b->workload->threads;
}

void bench_operations(bench *b, double per_iteration)
{
	b->operations = per_iteration;
}

void bench_counter(bench *b, const char *name, double value)
{
	b->state->counters[name] = value;
}

void bench_rest(bench *b, double seconds)
{
	aside pausing(b);
	timespec t = {time_t(seconds), long((seconds - double(time_t(seconds))) * 1e9)};

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		;
}

void bench_idle(bench *b, double seconds)
{
	double part = double(bench_iterations(b)) / double(b->workload->iterations);

	bench_rest(b, part < 1 ? seconds * part : seconds);
}

double bench_rss_kib(bench *b)
{
	aside looking(b);

	return rss_kib() - b->idle_kib;
}

void bench_sample(bench *b, size_t live_bytes)
{
	b->rss_sum += bench_rss_kib(b) * 1024;
	b->live_sum += double(live_bytes);
}

void bench_end_memory(bench *b, size_t live_bytes)
{
	aside looking(b);

	b->end_kib = exact_rss_kib();
	b->end_is_own = true;
	if (live_bytes > 0)
		bench_counter(b, "rss_live_end", (b->end_kib - b->idle_kib) * 1024 / double(live_bytes));
}

void bench_child_memory(bench *b, double peak_kib)
{
	b->peak_kib = peak_kib;
	b->idle_kib = 0;
	b->end_kib = -1;
	b->end_is_own = true;
}

} // extern "C"

int main(int argc, char **argv)
{
	argc = own_options(argc, argv);
	for (bench_workload *w = workloads; w; w = w->next)
		if (wanted(w))
			benchmark::RegisterBenchmark(w->name, run, w)
				->Iterations(iterations_of(w))
				->MeasureProcessCPUTime()
				->Unit(benchmark::kMillisecond);
	benchmark::AddCustomContext("allocator", file_of(dlsym(RTLD_DEFAULT, "malloc")));
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	return benchmark::RunSpecifiedBenchmarks() > 0 ? 0 : 1;
}
