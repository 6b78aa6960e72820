/* SPDX-License-Identifier: MIT
 *
 * fork_storm — children of a process whose other threads are in the middle of
 * malloc. If this fails, servers that fork (to save, to serve, to run a
 * command) hang or crash in the child now and then.
 *
 *   fork_storm --way=fork|_Fork|clone|vfork|spawn --threads=64 --forks=1000 --pause_us=20000
 *
 * Every thread allocates; every thread forks now and then, four at a time.
 * Each child looks at what it inherited, allocates in every size class and
 * large, frees, and makes a child of its own in the same way, which does the
 * same. _Fork and clone (the bare system call) run no atfork handlers: such a
 * child finds the locks of the allocator as the other threads left them. So that
 * many are in the middle of malloc then, a signal halts all of them where they
 * are before these forks, and before one in four by fork. vfork and spawn
 * children run this program again.
 *
 * A child that takes longer than CHILD_LIMIT_MS is stuck: its stacks are shown,
 * it is killed, and the test fails.
 */
#include "entry.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include "parcel.h"

enum { HELD = 64, PUBLISHED = 8, IN_FLIGHT = 4, CHILD_LIMIT_MS = 120000, GRANDCHILD_LIMIT_MS = 60000 };

enum way { BY_FORK, BY_BARE_FORK, BY_CLONE, BY_VFORK, BY_SPAWN };
static const char *const way_names[] = {"fork", "_Fork", "clone", "vfork", "spawn"};

static struct {
	enum way way;
	unsigned threads;
	unsigned forks;
	unsigned pause_us;
} setup = {BY_FORK, 64, 1000, 20000};

struct worker {
	uint64_t random;
	uint64_t held[HELD];
	uint64_t published[PUBLISHED]; /* set before the storm, freed only by children */
};

static struct worker workers[1024];
static pthread_t threads[1024];
static _Atomic unsigned forks_begun, forks_done, in_flight, threads_ready;

/* One thread at a time halts the others. */
static pthread_mutex_t halting = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool halt;
static _Atomic unsigned halted, halts;

static void pause_for_us(unsigned us)
{
	struct timespec pause = {us / 1000000, us % 1000000 * 1000L};
	nanosleep(&pause, NULL);
}

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Copies a file of /proc to stderr, without the allocator. */
static void show_file(pid_t pid, const char *name)
{
	char path[64], text[4096];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	say("%s: ", path);
	if (n < 0)
		say("errno %d\n", errno);
	else if (write(STDERR_FILENO, text, (size_t)n) == n)
		say("\n");
	if (fd >= 0)
		close(fd);
}

static void show_stuck(pid_t pid)
{
	char number[16];
	show_file(pid, "wchan");
	show_file(pid, "syscall");
	show_file(pid, "stack");
	snprintf(number, sizeof(number), "%d", (int)pid);
	char *command[] = {"timeout", "60", "gdb", "-batch", "-p", number, "-ex", "thread apply all bt", NULL};
	char *environment[] = {"PATH=/usr/bin:/bin", NULL};
	pid_t debugger;
	if (posix_spawn(&debugger, "/usr/bin/timeout", NULL, NULL, command, environment) == 0)
		waitpid(debugger, NULL, 0);
}

/* Waits for a child of the storm. Returns only if it ended well. */
static void await(pid_t pid, unsigned limit_ms, const char *who)
{
	uint64_t end = now_ms() + limit_ms;
	int status = 0;
	pid_t ended;
	while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && now_ms() < end)
		pause_for_us(500);
	if (ended == 0) {
		say("%s %d (by %s) is stuck after %u ms\n", who, (int)pid, way_names[setup.way], limit_ms);
		show_stuck(pid);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		_exit(1);
	}
	if (ended != pid)
		DIE("waitpid for %s %d (by %s): errno %d", who, (int)pid, way_names[setup.way], errno);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		DIE("%s %d (by %s) ended with signal %d, status %d", who, (int)pid, way_names[setup.way],
		    WIFSIGNALED(status) ? WTERMSIG(status) : 0, WIFEXITED(status) ? WEXITSTATUS(status) : 0);
}

/* 8, every 16 to 256, four steps a doubling to 32 KiB, then large: in between too. */
static size_t next_size(size_t size)
{
	if (size < 16)
		return 16;
	if (size < 256)
		return size + 16;
	if (size < 32768)
		return size + ((size_t)1 << (61 - __builtin_clzll(size)));
	return size * 3;
}

static void use_size(size_t size)
{
	uint64_t words[4];
	for (unsigned i = 0; i < 3; i++)
		words[i] = parcel_pack(api.malloc(size), size, size + i);
	void *zeroed = api.calloc(1, size);
	if (!zeroed || !bytes_are_sampled(zeroed, size, 0))
		DIE("calloc of %zu bytes gave %p, not all zero or NULL", size, zeroed);
	words[3] = parcel_pack(zeroed, size, size);
	for (unsigned i = 0; i < 4; i++)
		parcel_check(words[i], "in the child");
	unsigned char *grown = api.realloc(parcel_pointer(words[0]), size * 2);
	if (!grown)
		DIE("realloc to %zu bytes gave NULL in the child", size * 2);
	api.free(grown);
	for (unsigned i = 1; i < 4; i++)
		api.free(parcel_pointer(words[i]));
}

