/* SPDX-License-Identifier: MIT
 *
 * refuse — starts a program in a world where some system calls are refused.
 *
 * refuse ERRNO CALL[,CALL...] PROGRAM [ARGUMENT...]: a seccomp filter answers
 * ERRNO (EPERM or ENOSYS) to each CALL, then PROGRAM runs with $ASHLAR_LIB
 * preloaded. Each filter is proved by making the call once.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	const char *name;
	int number;
} calls[] = {
	{"madvise", SYS_madvise},
	{"process_madvise", 440},
	{"mbind", SYS_mbind},
	{"mremap", SYS_mremap},
	{"getcpu", SYS_getcpu},
	{"membarrier", SYS_membarrier},
	{"sched_getaffinity", SYS_sched_getaffinity},
	{"prlimit64", SYS_prlimit64},
	{"readlink", SYS_readlink},
	{"readlinkat", SYS_readlinkat},
	{"getrandom", SYS_getrandom},
	{"rseq", 334},
	{"prctl", SYS_prctl},
};

static int die(const char *what)
{
	fprintf(stderr, "could not run: refuse: %s\n", what);
	exit(99);
}

static int call_number(const char *name)
{
	for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
		if (strcmp(calls[i].name, name) == 0)
			return calls[i].number;
	return die("unknown system call");
}

static void refuse(int number, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof code / sizeof code[0], code};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		die("seccomp filters are not available");
	if (syscall(number, 0, 0, 0, 0, 0, 0) != -1 || errno != error)
		die("the filter does not refuse");
}

int main(int argc, char **argv)
{
	const char *lib = getenv("ASHLAR_LIB");
	int error = argc > 3 && strcmp(argv[1], "ENOSYS") == 0 ? ENOSYS : EPERM;

	if (argc < 4 || lib == NULL)
		die("usage: refuse EPERM|ENOSYS CALL[,CALL...] PROGRAM, with ASHLAR_LIB set");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die("PR_SET_NO_NEW_PRIVS");
	for (char *name = strtok(argv[2], ","); name != NULL; name = strtok(NULL, ","))
		refuse(call_number(name), error);
	setenv("LD_PRELOAD", lib, 1);
	execv(argv[3], argv + 3);
	return die("exec failed");
}
