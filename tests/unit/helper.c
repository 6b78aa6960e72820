/* SPDX-License-Identifier: MIT
 *
 * If the helper thread were wrong, a silent program would keep its memory, or a
 * program would have a thread that it must not have: one that takes its signals,
 * is there in a process of one thread, or never goes.
 *
 * Runs on the whole library (LD_PRELOAD); each test in a process of its own,
 * which is this program again with the name of a role.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef SMALL_CMOCKA
#include "small_cmocka.h"
#else
#include <cmocka.h>
#endif

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Longer than anything here takes, shorter than the minute for which a helper sleeps. */
#define PATIENCE_MS 20000
#define STEP_MS 20

#define CHECK_OR_EXIT(ok) \
	do { \
		if (!(ok)) { \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #ok); \
			_exit(1); \
		} \
	} while (0)

/* ---- what the kernel says about our threads */

static bool read_line(const char *tid, const char *file, const char *begins, char *line, int size)
{
	char path[300];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%s/%s", tid, file);
	f = fopen(path, "r");
	while (f && !found && fgets(line, size, f))
		found = strncmp(line, begins, strlen(begins)) == 0;
	if (f)
		fclose(f);
	return found;
}

/* Counts the threads; leaves the number of a helper in `tid`, "" where there is none. */
static unsigned look(char tid[32], unsigned *helpers)
{
	DIR *dir = opendir("/proc/self/task");
	const struct dirent *entry;
	unsigned n = 0;
	char line[300];

	CHECK_OR_EXIT(dir);
	*tid = '\0';
	*helpers = 0;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		n++;
		if (read_line(entry->d_name, "comm", "", line, sizeof(line)) && strcmp(line, "ashlar-helper\n") == 0) {
			snprintf(tid, 32, "%.31s", entry->d_name);
			++*helpers;
		}
	}
	closedir(dir);
	return n;
}

static unsigned helpers_now(void)
{
	unsigned helpers;
	char tid[32];

	look(tid, &helpers);
	return helpers;
}

static void nap(void)
{
	usleep(STEP_MS * 1000);
}

/* ---- work for the library */

static void *kept[256];

/* Slow paths of many classes; some KiB live in between. */
static void churn(void)
{
	static _Thread_local void *held[512];

	for (unsigned i = 0; i < 512; i++) {
		held[i] = malloc(16 + 61 * (size_t)i);
		CHECK_OR_EXIT(held[i]);
		*(volatile char *)held[i] = 1;
	}
	for (unsigned i = 0; i < 512; i++)
		free(held[i]);
}

static void keep_mib(unsigned mib)
{
	for (unsigned i = 0; i < mib * 32; i++) {
		kept[i] = malloc(32 << 10);
		CHECK_OR_EXIT(kept[i]);
		memset(kept[i], 1, 32 << 10);
	}
}

static void expect_helper(void)
{
	for (int ms = 0; !helpers_now(); ms += STEP_MS) {
		CHECK_OR_EXIT(ms < PATIENCE_MS);
		churn();
		nap();
	}
	CHECK_OR_EXIT(helpers_now() == 1);
}

/* None comes while this thread works and rests. */
static void expect_none(void)
{
	for (int i = 0; i < 50; i++) {
		churn();
		CHECK_OR_EXIT(helpers_now() == 0);
		nap();
	}
}

static void expect_it_goes(void)
{
	for (int ms = 0; helpers_now(); ms += STEP_MS) {
		CHECK_OR_EXIT(ms < PATIENCE_MS);
		nap();
	}
}

/* ---- a second thread */

static pthread_t second;
static sem_t second_is_there;
static pthread_mutex_t second_lives = PTHREAD_MUTEX_INITIALIZER;

/* Gets a cache, which makes it a thread for the library. */
static void *live(void *unused)
{
	free(malloc(100));
	sem_post(&second_is_there);
	pthread_mutex_lock(&second_lives);
	pthread_mutex_unlock(&second_lives);
	return unused;
}

static void second_begins(void)
{
	pthread_mutex_lock(&second_lives);
	CHECK_OR_EXIT(pthread_create(&second, NULL, live, NULL) == 0);
	while (sem_wait(&second_is_there) != 0)
		;
}

static void second_ends(void)
{
	pthread_mutex_unlock(&second_lives);
	pthread_join(second, NULL);
}

/* ---- roles */

static void alone(void)
{
	unsigned helpers;
	char tid[32];

	keep_mib(8);
	expect_none();
	CHECK_OR_EXIT(look(tid, &helpers) == 1);
}

