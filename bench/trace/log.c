/* SPDX-License-Identifier: MIT
 *
 * If an event were lost or torn here, an object of the program would be missing in the replay or never be freed. So an
 * event counts only when it is whole (`used`), chunks are appended in one piece, and numbers that were given out but
 * never written show as gaps.
 */
#define _GNU_SOURCE
#include "log.h"
#include "resident.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#else
#define __libc_single_threaded 0
#endif
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOG_BYTES (16384 - 160) /* some 2500 events: 1.5 ns of write(2) each */
#define RUNS_MAX 60             /* of one touch event */
#define EVENT_BYTES_MAX 320     /* of the longest event: 60 runs of 2 x 2 bytes */
#define SAMPLE_NS 2000000       /* a sample costs 5 us */
#define RESIDENT_NS 20000000
#define INLINE inline __attribute__((always_inline))
#define unlikely(x) __builtin_expect(!!(x), 0)
#define FD_LEAST 500 /* where programs do not look for descriptors of their own */

struct log {
	struct log *next;      /* of all logs; const */
	struct log *next_free; /* lists_lock */
	pthread_mutex_t lock;  /* for whoever writes the chunk: its thread, or the one that exits */
	atomic_uint used;      /* bytes of whole events; set by its thread */
	unsigned whole;        /* its thread: the whole events */
	unsigned written;      /* its thread: the most bytes that it has held */
	uint64_t last_sequence, last_address;
	struct chunk_header header;
	unsigned char events[LOG_BYTES];
};

__thread struct self self __attribute__((tls_model("initial-exec"), visibility("hidden")));
atomic_int recording;

static _Atomic uint64_t sequence, inner, lost, sampled_ns, checked_ns;
static atomic_uint threads;
static _Atomic uint64_t forks;
static pthread_mutex_t lists_lock = PTHREAD_MUTEX_INITIALIZER, file_lock = PTHREAD_MUTEX_INITIALIZER;
static struct log *_Atomic all_logs;
static struct log *free_logs; /* lists_lock */
static pthread_key_t end_of_thread;
static atomic_bool end_of_thread_made;

static struct {
	int fd; /* file_lock */
	atomic_bool open;
	dev_t device;
	ino_t inode;
	pid_t owner;
	uint64_t started_ns;
	char path[4096], allocator[NAME_BYTES];
} file;

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Recording ends here; the program goes on. */
static void give_up(const char *what, int error)
{
	char line[4400];
	int n = snprintf(line, sizeof line, "ashlar-record: %s %s: %s; recording ends here\n", what, file.path,
			 strerror(error));

	atomic_store(&recording, RECORDING_OFF);
	if (n > 0)
		(void)!syscall(SYS_write, 2, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

/* By number: libc's open and write are cancellation points, malloc is none. */
static int open_path(const char *path, int flags)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0644);
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, FD_LEAST);

	if (high < 0)
		return fd;
	close(fd);
	return high;
}

static bool is_ours(int fd)
{
	struct stat s;

	return fd >= 0 && fstat(fd, &s) == 0 && s.st_dev == file.device && s.st_ino == file.inode;
}

