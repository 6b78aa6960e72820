/* SPDX-License-Identifier: MIT
 *
 * If caches were borrowed wrongly, an object would have two owners, or be lost:
 * when a thread goes on after its cache was emptied, ends, or is not in a fork's
 * child. Threads of this program use the tcache as malloc and free do.
 */
#include "unit.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena/arena.h"
#include "base/meta.h"
#include "base/options.h"
#include "tcache/threads.h"

#define MANY 40
#define CHECK_OR_EXIT(ok) \
	do { \
		if (!(ok)) { \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #ok); \
			_exit(1); \
		} \
	} while (0)

static void fork_prepare(void)
{
	ash_threads_fork_prepare();
	ash_arena_fork_prepare();
	ash_meta_fork_prepare();
}

static void fork_done(bool child)
{
	ash_meta_fork_done();
	ash_arena_fork_done();
	ash_threads_fork_done(child);
}

static void fork_parent(void)
{
	fork_done(false);
}

static void fork_child(void)
{
	fork_done(true);
}

static int start(void **state)
{
	alarm(250);
	if (unit_start(state) != 0 || !ash_threads_init())
		return -1;
	ash_threads_enable(true);
	return pthread_atfork(fork_prepare, fork_parent, fork_child);
}

/* ---- as alloc/malloc.c and alloc/slow.c do it */

static struct tcache *cache(void)
{
	struct tcache *tc = ash_tcache;

	return tc != &ash_tcache_none ? tc : ash_threads_attach();
}

static void *take(unsigned cls)
{
	struct tcache *tc = ash_tcache;
	void *p = tcache_pop(tc, cls);

	if (p || (p = tcache_swap_pop(tc, cls)))
		return p;
	tc = cache();
	if (!(p = tcache_pop(tc, cls)) && !(p = tcache_swap_pop(tc, cls)))
		p = ash_tcache_refill(tc, cls);
	return p;
}

static void put(unsigned cls, void *p)
{
	struct tcache *tc = ash_tcache;

	if (tcache_push(tc, cls, p))
		return;
	tc = cache();
	if (!tcache_push(tc, cls, p) && !tcache_swap_push(tc, cls, p))
		ash_tcache_overflow(tc, cls, p);
}

/* ---- truth */

static size_t cached(unsigned cls)
{
	size_t objects[SIZE_CLASS_COUNT] = {0};

	ash_threads_count(objects);
	return objects[cls];
}

/* Objects of the class that are neither in a slab nor in a depot nor in a cache. */
static size_t in_use(unsigned cls)
{
	size_t n = 0;

	for (unsigned i = 0; i < arena_count(); i++) {
		const struct arena *arena = ash_arena_get(i);

		n += arena ? arena->bin[cls].out - arena->bin[cls].depot_objects : 0;
	}
	return n - cached(cls);
}

static void fill(unsigned cls, size_t mark, void **objects, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		objects[i] = take(cls);
		CHECK_OR_EXIT(objects[i]);
		for (size_t k = 0; k < ash_size_class[cls].size / sizeof(size_t); k++)
			((size_t *)objects[i])[k] = mark + i;
	}
}

static void check_and_put(unsigned cls, size_t mark, void **objects, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		for (size_t k = 0; k < ash_size_class[cls].size / sizeof(size_t); k++)
			CHECK_OR_EXIT(((size_t *)objects[i])[k] == mark + i);
		put(cls, objects[i]);
	}
}

/* ---- a thread that does what it is told, and rests in between */

struct guest {
	pthread_t thread;
	sem_t go, done;
	void (*act)(struct guest *guest);
	unsigned cls[2];
	void *held[2][MANY];
	struct tcache *tc;
};

static void *guest_lives(void *arg)
{
	struct guest *guest = arg;

	for (;;) {
		while (sem_wait(&guest->go) != 0)
			;
		if (!guest->act)
			return NULL;
		guest->act(guest);
		guest->tc = ash_tcache;
		sem_post(&guest->done);
	}
}

static void tell(struct guest *guest, void (*act)(struct guest *guest))
{
	guest->act = act;
	sem_post(&guest->go);
	while (act && sem_wait(&guest->done) != 0)
		;
}

