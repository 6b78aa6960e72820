/* SPDX-License-Identifier: MIT
 *
 * Plans the faults: which use of a kind of call is refused, with which errno, for
 * how long, under which options. If this fails, see case.c; the line that it
 * prints runs the one process again.
 *
 *   faults [--all] PROGRAM KIND...    --all: every use up to 200, each errno
 *   faults --selftest PROGRAM         the checks notice what they are there for
 *
 * Each kind begins with a run without faults under each set of options: it says
 * how often the call is made there, and what is left in the end. A kind that is
 * never made fails the test.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kinds.h"

enum {
	USES_MAX = 200,
	USES_FIRST = 4,  /* each with each errno */
	USES_DENSE = 40, /* each with one errno; then every eighth */
	USES_SLOW = 16,  /* where a process takes its time; all with --all */
	STRIDE = 8,
	FAILURES_MAX = 5, /* of a kind, before it is given up */
	OUTPUT_MAX = 4000
};
#define FOR_EVER UINT64_MAX
#define ADDRESS_LIMIT ((rlim_t)2 << 30)
/* What may be held above a run without faults: magazines and slabs that another order of events left. */
#define HELD_SLACK ((uint64_t)2 << 20)

static const struct {
	const char *name;
	const char *what;
	unsigned needs;
	int error[10]; /* 0 after the last */
} kinds[] = {
#define KIND(name, what, needs, ...) {#name, what, needs, {__VA_ARGS__}},
#include "kinds.def"
#undef KIND
};

/* Faults meet different code in each of them. */
static const char *const worlds[] = {
	"dirty_decay_ms:1000",
	"dirty_decay_ms:0",
	"tcache:false,narenas:4,dirty_decay_ms:8",
	"check:full",
	"narenas:4,dirty_decay_ms:50",
	"background_thread:true,dirty_decay_ms:20",
};
enum { WORLDS = sizeof(worlds) / sizeof(*worlds) };

static const uint64_t durations[] = {1, FOR_EVER, 50};
enum { DURATIONS = sizeof(durations) / sizeof(*durations) };

struct plan {
	enum kind kind;
	unsigned world;
	uint64_t first, count;
	int error;
	unsigned plants;
};

static const char *program;
static int result_fd, output_fd;

/* ---- one process */

static void settings(const struct plan *plan, char conf[256], char *tunables[1])
{
	unsigned needs = kinds[plan->kind].needs;

	snprintf(conf, 256, "MALLOC_CONF=%s%s%s%s%s", worlds[plan->world], needs & FULL ? ",check:full" : "",
		 needs & CONTEND ? ",tcache:false" : "", needs & ARENAS ? ",percpu_arena:percpu" : "",
		 needs & TALKING ? ",confirm_conf:true,stats_print:true,nonsense:1" : "");
	tunables[0] = needs & NO_RSEQ ? "GLIBC_TUNABLES=glibc.pthread.rseq=0" : NULL;
}

static unsigned flags_of(const struct plan *plan)
{
	return plan->plants | kinds[plan->kind].needs;
}

static void become(const struct plan *plan)
{
	static char first[24], count[24], error[24], seed[24], flags[24], conf[256];
	char *tunables, *environment[3] = {conf, NULL, NULL};
	char *argv[] = {(char *)program, (char *)kinds[plan->kind].name, first, count, error, seed, flags, NULL};
	struct rlimit limit = {ADDRESS_LIMIT, ADDRESS_LIMIT};

	snprintf(first, sizeof(first), "%" PRIu64, plan->first);
	snprintf(count, sizeof(count), "%" PRIu64, plan->count);
	snprintf(error, sizeof(error), "%d", plan->error);
	snprintf(seed, sizeof(seed), "%" PRIu64, plan->first);
	snprintf(flags, sizeof(flags), "%u", flags_of(plan));
	settings(plan, conf, &tunables);
	environment[1] = tunables;
	if (kinds[plan->kind].needs & LIMITED && setrlimit(RLIMIT_AS, &limit) != 0)
		_exit(126);
	if (dup2(output_fd, 1) < 0 || dup2(output_fd, 2) < 0 || dup2(result_fd, FD_RESULT) < 0)
		_exit(126);
	execve(program, argv, environment);
	_exit(127);
}

