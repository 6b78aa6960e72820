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

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

struct bench {
	benchmark::State *state;
	const bench_workload *workload;
	double operations;
};

namespace
{

bench_workload *workloads, **last = &workloads;
double scale = 1;
long threads_wanted;

struct usage {
	double user, sys, wall;
	long minor_faults, major_faults;
};

double seconds(const timeval &t)
{
	return double(t.tv_sec) + double(t.tv_usec) * 1e-6;
}

usage usage_now()
{
	rusage r;
	timespec t;

	getrusage(RUSAGE_SELF, &r);
	clock_gettime(CLOCK_MONOTONIC, &t);
	return {seconds(r.ru_utime), seconds(r.ru_stime), double(t.tv_sec) + double(t.tv_nsec) * 1e-9, r.ru_minflt,
		r.ru_majflt};
}

/* A line of /proc/self/status in KiB. Not ru_maxrss: that one remembers the parent from before exec. */
double status_kib(const char *key)
{
	char text[8192];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		bench_fail("cannot read /proc/self/status");
	text[n] = '\0';
	const char *line = strstr(text, key);
	if (!line)
		bench_fail("no such line in /proc/self/status");
	return atof(line + strlen(key));
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

void report(benchmark::State &state, const bench &b, const usage &from, const usage &to, double idle_kib)
{
	state.counters["user_s"] = to.user - from.user;
	state.counters["sys_s"] = to.sys - from.sys;
	state.counters["wall_s"] = to.wall - from.wall;
	state.counters["minor_faults"] = double(to.minor_faults - from.minor_faults);
	state.counters["major_faults"] = double(to.major_faults - from.major_faults);
	state.counters["idle_kib"] = idle_kib;
	state.counters["peak_kib"] = status_kib("VmHWM:");
	state.SetItemsProcessed(int64_t(b.operations * double(state.iterations())));
}

void run(benchmark::State &state, const bench_workload *w)
{
	bench b = {&state, w, 0};
	double idle_kib = status_kib("VmRSS:");
	usage from = usage_now();

	w->run(&b);
	report(state, b, from, usage_now(), idle_kib);
}

long scaled(long iterations)
{
	double n = double(iterations) * scale;

	return n < 1 ? 1 : long(n);
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
	return b->state->KeepRunning();
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

} // extern "C"

int main(int argc, char **argv)
{
	argc = own_options(argc, argv);
	for (bench_workload *w = workloads; w; w = w->next)
		benchmark::RegisterBenchmark(w->name, run, w)
			->Iterations(scaled(w->iterations))
			->MeasureProcessCPUTime()
			->Unit(benchmark::kMillisecond);
	benchmark::AddCustomContext("allocator", file_of(dlsym(RTLD_DEFAULT, "malloc")));
	benchmark::Initialize(&argc, argv);
	if (benchmark::ReportUnrecognizedArguments(argc, argv))
		return 1;
	return benchmark::RunSpecifiedBenchmarks() > 0 ? 0 : 1;
}