static void hold(struct guest *guest)
{
	for (int i = 0; i < 2; i++)
		fill(guest->cls[i], 1000u * (unsigned)(i + 1), guest->held[i], MANY);
}

static void let_go(struct guest *guest)
{
	for (int i = 0; i < 2; i++)
		check_and_put(guest->cls[i], 1000u * (unsigned)(i + 1), guest->held[i], MANY);
}

/* So that its magazines are large, and both of a pair hold objects. */
static void warm_up(struct guest *guest)
{
	for (int round = 0; round < 8; round++) {
		hold(guest);
		let_go(guest);
	}
}

static void use_one(struct guest *guest)
{
	put(guest->cls[0], take(guest->cls[0]));
	put(guest->cls[0], take(guest->cls[0]));
	guest->held[0][0] = take(guest->cls[0]);
}

static void put_one(struct guest *guest)
{
	put(guest->cls[0], guest->held[0][0]);
}

static void guest_begin(struct guest *guest)
{
	memset(guest, 0, sizeof(*guest));
	guest->cls[0] = size_class_of(48);
	guest->cls[1] = size_class_of(224);
	sem_init(&guest->go, 0, 0);
	sem_init(&guest->done, 0, 0);
	assert_int_equal(pthread_create(&guest->thread, NULL, guest_lives, guest), 0);
	tell(guest, warm_up);
	assert_true(cached(guest->cls[0]) >= 2);
	assert_true(cached(guest->cls[1]) >= 2);
}

static void guest_end(struct guest *guest)
{
	tell(guest, NULL);
	pthread_join(guest->thread, NULL);
}

static void everything_is_home(void)
{
	ash_threads_empty_all();
	ash_arena_drain(0);
	for (unsigned cls = 1; cls < SIZE_CLASS_COUNT; cls++) {
		assert_int_equal(cached(cls), 0);
		assert_int_equal(in_use(cls), 0);
	}
	assert_int_equal(ash_threads_check(), 0);
	assert_int_equal(ash_arena_check(), 0);
}

/* ---- tests */

static void a_resting_thread_keeps_one_object_a_class_at_most(void **state)
{
	struct guest guest;

	(void)state;
	guest_begin(&guest);
	/* It has said that it is ready, and is about to wait. */
	for (int i = 0; i < 5000 && !ash_os_thread_waits(guest.tc->thread); i++)
		usleep(1000);
	ash_threads_trim(false); /* sees where it stands */
	ash_threads_trim(false);
	assert_true(guest.tc->borrowed);
	for (int i = 0; i < 2; i++) {
		assert_in_range(cached(guest.cls[i]), 0, 1);
		assert_int_equal(in_use(guest.cls[i]), 0);
	}
	assert_int_equal(ash_threads_check(), 0);
	guest_end(&guest);
	everything_is_home();
}

static int spinning; /* atomic */

static void spin(struct guest *guest)
{
	use_one(guest);
	__atomic_store_n(&spinning, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&spinning, __ATOMIC_ACQUIRE))
		;
	put_one(guest);
}

static void spin_begin(struct guest *guest)
{
	guest->act = spin;
	sem_post(&guest->go);
	while (!__atomic_load_n(&spinning, __ATOMIC_ACQUIRE))
		sched_yield();
}

static void spin_end(struct guest *guest)
{
	__atomic_store_n(&spinning, 0, __ATOMIC_RELEASE);
	while (sem_wait(&guest->done) != 0)
		;
}

/* It may be in the middle of a call, with the top of a magazine in its hands; where stores may be seen in another order it is
 * left alone. */
static void a_running_thread_keeps_the_top_of_each_magazine_at_most(void **state)
{
	unsigned most = ORDERED_STORES ? 2 : MAGAZINE_COUNT;
	struct guest guest;

	(void)state;
	guest_begin(&guest);
	spin_begin(&guest);
	ash_threads_trim(true);
	assert_true(guest.tc->borrowed);
	assert_in_range(cached(guest.cls[0]), 1, most);
	assert_in_range(cached(guest.cls[1]), 1, most);
	assert_int_equal(in_use(guest.cls[0]), 1);
	assert_int_equal(in_use(guest.cls[1]), 0);
	spin_end(&guest);
	assert_int_equal(in_use(guest.cls[0]), 0);
	tell(&guest, hold);
	tell(&guest, let_go);
	guest_end(&guest);
	everything_is_home();
}

