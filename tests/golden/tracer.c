/* SPDX-License-Identifier: MIT
 *
 * tracer LIBRARY VICTIM [ARGUMENT...] — runs VICTIM with LIBRARY preloaded and
 * single-steps through each call that the victim marks. If it lost steps, the
 * instruction gate would pass a slower library.
 *
 * Prints, a marked call: "call NAME", then "in OFFSET" (hexadecimal, from the
 * start of the library) for each instruction executed inside the library, then
 * "out N", the number of those in other libraries. Instructions of the victim
 * itself are not counted. ASLR is off and the environment is empty but for the
 * preload, so that every run takes the same path.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WATCHDOG_SECONDS = 60, NAME_BYTES = 64 };

struct range {
	unsigned long start, end;
};

static pid_t victim;

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("tracer: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

__attribute__((noreturn)) static void become_victim(const char *library, char **argv)
{
	char preload[PATH_MAX + 16];
	char *environment[] = {preload, "LD_BIND_NOW=1", NULL};

	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", library);
	if (personality(ADDR_NO_RANDOMIZE) == -1)
		fail("cannot switch ASLR off: %s", strerror(errno));
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
		fail("cannot be traced: %s", strerror(errno));
	execve(argv[0], argv, environment);
	fail("cannot run %s: %s", argv[0], strerror(errno));
}

/* Returns false when the victim has ended well; any other end is a failure. */
static int wait_for_stop(void)
{
	int status;

	if (waitpid(victim, &status, 0) == -1)
		fail("waitpid: %s", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status))
		fail("the victim ended with status %d", WEXITSTATUS(status));
	if (WIFSIGNALED(status))
		fail("the victim was killed by signal %d", WTERMSIG(status));
	if (WSTOPSIG(status) != SIGTRAP)
		fail("the victim got signal %d", WSTOPSIG(status));
	return 1;
}

static int resume(enum __ptrace_request how)
{
	if (ptrace(how, victim, NULL, NULL) == -1)
		fail("cannot resume the victim: %s", strerror(errno));
	return wait_for_stop();
}

static struct user_regs_struct registers(void)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, victim, NULL, &regs) == -1)
		fail("cannot read registers: %s", strerror(errno));
	return regs;
}

/* A breakpoint instruction stops with SI_KERNEL, a single step does not. */
static int stopped_at_mark(void)
{
	siginfo_t info;

	if (ptrace(PTRACE_GETSIGINFO, victim, NULL, &info) == -1)
		fail("cannot read the signal: %s", strerror(errno));
	return info.si_code == SI_KERNEL;
}

static void read_name(unsigned long address, char name[NAME_BYTES])
{
	for (size_t i = 0; i < NAME_BYTES; i += sizeof(long)) {
		errno = 0;
		long word = ptrace(PTRACE_PEEKDATA, victim, address + i, NULL);

		if (errno)
			fail("cannot read the name of a call: %s", strerror(errno));
		memcpy(name + i, &word, sizeof(word));
	}
	if (!memchr(name, 0, NAME_BYTES))
		fail("the name of a call is too long");
}

/* Where the file at `path` lies in the victim's address space. */
static struct range mapping_of(const char *path)
{
	struct range found = {0, 0};
	char name[64], line[PATH_MAX + 256];
	FILE *maps;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)victim);
	maps = fopen(name, "r");
	if (!maps)
		fail("cannot read %s: %s", name, strerror(errno));
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end;
		int at = 0;

		line[strcspn(line, "\n")] = 0;
		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &at) != 2 || !at ||
		    strcmp(line + at, path) != 0)
			continue;
		if (!found.end)
			found.start = start;
		found.end = end;
	}
	fclose(maps);
	if (!found.end)
		fail("%s is not mapped in the victim: it was not preloaded", path);
	return found;
}

static int inside(struct range range, unsigned long address)
{
	return address >= range.start && address < range.end;
}

/* Steps from a begin mark to its end mark. The step that the end mark stops
 * has executed the breakpoint, an instruction of the victim. */
static void trace_call(struct range library, struct range program)
{
	unsigned long outside = 0;

	for (;;) {
		unsigned long ip = registers().rip;

		if (!resume(PTRACE_SINGLESTEP))
			fail("the victim ended inside a call");
		if (stopped_at_mark())
			break;
		if (inside(library, ip))
			printf("in %lx\n", ip - library.start);
		else if (!inside(program, ip))
			outside++;
	}
	if (registers().rdi != 0)
		fail("a call began inside a call");
	printf("out %lu\n", outside);
}

static void real_path(const char *path, char resolved[PATH_MAX])
{
	if (!realpath(path, resolved))
		fail("no file %s: %s", path, strerror(errno));
}

int main(int argc, char **argv)
{
	char library_path[PATH_MAX], program_path[PATH_MAX];
	struct range library, program;

	if (argc < 3)
		fail("usage: tracer LIBRARY VICTIM [ARGUMENT...]");
	real_path(argv[1], library_path);
	real_path(argv[2], program_path);
	alarm(WATCHDOG_SECONDS);
	victim = fork();
	if (victim == -1)
		fail("fork: %s", strerror(errno));
	if (victim == 0)
		become_victim(library_path, argv + 2);
	if (!wait_for_stop())
		fail("the victim ended before it began");
	if (ptrace(PTRACE_SETOPTIONS, victim, NULL, (void *)PTRACE_O_EXITKILL) == -1)
		fail("cannot set options: %s", strerror(errno));
	for (int calls = 0; resume(PTRACE_CONT); calls++) {
		char name[NAME_BYTES];

		if (!stopped_at_mark() || registers().rdi == 0)
			fail("the victim stopped where no call begins");
		if (calls == 0) {
			library = mapping_of(library_path);
			program = mapping_of(program_path);
		}
		read_name(registers().rdi, name);
		printf("call %s\n", name);
		trace_call(library, program);
	}
	return 0;
}
