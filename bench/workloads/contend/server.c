/* SPDX-License-Identifier: MIT
 *
 * A network server of four threads: a request makes a dozen objects (headers, strings, parsed structures, a body up to
 * 20 KiB, now and then a 64 KiB buffer) and frees them at its end; about one request in sixteen logs a session out and
 * another in, and a session's state lives for thousands of requests. Requests overlap, eight to a thread.
 */
#include "bench/harness.h"

#define SESSIONS 1000
#define SESSION_OBJECTS 6
#define OBJECTS 13
#define IN_FLIGHT 8
#define REQUESTS 2000

struct request {
	void *object[OBJECTS];
};

struct session {
	void *state[SESSION_OBJECTS];
};

/* Sizes as often as they occur here: mostly short strings and small structures, some buffers. */
static const unsigned request_sizes[] = {
	16,  24,  24,  32,  32,  40,  48,  48,  64,   64,   72,   96,   104,  128,  160,  192,
	224, 256, 256, 320, 400, 512, 560, 768, 1024, 1024, 1500, 2048, 4096, 4096, 8192, 20480,
};
static const unsigned session_sizes[SESSION_OBJECTS] = {448, 128, 64, 1024, 32, 256};

static void end_request(struct request *q)
{
	for (int i = 0; i < OBJECTS; i++) {
		free(q->object[i]);
		q->object[i] = NULL;
	}
}

static void begin_request(struct request *q, struct bench_random *r)
{
	uint64_t picks = bench_random(r);

	for (int i = 0; i < OBJECTS - 1; i++)
		q->object[i] = bench_malloc(request_sizes[(picks >> (5 * i)) & 31]);
	if (bench_between(r, 0, 9) == 0)
		q->object[OBJECTS - 1] = bench_malloc(64 * 1024);
}

static void log_out(struct session *s)
{
	for (int i = 0; i < SESSION_OBJECTS; i++) {
		free(s->state[i]);
		s->state[i] = NULL;
	}
}

static void log_in(struct session *s)
{
	for (int i = 0; i < SESSION_OBJECTS; i++)
		s->state[i] = bench_malloc(session_sizes[i]);
}

static void serve(void *seed, unsigned thread)
{
	struct session *sessions = calloc(SESSIONS, sizeof *sessions);
	struct request in_flight[IN_FLIGHT] = {0};
	struct bench_random r = bench_seed(*(uint64_t *)seed * 1000 + thread);

	for (int n = 0; n < REQUESTS * 10; n++) {
		end_request(&in_flight[n % IN_FLIGHT]);
		begin_request(&in_flight[n % IN_FLIGHT], &r);
		if (bench_between(&r, 0, 15) == 0) {
			struct session *s = &sessions[bench_between(&r, 0, SESSIONS - 1)];

			log_out(s);
			log_in(s);
		}
	}
	for (int i = 0; i < IN_FLIGHT; i++)
		end_request(&in_flight[i]);
	for (int i = 0; i < SESSIONS; i++)
		log_out(&sessions[i]);
	free(sessions);
}

static void server(struct bench *b)
{
	uint64_t seed = 0;

	while (bench_next(b)) {
		bench_parallel(bench_threads(b), serve, &seed);
		seed++;
	}
	bench_operations(b, REQUESTS * 10.0 * bench_threads(b));
}

BENCH_WORKLOAD(contend, server, .run = server, .iterations = 12, .quick = 1, .threads = 4);