static void a_thread_whose_cache_was_borrowed_goes_on_with_it(void **state)
{
	void *mine[2][MANY];
	struct guest guest;
	struct tcache *before;

	(void)state;
	guest_begin(&guest);
	before = guest.tc;
	for (int round = 0; round < 5; round++) {
		ash_threads_trim(true);
		/* What was the guest's a moment ago. */
		for (int i = 0; i < 2; i++)
			fill(guest.cls[i], 5000, mine[i], MANY);
		tell(&guest, hold);
		assert_ptr_equal(guest.tc, before);
		assert_false(before->borrowed);
		assert_int_equal(ash_threads_check(), 0);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(in_use(guest.cls[i]), 2 * MANY);
			check_and_put(guest.cls[i], 5000, mine[i], MANY);
		}
		tell(&guest, let_go);
		for (int i = 0; i < 2; i++)
			assert_int_equal(in_use(guest.cls[i]), 0);
	}
	guest_end(&guest);
	everything_is_home();
}

static void a_thread_at_work_is_left_alone_and_told_of(void **state)
{
	struct guest guest;
	size_t before;

	(void)state;
	guest_begin(&guest);
	assert_true(ash_threads_trim(false));
	for (int i = 0; i < 3; i++) {
		tell(&guest, i % 2 ? put_one : use_one);
		before = cached(guest.cls[0]) + cached(guest.cls[1]);
		assert_true(before > 2);
		assert_true(ash_threads_trim(false));
		assert_false(guest.tc->borrowed);
		assert_int_equal(cached(guest.cls[0]) + cached(guest.cls[1]), before);
	}
	tell(&guest, put_one);
	ash_threads_trim(false);
	assert_false(ash_threads_trim(false)); /* now it has rested: nobody is at work */
	assert_true(guest.tc->borrowed);
	guest_end(&guest);
	everything_is_home();
}

static void a_thread_ends_while_its_cache_is_borrowed(void **state)
{
	struct guest guest, heir;
	struct tcache *tc;
	unsigned owned = ash_threads_owned();

	(void)state;
	guest_begin(&guest);
	tc = guest.tc;
	ash_threads_trim(true);
	assert_true(tc->borrowed);
	guest_end(&guest);
	assert_int_equal(ash_threads_owned(), owned);
	assert_true(ash_threads_have_orphans());
	guest_begin(&heir);
	assert_ptr_equal(heir.tc, tc);
	assert_false(tc->borrowed);
	assert_int_equal(ash_threads_check(), 0);
	tell(&heir, hold);
	assert_int_equal(in_use(heir.cls[0]), MANY);
	tell(&heir, let_go);
	guest_end(&heir);
	everything_is_home();
}

static pid_t new_child(void)
{
	pid_t child = fork();

	if (child == 0) {
		/* cmocka would go on with the next test. */
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		signal(SIGABRT, SIG_DFL);
		alarm(100);
	}
	return child;
}

static void wait_for(pid_t child)
{
	int status = -1;

	assert_true(child > 0);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	assert_int_equal(status, 0);
}

static void child_goes_on(struct guest *guest)
{
	void *mine[2][MANY];

	CHECK_OR_EXIT(ash_threads_owned() == 1);
	CHECK_OR_EXIT(ash_threads_check() == 0);
	for (int i = 0; i < 2; i++) {
		fill(guest->cls[i], 7000, mine[i], MANY);
		CHECK_OR_EXIT(in_use(guest->cls[i]) == MANY);
		check_and_put(guest->cls[i], 7000, mine[i], MANY);
	}
	ash_threads_empty_all();
	ash_arena_drain(0);
	for (int i = 0; i < 2; i++) {
		CHECK_OR_EXIT(cached(guest->cls[i]) == 0);
		CHECK_OR_EXIT(in_use(guest->cls[i]) == 0);
	}
	CHECK_OR_EXIT(ash_arena_check() == 0);
	_exit(0);
}