/* More of one size than a cache holds: slabs, bins and pools are met too. */
static void use_many(size_t size)
{
	enum { MANY = 200 };
	uint64_t words[MANY];
	for (unsigned i = 0; i < MANY; i++)
		words[i] = parcel_pack(api.malloc(size), size, i);
	for (unsigned i = 0; i < MANY; i++) {
		parcel_check(words[i], "in the child");
		api.free(parcel_pointer(words[i]));
	}
}

static void use_every_size(void)
{
	for (size_t size = 8; size <= (1u << 20); size = next_size(size))
		use_size(size);
	use_many(24);
	use_many(500);
	use_many(2000);
}

/* What the forking thread held, and what each thread published, is as it was and can be freed. */
static void use_inherited(struct worker *w)
{
	for (unsigned i = 0; i < HELD; i++) {
		if (w->held[i]) {
			parcel_check(w->held[i], "in the child that inherited it");
			api.free(parcel_pointer(w->held[i]));
			w->held[i] = 0;
		}
	}
	for (unsigned t = 0; t < setup.threads; t++) {
		for (unsigned i = 0; i < PUBLISHED; i++) {
			uint64_t word = workers[t].published[i];
			workers[t].published[i] = 0;
			if (!word)
				continue;
			parcel_check(word, "in the child that inherited it from another thread");
			if (i % 2)
				api.free(parcel_pointer(word));
		}
	}
}

static pid_t fork_once(struct worker *w, bool grandchild);

static void leave(int status)
{
	syscall(SYS_exit_group, status); /* bare clone children have no libc state to take down */
	__builtin_unreachable();
}

static void child_main(struct worker *w, bool grandchild)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	use_inherited(w);
	use_every_size();
	if (is_ashlar) {
		int broken = api.ashlar_structure_check();
		if (broken != 0)
			DIE("%d broken structures in the child", broken);
	}
	if (!grandchild)
		await(fork_once(w, true), GRANDCHILD_LIMIT_MS, "grandchild");
	leave(0);
}

/* This program again: the first argument tells it that it is a child. */
static void child_command(char *command[4], bool grandchild)
{
	command[0] = grandchild ? "grandchild" : "child";
	command[1] = (char *)way_names[setup.way];
	command[2] = NULL;
}

static pid_t vfork_once(bool grandchild)
{
	char *command[4];
	child_command(command, grandchild);
	pid_t pid = vfork();
	if (pid == 0) {
		execve("/proc/self/exe", command, environ);
		_exit(127);
	}
	return pid;
}

static pid_t spawn_once(bool grandchild)
{
	char *command[4];
	pid_t pid;
	child_command(command, grandchild);
	int error = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, command, environ);
	if (error != 0)
		DIE("posix_spawn: error %d", error);
	return pid;
}

static pid_t copy_once(void)
{
	switch (setup.way) {
	case BY_BARE_FORK:
		return _Fork();
	case BY_CLONE:
		return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	default:
		return fork();
	}
}

/* fork() itself waits for the locks that halted threads hold: so for it each moves on by itself after 0.2 to 8 ms. */
static unsigned longest_halt(void)
{
	return setup.way == BY_FORK ? 1 + (unsigned)(random_mix(atomic_fetch_add(&halts, 1)) % 40) : 100000;
}

static void halt_here(int signal)
{
	int saved = errno;
	(void)signal;
	unsigned limit = longest_halt();
	atomic_fetch_add(&halted, 1);
	for (unsigned i = 0; atomic_load(&halt) && i < limit; i++)
		pause_for_us(200);
	atomic_fetch_sub(&halted, 1);
	errno = saved;
}

/* Until release_others() no other thread moves on (but see above); most stand inside the allocator. */
static void halt_others(const struct worker *w)
{
	pthread_mutex_lock(&halting);
	while (atomic_load(&halted) > 0) /* the last ones of the halt before */
		pause_for_us(100);
	atomic_store(&halt, true);
	for (unsigned i = 0; i < setup.threads; i++) {
		if (&workers[i] != w)
			pthread_kill(threads[i], SIGUSR2);
	}
	unsigned patience = setup.way == BY_FORK ? 10 : 1000;
	for (unsigned i = 0; i < patience && atomic_load(&halted) < setup.threads - 1; i++)
		pause_for_us(100);
}

static void release_others(void)
{
	atomic_store(&halt, false);
	pthread_mutex_unlock(&halting);
}

static pid_t fork_among_halted(struct worker *w)
{
	halt_others(w);
	pid_t pid = copy_once();
	if (pid == 0)
		child_main(w, false);
	release_others();
	return pid;
}

static pid_t fork_once(struct worker *w, bool grandchild)
{
	pid_t pid;
	if (setup.way == BY_VFORK)
		pid = vfork_once(grandchild);
	else if (setup.way == BY_SPAWN)
		pid = spawn_once(grandchild);
	else if (!grandchild && (setup.way != BY_FORK || random_below(&w->random, 4) == 0))
		pid = fork_among_halted(w);
	else if ((pid = copy_once()) == 0)
		child_main(w, grandchild);
	if (pid < 0)
		DIE("%s: errno %d", way_names[setup.way], errno);
	return pid;
}