static void two_threads_and_little(void)
{
	second_begins();
	for (int i = 0; i < 50; i++) {
		free(malloc(100));
		CHECK_OR_EXIT(helpers_now() == 0);
		nap();
	}
	second_ends();
}

static void two_threads_and_more(void)
{
	keep_mib(2);
	CHECK_OR_EXIT(helpers_now() == 0);
	second_begins();
	expect_helper();
	for (int i = 0; i < 20; i++) {
		churn();
		CHECK_OR_EXIT(helpers_now() == 1);
		nap();
	}
	second_ends();
}

static void signals_are_blocked(void)
{
	unsigned long long blocked, internal = 1ull << 31 | 1ull << 32 | 1ull << 33; /* the C library's own */
	unsigned long long kill_and_stop = 1ull << 8 | 1ull << 18;
	unsigned helpers;
	char tid[32], line[300];

	keep_mib(2);
	second_begins();
	expect_helper();
	look(tid, &helpers);
	CHECK_OR_EXIT(read_line(tid, "status", "SigBlk:", line, sizeof(line)));
	CHECK_OR_EXIT(sscanf(line, "SigBlk: %llx", &blocked) == 1);
	CHECK_OR_EXIT((blocked | internal | kill_and_stop) == ~0ull);
	/* Not in us. */
	snprintf(tid, sizeof(tid), "%d", (int)getpid());
	CHECK_OR_EXIT(read_line(tid, "status", "SigBlk:", line, sizeof(line)));
	CHECK_OR_EXIT(sscanf(line, "SigBlk: %llx", &blocked) == 1 && blocked == 0);
	second_ends();
}

static void goes_with_the_second_thread(void)
{
	keep_mib(2);
	second_begins();
	expect_helper();
	second_ends();
	expect_it_goes();
	/* And stays away, whatever the last thread does. */
	expect_none();
	/* Until there are two again. */
	second_begins();
	expect_helper();
	second_ends();
}

static void wait_for(pid_t child)
{
	int status = -1;

	CHECK_OR_EXIT(child > 0);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	CHECK_OR_EXIT(status == 0);
}

static void in_a_forks_child(void)
{
	pid_t child;

	keep_mib(2);
	second_begins();
	expect_helper();
	child = fork();
	if (child == 0) {
		alarm(100);
		expect_none();
		pthread_mutex_unlock(&second_lives);
		second_begins();
		expect_helper();
		second_ends();
		_exit(0);
	}
	wait_for(child);
	CHECK_OR_EXIT(helpers_now() == 1);
	second_ends();
}

static void turned_off(void)
{
	keep_mib(8);
	second_begins();
	expect_none();
	second_ends();
}

static void asked_for_in_one_thread(void)
{
	keep_mib(2);
	expect_helper();
	for (int i = 0; i < 100; i++) {
		CHECK_OR_EXIT(helpers_now() == 1);
		nap();
	}
}

/* glibc and musl signal every thread of theirs to change its user. */
static void users_change_in_all_threads(void)
{
	unsigned helpers, uid = 0, user = getuid() ? getuid() : 65534;
	char tid[32], line[300];

	keep_mib(2);
	second_begins();
	expect_helper();
	look(tid, &helpers);
	CHECK_OR_EXIT(setuid(user) == 0);
	CHECK_OR_EXIT(read_line(tid, "status", "Uid:", line, sizeof(line)));
	CHECK_OR_EXIT(sscanf(line, "Uid: %u", &uid) == 1 && uid == user);
	second_ends();
}

static void *outlives_main(void *first)
{
	pthread_join(*(pthread_t *)first, NULL);
	churn();
	return NULL;
}

/* The process ends with its last thread: this is reached again in no way but by exit(0). */
static void ends_with_its_last_thread(void)
{
	static pthread_t first;
	pthread_attr_t detached;
	pthread_t thread;

	keep_mib(2);
	second_begins();
	expect_helper();
	first = pthread_self();
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	CHECK_OR_EXIT(pthread_create(&thread, &detached, outlives_main, &first) == 0);
	second_ends();
	alarm(PATIENCE_MS / 1000);
	pthread_exit(NULL);
}

static unsigned long wakeups(const char *tid)
{
	char line[300];
	unsigned long n = 0;

	CHECK_OR_EXIT(read_line(tid, "status", "voluntary_ctxt_switches:", line, sizeof(line)));
	CHECK_OR_EXIT(sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1);
	return n;
}