static void a_forks_child_gets_what_was_borrowed_from_others(void **state)
{
	struct guest guest;
	pid_t child;

	(void)state;
	assert_non_null(cache());
	guest_begin(&guest);
	spin_begin(&guest);
	ash_threads_trim(true);
	assert_true(guest.tc->borrowed);
	assert_true(cached(guest.cls[1]) > 0);
	child = new_child();
	if (child == 0) {
		put_one(&guest); /* it is no one else's here */
		child_goes_on(&guest);
	}
	wait_for(child);
	spin_end(&guest);
	tell(&guest, hold);
	tell(&guest, let_go);
	guest_end(&guest);
	everything_is_home();
}

static void fork_in_guest(struct guest *guest)
{
	pid_t child = new_child();
	int status = -1;

	if (child == 0)
		child_goes_on(guest);
	CHECK_OR_EXIT(waitpid(child, &status, 0) == child && status == 0);
}

static void a_thread_forks_while_its_cache_is_borrowed(void **state)
{
	struct guest guest;

	(void)state;
	guest_begin(&guest);
	ash_threads_trim(true);
	assert_true(guest.tc->borrowed);
	tell(&guest, fork_in_guest);
	tell(&guest, hold);
	tell(&guest, let_go);
	guest_end(&guest);
	everything_is_home();
}

static bool under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

/* ---- at full speed */

static int stop; /* atomic */

static void *runs(void *arg)
{
	size_t id = (size_t)arg, n = 0;
	static const size_t sizes[] = {16, 48, 224, 1024, 10000, 32768};
	static __thread size_t *held[128];
	static __thread unsigned cls_of[128];
	unsigned seed = (unsigned)id * 7919;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		unsigned k = (seed = seed * 1103515245u + 12345u) >> 16;
		unsigned cls = size_class_of(sizes[k % 6]);
		size_t **slot;

		k = k / 6 % 128;
		slot = &held[k];
		if (*slot) {
			size_t words = ash_size_class[cls_of[k]].size / sizeof(size_t);

			CHECK_OR_EXIT((*slot)[0] % 4 == id && (*slot)[0] == (*slot)[words - 1]);
			put(cls_of[k], *slot);
			*slot = NULL;
		} else {
			size_t words = ash_size_class[cls].size / sizeof(size_t);

			*slot = take(cls);
			CHECK_OR_EXIT(*slot);
			(*slot)[0] = (*slot)[words - 1] = 4 * n++ + id;
			cls_of[k] = cls;
		}
	}
	for (unsigned k = 0; k < 128; k++) {
		if (held[k])
			put(cls_of[k], held[k]);
	}
	return NULL;
}

/* Not a number of seconds: so many times that somebody's cache is taken from his hands. */
static void threads_at_full_speed_lose_nothing_to_borrowers(void **state)
{
	unsigned times = under_valgrind() ? 200 : 10000; /* one thread at a time there: three minutes for 10,000 */
	pthread_t threads[4];

	(void)state;
	__atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, runs, (void *)i), 0);
	for (unsigned i = 0; i < times; i++) {
		ash_threads_trim(true);
		if (i % 64 == 0)
			usleep(1000);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	everything_is_home();
}

/* ---- where two of its steps are apart */

/* The owner stopped in the middle of an exchange: both heads are in one magazine, the top is in its hands. */
static void an_object_in_hand_during_an_exchange_stays_with_its_owner(void **state)
{
	struct guest guest;
	void **a, **f;
	unsigned cls;

	(void)state;
	guest_begin(&guest);
	cls = guest.cls[0] = size_class_of(TCACHE_KEEPS_TOP + 1);
	tell(&guest, warm_up);
	assert_true(guest.tc->large[cls]);
	a = guest.tc->a[cls];
	f = guest.tc->f[cls];
	/* A is empty; the top of F is taken; the new A is stored, the new F not yet. */
	while (*a)
		ash_bin_flush("test", a--, 1);
	while (!f[0] || !f[-1])
		*++f = take(cls);
	guest.tc->f[cls] = f;
	guest.tc->a[cls] = f - 1;
	/* As for one that runs: this one waits, and would lose everything. */
	*guest.tc->home = &ash_tcache_none;
	guest.tc->borrowed = true;
	ash_tcache_hollow(guest.tc);
	assert_non_null(*f);
	assert_int_equal(ash_bin_check(&ash_arena_first->bin[cls]), 0);
	guest.held[0][0] = *f;
	guest.tc->f[cls] = a;
	assert_int_equal(in_use(cls), 1);
	tell(&guest, put_one);
	assert_int_equal(in_use(cls), 0);
	guest_end(&guest);
	everything_is_home();
}