/* Little else than slow paths: large objects, and more of one size than a cache holds. Here forks meet held locks. */
static void churn(struct worker *w)
{
	enum { MANY = 130 };
	void *objects[MANY];
	size_t size = random_below(&w->random, 8) ? 16 + random_below(&w->random, 3000)
						  : 33000 + random_below(&w->random, 100000);
	unsigned n = size > 32768 ? 8 : MANY;
	for (unsigned i = 0; i < n; i++)
		objects[i] = api.malloc(size);
	for (unsigned i = 0; i < n; i++)
		api.free(objects[i]);
}

static void allocate_some(struct worker *w)
{
	for (unsigned i = 0; i < 10; i++)
		churn(w);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t *slot = &w->held[random_below(&w->random, HELD)];
		size_t size = random_below(&w->random, 400) ? 1 + random_below(&w->random, 1000)
							    : 1 + random_below(&w->random, 100000);
		if (*slot) {
			parcel_check(*slot, "in the parent");
			api.free(parcel_pointer(*slot));
		}
		*slot = parcel_pack(api.malloc(size), size, random_next(&w->random));
	}
}

/* At most IN_FLIGHT children at a time: this test is about forks, not about how many processes a machine bears. */
static void fork_if_due(struct worker *w)
{
	if (random_below(&w->random, 4) != 0)
		return;
	if (atomic_fetch_add(&in_flight, 1) < IN_FLIGHT && atomic_fetch_add(&forks_begun, 1) < setup.forks) {
		await(fork_once(w, false), CHILD_LIMIT_MS, "child");
		atomic_fetch_add(&forks_done, 1);
	}
	atomic_fetch_sub(&in_flight, 1);
}

static void *run_worker(void *worker)
{
	struct worker *w = worker;
	for (unsigned i = 0; i < PUBLISHED; i++) {
		size_t size = i ? (size_t)1 << (2 * i) : 100000;
		w->published[i] = parcel_pack(api.malloc(size), size, random_next(&w->random));
	}
	atomic_fetch_add(&threads_ready, 1);
	while (atomic_load(&threads_ready) < setup.threads)
		pause_for_us(1000);
	while (atomic_load(&forks_done) < setup.forks) {
		allocate_some(w);
		fork_if_due(w);
		if (setup.pause_us)
			pause_for_us((unsigned)random_below(&w->random, 2 * setup.pause_us));
	}
	for (unsigned i = 0; i < HELD; i++)
		api.free(parcel_pointer(w->held[i]));
	for (unsigned i = 0; i < PUBLISHED; i++)
		api.free(parcel_pointer(w->published[i]));
	return NULL;
}

static void run_storm(void)
{
	signal(SIGUSR2, halt_here);
	for (unsigned i = 0; i < setup.threads; i++) {
		workers[i].random = random_mix(i + 1);
		if (pthread_create(&threads[i], NULL, run_worker, &workers[i]) != 0)
			DIE("pthread_create fails");
	}
	for (unsigned i = 0; i < setup.threads; i++)
		pthread_join(threads[i], NULL);
	if (is_ashlar && api.ashlar_structure_check() != 0)
		DIE("broken structures in the parent");
	say("ok     %u children by %s, each with a child of its own, of %u allocating threads\n",
	    atomic_load(&forks_done), way_names[setup.way], setup.threads);
}

static enum way find_way(const char *name)
{
	for (unsigned i = 0; i < sizeof(way_names) / sizeof(way_names[0]); i++) {
		if (strcmp(name, way_names[i]) == 0)
			return (enum way)i;
	}
	DIE("--way=%s: fork, _Fork, clone, vfork or spawn", name);
}

static void read_arguments(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--way=", 6) == 0)
			setup.way = find_way(argv[i] + 6);
		else if (strncmp(argv[i], "--threads=", 10) == 0)
			setup.threads = (unsigned)strtoul(argv[i] + 10, NULL, 0);
		else if (strncmp(argv[i], "--forks=", 8) == 0)
			setup.forks = (unsigned)strtoul(argv[i] + 8, NULL, 0);
		else if (strncmp(argv[i], "--pause_us=", 11) == 0)
			setup.pause_us = (unsigned)strtoul(argv[i] + 11, NULL, 0);
		else
			DIE("unknown argument %s", argv[i]);
	}
	if (setup.threads < 1 || setup.threads > 1024)
		DIE("--threads= takes 1 to 1024");
}

int main(int argc, char **argv)
{
	entry_load();
	if (argc == 2 && (strcmp(argv[0], "child") == 0 || strcmp(argv[0], "grandchild") == 0)) {
		setup.way = find_way(argv[1]);
		setup.threads = 0;
		child_main(&workers[0], strcmp(argv[0], "grandchild") == 0);
	}
	alarm(3000);
	read_arguments(argc, argv);
	run_storm();
	return 0;
}