/* The status of the process as wait gives it; *result is zeros where it said nothing. */
static int process(const struct plan *plan, struct result *result)
{
	pid_t pid;
	int status;

	memset(result, 0, sizeof(*result));
	if (ftruncate(result_fd, 0) != 0 || ftruncate(output_fd, 0) != 0 || lseek(result_fd, 0, SEEK_SET) != 0 ||
	    lseek(output_fd, 0, SEEK_SET) != 0) {
		perror("faults: cannot empty the results");
		exit(1);
	}
	pid = fork();
	if (pid == 0)
		become(plan);
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		perror("faults: cannot run a process");
		exit(1);
	}
	if (pread(result_fd, result, sizeof(*result), 0) != sizeof(*result))
		memset(result, 0, sizeof(*result));
	return status;
}

/* ---- what is expected of it */

static void show(const struct plan *plan, const char *complaint)
{
	char output[OUTPUT_MAX], conf[256], *tunables;
	ssize_t n = pread(output_fd, output, sizeof(output), 0);

	settings(plan, conf, &tunables);
	printf("FAILED: %s\n  again: %senv -i %s %s %s %s %" PRIu64 " %" PRIu64 " %d %" PRIu64 " %u 3>/dev/null\n",
	       complaint, kinds[plan->kind].needs & LIMITED ? "ulimit -v 2097152; " : "", conf,
	       tunables ? tunables : "", program, kinds[plan->kind].name, plan->first, plan->count, plan->error,
	       plan->first, flags_of(plan));
	if (n > 0)
		printf("%.*s", (int)n, output);
	fflush(stdout);
}

static bool stands(const struct plan *plan, int status, const struct result *is, const struct result *without)
{
	char complaint[160] = "";

	if (WIFSIGNALED(status))
		snprintf(complaint, sizeof(complaint), "ended by signal %d", WTERMSIG(status));
	else if (status)
		snprintf(complaint, sizeof(complaint), "exit status %d", WEXITSTATUS(status));
	else if (without && is->in_use > without->in_use)
		snprintf(complaint, sizeof(complaint),
			 "%" PRIu64 " bytes are in use in the end, %" PRIu64 " without faults", is->in_use,
			 without->in_use);
	else if (without && is->held - is->dirty > without->held - without->dirty + HELD_SLACK)
		snprintf(complaint, sizeof(complaint),
			 "%" PRIu64 " bytes are held in the end, %" PRIu64 " without faults", is->held - is->dirty,
			 without->held - without->dirty);
	if (*complaint)
		show(plan, complaint);
	return !*complaint;
}

/* ---- one kind */

struct counts {
	unsigned cases, reached, failed;
	unsigned turn, world; /* what came last, where not all is tried */
	uint64_t refusals;
};

static void meet(const struct plan *plan, const struct result *without, struct counts *counts)
{
	struct result is;
	int status = process(plan, &is);

	counts->cases++;
	counts->reached += is.refused > 0 || status;
	counts->refusals += is.refusals;
	counts->failed += !stands(plan, status, &is, without);
}

/* The next set of options under which the call is made that often. */
static unsigned world_for(uint64_t use, const struct result *without, unsigned *turn)
{
	do
		*turn = (*turn + 1) % WORLDS;
	while (without[*turn].uses < use);
	return *turn;
}

static unsigned errors_of(enum kind kind)
{
	unsigned n = 0;

	while (kinds[kind].error[n])
		n++;
	return n;
}

/* An interrupted call is made again; no system interrupts one for ever. */
static bool plausible(const struct plan *plan)
{
	if (kinds[plan->kind].needs & ALTOGETHER)
		return plan->first == 1 && plan->count == FOR_EVER;
	return plan->error != EINTR || plan->count != FOR_EVER;
}

/* One use: for how long, with which errno, in which world; all of them or in turn. */
static void meet_use(enum kind kind, uint64_t use, bool all, const struct result *without, struct counts *counts)
{
	unsigned errors = all || use <= USES_FIRST ? errors_of(kind) : 1, places = all ? WORLDS : 1;

	for (unsigned i = 0; i < DURATIONS * errors * places; i++, counts->turn++) {
		struct plan plan = {.kind = kind, .first = use, .count = durations[i % DURATIONS]};

		plan.error = kinds[kind].error[(errors == 1 ? counts->turn : i / DURATIONS) % errors_of(kind)];
		plan.world = all ? i / (DURATIONS * errors) : world_for(use, without, &counts->world);
		if (without[plan.world].uses >= use && counts->failed < FAILURES_MAX && plausible(&plan))
			meet(&plan, &without[plan.world], counts);
	}
}