static unsigned nested_cls;
static void *nested_object;

/* As the making of a thread does: it allocates. */
static void wake_and_allocate(bool safe)
{
	ash_arena_asleep = false;
	if (safe)
		nested_object = take(nested_cls);
}

static void the_event_of_a_refill_may_allocate_of_its_class(void **state)
{
	enum { N = 500, ROUNDS = 30 };
	static void *held[N];
	unsigned cls = nested_cls = size_class_of(16), nested = 0;

	(void)state;
	ash_arena_wake = wake_and_allocate;
	for (size_t round = 0; round < ROUNDS; round++) {
		/* Of another length each, so that the event is not always one of free. */
		unsigned n = N - 16 * (unsigned)round;

		for (unsigned i = 0; i < n; i++) {
			ash_arena_asleep = true;
			nested_object = NULL;
			held[i] = take(cls);
			*(size_t *)held[i] = round * N + i;
			if (nested_object) {
				nested++;
				assert_ptr_not_equal(nested_object, held[i]);
				assert_int_equal(ash_threads_check(), 0);
				put(cls, nested_object);
			}
		}
		assert_int_equal(ash_threads_check(), 0);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(*(size_t *)held[i], round * N + i);
		assert_int_equal(in_use(cls), n);
		for (unsigned i = 0; i < n; i++)
			put(cls, held[i]);
	}
	assert_true(nested >= 3);
	ash_arena_asleep = false;
	everything_is_home();
}

/* ---- where the kernel has no barrier */

static void refuse_membarrier(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(filter) / sizeof(*filter), .filter = filter};

	CHECK_OR_EXIT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK_OR_EXIT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
	CHECK_OR_EXIT(syscall(SYS_membarrier, 0, 0, 0) == -1 && errno == EPERM);
}

static void without_barrier(void)
{
	struct guest guest;
	size_t before;

	refuse_membarrier();
	guest_begin(&guest);
	before = cached(guest.cls[0]) + cached(guest.cls[1]);
	for (int i = 0; i < 3; i++)
		ash_threads_trim(i == 2);
	CHECK_OR_EXIT(cached(guest.cls[0]) + cached(guest.cls[1]) == before);
	CHECK_OR_EXIT(!guest.tc->borrowed && *guest.tc->home == guest.tc);
	tell(&guest, hold);
	tell(&guest, let_go);
	guest_end(&guest);
	_exit(0);
}

__attribute__((unused)) static void where_membarrier_is_refused_nothing_is_borrowed(void **state)
{
	pid_t child = new_child();

	(void)state;
	if (child == 0)
		without_barrier();
	wait_for(child);
}

/* Under an emulator who waits, waits in a call of the emulator's. */
static bool who_waits_is_known(void)
{
#ifdef EMULATED
	return false;
#else
	return !under_valgrind();
#endif
}

int main(void)
{
	const struct CMUnitTest native[] = {
		cmocka_unit_test(a_resting_thread_keeps_one_object_a_class_at_most),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_running_thread_keeps_the_top_of_each_magazine_at_most),
		cmocka_unit_test(a_thread_whose_cache_was_borrowed_goes_on_with_it),
		cmocka_unit_test(a_thread_at_work_is_left_alone_and_told_of),
		cmocka_unit_test(a_thread_ends_while_its_cache_is_borrowed),
		cmocka_unit_test(a_forks_child_gets_what_was_borrowed_from_others),
		cmocka_unit_test(a_thread_forks_while_its_cache_is_borrowed),
		cmocka_unit_test(an_object_in_hand_during_an_exchange_stays_with_its_owner),
		cmocka_unit_test(the_event_of_a_refill_may_allocate_of_its_class),
		cmocka_unit_test(threads_at_full_speed_lose_nothing_to_borrowers),
#ifndef EMULATED /* qemu's user mode takes no filters */
		cmocka_unit_test(where_membarrier_is_refused_nothing_is_borrowed),
#endif
	};

	if (start(NULL) != 0)
		return 1;
	if (who_waits_is_known() && cmocka_run_group_tests_name("threads that rest", native, NULL, NULL) != 0)
		return 1;
	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