/* 0 or an errno. A program may close descriptors that it does not know and open a file of its own under our number. */
static int append_locked(const char *at, size_t bytes)
{
	if (!is_ours(file.fd))
		file.fd = open_path(file.path, O_WRONLY | O_APPEND);
	if (!is_ours(file.fd))
		return file.fd < 0 ? errno : ESTALE;
	while (bytes > 0) {
		long n = syscall(SYS_write, file.fd, at, bytes);

		if (n < 0 && errno != EINTR)
			return errno;
		at += n > 0 ? n : 0;
		bytes -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static void append(const void *data, size_t bytes)
{
	int error;

	pthread_mutex_lock(&file_lock);
	error = append_locked(data, bytes);
	pthread_mutex_unlock(&file_lock);
	if (error)
		give_up("cannot write", error);
}

static void write_chunk(struct chunk_header *h, size_t bytes)
{
	h->magic = CHUNK_MAGIC;
	h->bytes = (uint32_t)bytes;
	h->check = check_sum(CHECK_START, h, offsetof(struct chunk_header, check));
	h->check = check_sum(h->check, h + 1, bytes);
	append(h, sizeof *h + bytes);
}

/* A child that shares the file (by clone) must not write into it; nor may anyone once the end of the recording is written. */
static void log_write(struct log *l, bool at_exit)
{
	unsigned used = atomic_load_explicit(&l->used, memory_order_acquire);

	if (used == 0)
		return;
	if (!file.open && environ != NULL)
		log_open();
	if (!file.open || getpid() != file.owner)
		atomic_fetch_add(&lost, l->whole);
	else if (at_exit || atomic_load(&recording) == RECORDING_ON)
		write_chunk(&l->header, used);
	atomic_store_explicit(&l->used, 0, memory_order_relaxed);
}

static void log_flush(struct log *l)
{
	unsigned used = atomic_load_explicit(&l->used, memory_order_relaxed);
	int error = errno;

	if (used > l->written)
		l->written = used;
	pthread_mutex_lock(&l->lock);
	log_write(l, false);
	pthread_mutex_unlock(&l->lock);
	l->whole = 0;
	self.wrote = true;
	errno = error;
}

static struct log *log_new(void)
{
	struct log *l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (l == MAP_FAILED)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	l->next = atomic_load(&all_logs);
	atomic_store(&all_logs, l);
	return l;
}

static struct log *log_of_free_ones(void)
{
	struct log *l;

	pthread_mutex_lock(&lists_lock);
	l = free_logs;
	if (l != NULL)
		free_logs = l->next_free;
	else
		l = log_new();
	pthread_mutex_unlock(&lists_lock);
	return l;
}

static struct log *log_take(void)
{
	int error = errno;
	struct log *l = log_of_free_ones();

	if (l == NULL) {
		give_up("no memory to record into", ENOMEM);
		return NULL;
	}
	if (self.thread == 0)
		self.thread = atomic_fetch_add(&threads, 1) + 1;
	l->header.thread = self.thread - 1;
	self.log = l;
	if (!self.ended && atomic_load(&end_of_thread_made))
		pthread_setspecific(end_of_thread, l);
	errno = error;
	return l;
}

static void log_give_back(struct log *l)
{
	log_flush(l);
	self.log = NULL;
	pthread_mutex_lock(&lists_lock);
	l->next_free = free_logs;
	free_logs = l;
	pthread_mutex_unlock(&lists_lock);
}

/* While there is one thread the locked instruction, a third of an event's cost, is not needed; libc knows. */
static INLINE uint64_t next_sequence(void)
{
	uint64_t n;

	if (!__libc_single_threaded)
		return atomic_fetch_add_explicit(&sequence, 1, memory_order_relaxed) + 1;
	n = atomic_load_explicit(&sequence, memory_order_relaxed) + 1;
	atomic_store_explicit(&sequence, n, memory_order_relaxed);
	return n;
}

/* A log with room for any event; NULL if recording had to end. */
__attribute__((noinline)) static struct log *log_with_room(void)
{
	struct log *l = self.log != NULL ? self.log : log_take();

	if (l != NULL && atomic_load_explicit(&l->used, memory_order_relaxed) > LOG_BYTES - EVENT_BYTES_MAX)
		log_flush(l);
	return l;
}

/* The place for the rest of an event whose kind and sequence number have been put; NULL if recording had to end. */
static INLINE unsigned char *event_begin(enum event_kind kind)
{
	struct log *l = self.log;
	unsigned char *at;
	uint64_t n;

	if (unlikely(l == NULL || atomic_load_explicit(&l->used, memory_order_relaxed) > LOG_BYTES - EVENT_BYTES_MAX)) {
		l = log_with_room();
		if (l == NULL)
			return NULL;
	}
	at = l->events + atomic_load_explicit(&l->used, memory_order_relaxed);
	n = next_sequence();
	if (unlikely(at == l->events)) {
		l->header.sequence = l->last_sequence = n - 1;
		l->last_address = 0;
	}
	*at = (unsigned char)(kind | NEXT_SEQUENCE);
	if (unlikely(n != l->last_sequence + 1)) {
		*at = (unsigned char)kind;
		at = put_varint(at + 1, n - l->last_sequence) - 1;
	}
	l->last_sequence = n;
	return at + 1;
}

static INLINE void event_end(const unsigned char *at)
{
	struct log *l = self.log;

	l->whole++;
	/* pairs with log_write() of the thread that exits: it sees whole events */
	atomic_store_explicit(&l->used, (unsigned)(at - l->events), memory_order_release);
	if (unlikely(self.ended))
		log_give_back(l);
}

static INLINE unsigned char *put_address(unsigned char *at, uint64_t address)
{
	struct log *l = self.log;
	int64_t step = (int64_t)(address - l->last_address);

	l->last_address = address;
	return put_signed(at, step);
}

void log_allocation(enum event_kind kind, const void *p, size_t size, unsigned shift)
{
	unsigned char *at = event_begin(kind);

	if (at == NULL)
		return;
	at = put_varint(put_address(at, (uintptr_t)p), size);
	if (kind == EVENT_ALIGNED)
		*at++ = (unsigned char)shift;
	event_end(at);
}

void log_address(enum event_kind kind, const void *p)
{
	unsigned char *at = event_begin(kind);

	if (at != NULL)
		event_end(put_address(at, (uintptr_t)p));
}

void log_plain(enum event_kind kind)
{
	unsigned char *at = event_begin(kind);

	if (at != NULL)
		event_end(at);
}

/* Up to RUNS_MAX runs of resident pages; returns how many pages of the map they were taken from. */
static size_t put_runs(unsigned char **at, const unsigned char *resident, size_t pages, unsigned *runs)
{
	size_t i = 0;

	*runs = 0;
	while (i < pages && *runs < RUNS_MAX) {
		size_t gap = i, run;

		while (i < pages && !(resident[i] & 1))
			i++;
		run = i;
		while (i < pages && (resident[i] & 1))
			i++;
		if (i == run)
			break;
		*at = put_varint(put_varint(*at, run - gap), i - run);
		++*runs;
	}
	return i;
}

void log_touch(uint64_t address, uint64_t page, const unsigned char *resident, size_t pages)
{
	for (size_t done = 0; done < pages;) {
		unsigned char packed[RUNS_MAX * 4], *end = packed, *at;
		unsigned runs;
		size_t taken = put_runs(&end, resident + done, pages - done, &runs);

		if (runs > 0 && (at = event_begin(EVENT_TOUCH)) != NULL) {
			at = put_varint(put_address(at, address), page + done);
			*at++ = (unsigned char)runs;
			memcpy(at, packed, (size_t)(end - packed));
			event_end(at + (end - packed));
		}
		done += taken;
	}
}

/* What the recorder has written to; read without a lock, a buffer more or less does not matter. */
static uint64_t own_bytes(void)
{
	uint64_t bytes = resident_own_bytes(), page = (uint64_t)sysconf(_SC_PAGESIZE);

	for (struct log *l = atomic_load(&all_logs); l != NULL; l = l->next) {
		unsigned used = atomic_load_explicit(&l->used, memory_order_relaxed);
		size_t held = offsetof(struct log, events) + (used > l->written ? used : l->written);

		bytes += (held + page - 1) / page * page;
	}
	return bytes;
}

/* The program's anonymous resident memory, without the recorder's own; 0 if the kernel does not say. */
static uint64_t anonymous_kib(void)
{
	char text[128];
	unsigned long resident = 0, shared = 0;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/statm", O_RDONLY | O_CLOEXEC, 0);
	long n = fd < 0 ? -1 : syscall(SYS_read, fd, text, sizeof text - 1);
	uint64_t kib, own = own_bytes() / 1024;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	sscanf(text, "%*u %lu %lu", &resident, &shared);
	kib = (resident - shared) * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
	return kib > own ? kib - own : 0;
}

void log_sample(void)
{
	uint64_t kib = anonymous_kib();
	unsigned char *at = event_begin(EVENT_SAMPLE);

	if (at != NULL)
		event_end(put_varint(put_varint(at, (now_ns(CLOCK_MONOTONIC) - file.started_ns) / 1000), kib));
}

/* True for one of the threads that ask, if the time has come. */
static bool is_due(_Atomic uint64_t *last, uint64_t now, uint64_t distance)
{
	uint64_t seen = atomic_load_explicit(last, memory_order_relaxed);

	return now - seen >= distance && atomic_compare_exchange_strong(last, &seen, now);
}

void log_rest(void)
{
	int error = errno;
	uint64_t now = now_ns(CLOCK_MONOTONIC);

	self.wrote = false;
	if (is_due(&checked_ns, now, RESIDENT_NS))
		resident_check(false);
	if (is_due(&sampled_ns, now, SAMPLE_NS))
		log_sample();
	errno = error;
}

void log_inner(void)
{
	atomic_fetch_add_explicit(&inner, 1, memory_order_relaxed);
}

void log_thread_end(void)
{
	struct log *l;

	log_plain(EVENT_THREAD_END);
	l = self.log;
	self.ended = true;
	if (l != NULL)
		log_give_back(l);
}

static void thread_data_destroyed(void *data)
{
	if (atomic_load(&recording) != RECORDING_ON || self.busy || self.ended)
		return;
	self.busy = true;
	log_thread_end();
	self.busy = false;
}

static void forked_in_parent(void)
{
	atomic_fetch_add(&forks, 1);
}

static void forked_in_child(void)
{
	atomic_store(&recording, RECORDING_OFF);
}

/* %p in the pattern is the process's number; a file that is there already (a program before exec) is left alone. */
static bool make_path(const char *pattern, unsigned attempt)
{
	const char *number = strstr(pattern, "%p");
	int n;

	if (number != NULL)
		n = snprintf(file.path, sizeof file.path, "%.*s%d%s", (int)(number - pattern), pattern, (int)getpid(),
			     number + 2);
	else
		n = snprintf(file.path, sizeof file.path, "%s", pattern);
	if (n > 0 && attempt > 0)
		n += snprintf(file.path + n, sizeof file.path - (size_t)n, ".%u", attempt);
	return n > 0 && (size_t)n < sizeof file.path;
}

static int create_file(const char *pattern)
{
	struct stat s;

	for (unsigned attempt = 0; attempt < 1000; attempt++) {
		if (!make_path(pattern, attempt))
			return ENAMETOOLONG;
		file.fd = open_path(file.path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL);
		if (file.fd >= 0 || errno != EEXIST)
			break;
	}
	if (file.fd < 0 || fstat(file.fd, &s) != 0)
		return errno;
	file.device = s.st_dev;
	file.inode = s.st_ino;
	file.owner = getpid();
	return 0;
}

static int write_header(void)
{
	struct recording_header h = {.magic = RECORDING_MAGIC, .version = RECORDING_VERSION, .header_bytes = sizeof h};
	const char *name = (const char *)getauxval(AT_EXECFN); /* /proc/self/exe resolves links: redis-server is one */

	h.started_ns = now_ns(CLOCK_REALTIME);
	h.pid = (uint32_t)file.owner;
	h.page_bytes = (uint32_t)sysconf(_SC_PAGESIZE);
	snprintf(h.program, sizeof h.program, "%s", name != NULL ? name : "?");
	snprintf(h.allocator, sizeof h.allocator, "%s", file.allocator);
	h.check = check_sum(CHECK_START, &h, offsetof(struct recording_header, check));
	return append_locked((const char *)&h, sizeof h);
}

void log_prepare(const char *allocator)
{
	file.started_ns = now_ns(CLOCK_MONOTONIC);
	snprintf(file.allocator, sizeof file.allocator, "%s", allocator);
}

/* Under file_lock, since other libraries' constructors may have started threads. */
static int open_locked(void)
{
	const char *pattern = getenv("ASHLAR_RECORD");
	int error;

	if (file.open)
		return 0;
	if (pattern == NULL || pattern[0] != '/') {
		snprintf(file.path, sizeof file.path, "(ASHLAR_RECORD=%s is no absolute path)", pattern ? pattern : "");
		return EINVAL;
	}
	if ((error = create_file(pattern)) != 0)
		return error;
	if (pthread_key_create(&end_of_thread, thread_data_destroyed) == 0)
		atomic_store(&end_of_thread_made, true);
	if (self.log != NULL)
		pthread_setspecific(end_of_thread, self.log);
	pthread_atfork(NULL, forked_in_parent, forked_in_child);
	error = write_header();
	file.open = error == 0;
	return error;
}

void log_open(void)
{
	int error;

	pthread_mutex_lock(&file_lock);
	error = open_locked();
	pthread_mutex_unlock(&file_lock);
	if (error != 0)
		give_up("cannot create", error);
}

static void write_end(void)
{
	struct {
		struct chunk_header header;
		struct recording_end end;
	} last = {.header = {.thread = END_OF_RECORDING, .sequence = atomic_load(&sequence)}};

	last.end = (struct recording_end){.events = atomic_load(&sequence),
					  .inner = atomic_load(&inner),
					  .forks = atomic_load(&forks),
					  .lost = atomic_load(&lost)};
	write_chunk(&last.header, sizeof last.end);
}

/* Not from a handler that interrupted the recorder: its locks may be held below. */
void log_close(void)
{
	if (self.busy || atomic_load(&recording) != RECORDING_ON || !file.open || getpid() != file.owner)
		return;
	self.busy = true;
	resident_check(true);
	log_sample();
	atomic_store(&recording, RECORDING_OFF);
	for (struct log *l = atomic_load(&all_logs); l != NULL; l = l->next) {
		pthread_mutex_lock(&l->lock);
		log_write(l, true);
		pthread_mutex_unlock(&l->lock);
	}
	write_end();
	self.busy = false;
}