static void meet_all(enum kind kind, bool all, uint64_t most, const struct result *without, struct counts *counts)
{
	for (uint64_t use = 1; use <= most; use += all || use < USES_DENSE ? 1 : STRIDE)
		meet_use(kind, use, all, without, counts);
}

/* Runs without faults; returns how many uses of the kind to refuse. */
static uint64_t measure(enum kind kind, bool all, struct result without[WORLDS], struct counts *counts)
{
	uint64_t most = 0, cap = kinds[kind].needs & (SLOW | CONTEND) && !all ? USES_SLOW : USES_MAX;

	for (unsigned w = 0; w < WORLDS; w++) {
		struct plan plan = {.kind = kind, .world = w};
		int status = process(&plan, &without[w]);

		counts->failed += !stands(&plan, status, &without[w], NULL);
		if (without[w].uses > most)
			most = without[w].uses;
	}
	return most < cap ? most : cap;
}

static bool kind_stands(enum kind kind, bool all)
{
	struct result without[WORLDS];
	struct counts counts = {0};
	uint64_t most = measure(kind, all, without, &counts);
	bool unused = kinds[kind].needs & UNUSED;

	meet_all(kind, all, most, without, &counts);
	printf("%s (%s): up to %" PRIu64 " uses", kinds[kind].name, kinds[kind].what, most);
	for (unsigned w = 0; w < WORLDS; w++)
		printf("%s%" PRIu64, w ? " " : " (", without[w].uses);
	printf("), %u processes of which %u met a fault, %" PRIu64 " requests were refused, %u failed\n", counts.cases,
	       counts.reached, counts.refusals, counts.failed);
	fflush(stdout);
	if (unused == (most > 0)) {
		printf("FAILED: the library %s; its row in kinds.def says that it %s\n",
		       most ? "makes this call" : "never makes this call", unused ? "does not" : "does");
		return false;
	}
	return !counts.failed && (unused || counts.reached > 0);
}

/* ---- the tests of this test */

static bool noticed(const char *what, unsigned plant, enum kind kind, int error)
{
	struct plan plan = {.kind = kind, .plants = plant, .error = error, .first = error ? 1 : 0, .count = FOR_EVER};
	struct result is, without;
	bool ok;

	plan.plants = 0;
	plan.first = 0;
	if (process(&plan, &without) != 0) {
		show(&plan, "a run without faults");
		return false;
	}
	plan.plants = plant;
	plan.first = error ? 1 : 0;
	ok = !stands(&plan, process(&plan, &is), &is, &without);
	printf("%s: %s\n", what, ok ? "noticed" : "NOT NOTICED");
	return ok;
}

static bool selftest(void)
{
	bool ok = noticed("a leak of 100 bytes", PLANT_LEAK, KIND_munmap, 0);

	ok &= noticed("a byte that changes", PLANT_STAIN, KIND_munmap, 0);
	ok &= noticed("memory that was not committed", PLANT_LIE, KIND_mprotect, 0);
	ok &= noticed("a process that hangs", PLANT_HANG, KIND_munmap, 0);
	ok &= noticed("NULL when the faults are gone", PLANT_KEPT, KIND_munmap, 0);
	return ok;
}

/* ---- */

static enum kind kind_named(const char *name)
{
	for (unsigned k = 0; k < KINDS; k++) {
		if (strcmp(kinds[k].name, name) == 0)
			return (enum kind)k;
	}
	fprintf(stderr, "faults: no kind of call is named %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	bool all = argc > 1 && strcmp(argv[1], "--all") == 0, test = argc > 1 && strcmp(argv[1], "--selftest") == 0;
	bool ok = true;

	argv += 1 + (all || test);
	if (!*argv || (!test && !argv[1])) {
		fprintf(stderr, "usage: faults [--all] PROGRAM KIND... | --selftest PROGRAM\n");
		return 2;
	}
	program = *argv++;
	result_fd = memfd_create("result", 0);
	output_fd = memfd_create("output", 0);
	if (result_fd < 0 || output_fd < 0) {
		perror("faults: memfd_create");
		return 1;
	}
	if (test)
		return selftest() ? 0 : 1;
	for (; *argv; argv++)
		ok &= kind_stands(kind_named(*argv), all);
	return ok ? 0 : 1;
}