/* Some dirty memory that it may or may not give back is no reason to look 20 times a second for ever. */
static void sleeps_when_nothing_is_to_do(void)
{
	unsigned helpers;
	char tid[32];

	keep_mib(4);
	second_begins();
	expect_helper();
	for (unsigned i = 0; i < 128; i++)
		free(kept[i]);
	look(tid, &helpers);
	for (int s = 0;; s++) {
		unsigned long before = wakeups(tid);

		CHECK_OR_EXIT(s < PATIENCE_MS / 1000);
		sleep(1);
		if (wakeups(tid) <= before + 2)
			break;
	}
	second_ends();
}

/* ---- a process a role */

static const struct role {
	const char *name;
	void (*run)(void);
} roles[] = {
	{"alone", alone},
	{"two_threads_and_little", two_threads_and_little},
	{"two_threads_and_more", two_threads_and_more},
	{"signals_are_blocked", signals_are_blocked},
	{"goes_with_the_second_thread", goes_with_the_second_thread},
	{"in_a_forks_child", in_a_forks_child},
	{"turned_off", turned_off},
	{"asked_for_in_one_thread", asked_for_in_one_thread},
	{"users_change_in_all_threads", users_change_in_all_threads},
	{"ends_with_its_last_thread", ends_with_its_last_thread},
	{"sleeps_when_nothing_is_to_do", sleeps_when_nothing_is_to_do},
};

static int play(const char *name)
{
	alarm(100);
	for (unsigned i = 0; i < sizeof(roles) / sizeof(*roles); i++) {
		if (strcmp(roles[i].name, name) == 0) {
			roles[i].run();
			return 0;
		}
	}
	fprintf(stderr, "no role %s\n", name);
	return 2;
}

static void process(const char *options, const char *role)
{
	char *const arguments[] = {"helper", (char *)role, NULL};
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		setenv("MALLOC_CONF", options, 1);
		execv("/proc/self/exe", arguments);
		_exit(127);
	}
	assert_true(child > 0);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	assert_int_equal(status, 0);
}

static void a_process_of_one_thread_has_none(void **state)
{
	(void)state;
	process("", "alone");
}

static void a_process_with_little_memory_has_none(void **state)
{
	(void)state;
	process("", "two_threads_and_little");
}

static void one_comes_with_the_second_thread_and_its_name_says_so(void **state)
{
	(void)state;
	process("", "two_threads_and_more");
}

static void it_takes_no_signals(void **state)
{
	(void)state;
	process("", "signals_are_blocked");
}

static void it_goes_when_the_process_has_one_thread_again(void **state)
{
	(void)state;
	process("", "goes_with_the_second_thread");
}

static void a_forks_child_has_none_before_it_has_a_second_thread(void **state)
{
	(void)state;
	process("", "in_a_forks_child");
}

static void an_option_turns_it_off(void **state)
{
	(void)state;
	process("helper_thread:false", "turned_off");
}

static void background_thread_asks_for_one_in_a_process_of_one_thread(void **state)
{
	(void)state;
	process("background_thread:true", "asked_for_in_one_thread");
	process("background_thread:true,helper_thread:false", "asked_for_in_one_thread");
}

static void it_changes_its_user_with_the_process(void **state)
{
	(void)state;
	process("", "users_change_in_all_threads");
}

static void the_process_ends_with_the_programs_last_thread(void **state)
{
	(void)state;
	process("", "ends_with_its_last_thread");
}

static void it_sleeps_when_nothing_is_to_do(void **state)
{
	(void)state;
	process("", "sleeps_when_nothing_is_to_do");
	process("dirty_decay_ms:-1", "sleeps_when_nothing_is_to_do");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_of_one_thread_has_none),
		cmocka_unit_test(a_process_with_little_memory_has_none),
		cmocka_unit_test(one_comes_with_the_second_thread_and_its_name_says_so),
		cmocka_unit_test(it_takes_no_signals),
		cmocka_unit_test(it_goes_when_the_process_has_one_thread_again),
		cmocka_unit_test(a_forks_child_has_none_before_it_has_a_second_thread),
		cmocka_unit_test(an_option_turns_it_off),
		cmocka_unit_test(background_thread_asks_for_one_in_a_process_of_one_thread),
		cmocka_unit_test(it_changes_its_user_with_the_process),
		cmocka_unit_test(the_process_ends_with_the_programs_last_thread),
		cmocka_unit_test(it_sleeps_when_nothing_is_to_do),
	};

	if (argc > 1)
		return play(argv[1]);
	alarm(290);
	return cmocka_run_group_tests_name("helper", tests, NULL, NULL);
}
