/* SPDX-License-Identifier: MIT */
/* The link model in real time: see relay.h. */
#define _GNU_SOURCE
#include "sim/relay.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define BURST	  64 /* frames read in a row from one side */
#define FRAME_MAX 65600
/* A sleep that is shorter is not worth it. Timers may be later by some 50 us; but who spins so long
 * between the packets of 200 Mbit/s has the core to itself, or is denied it at real-time priority.
 */
#define SPIN_NS	  10000u
#define SECOND	  1000000000u

uint64_t relay_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void relay_init(struct relay *relay, int a, int b, const struct wire_params params[2],
		uint64_t seed)
{
	uint64_t start = relay_clock();

	memset(relay, 0, sizeof(*relay));
	relay->fd[0] = a;
	relay->fd[1] = b;
	for (unsigned d = 0; d < 2; d++) {
		struct wire_params p = params[d];

		/* The wire's clock is ours: spans are given from the start. */
		for (unsigned i = 0; i < p.down_n; i++) {
			p.down[i].from += start;
			p.down[i].to += start;
		}
		wire_init(&relay->wire[d], &p, seed * 2 + d);
	}
	prctl(PR_SET_TIMERSLACK, 1);
}

void relay_destroy(struct relay *relay)
{
	for (unsigned d = 0; d < 2; d++)
		wire_destroy(&relay->wire[d]);
}

/* False: nothing more to read now. */
static int take_in(struct relay *relay, unsigned d, uint64_t now)
{
	uint8_t frame[FRAME_MAX];

	for (unsigned i = 0; i < BURST; i++) {
		ssize_t n = read(relay->fd[d], frame, sizeof(frame));

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (!n)
			return -EPIPE;
		relay->bytes[d] += (uint64_t)n;
		wire_put(&relay->wire[d], frame, (uint32_t)n, 0, 0, now, NULL);
	}
	return 1;
}

static void give_out(struct relay *relay, unsigned d, uint64_t now)
{
	struct wire_frame *f;

	while ((f = wire_take(&relay->wire[d], now))) {
		uint64_t late = now - f->at;

		if (write(relay->fd[!d], f->data, f->len) < 0)
			relay->refused[d]++;
		relay->left[d]++;
		relay->late_ns[d] += late;
		if (late > relay->late_max_ns[d])
			relay->late_max_ns[d] = late;
		free(f);
	}
}

int relay_step(struct relay *relay, uint64_t now)
{
	bool more = false;

	for (unsigned d = 0; d < 2; d++) {
		int n = take_in(relay, d, now);

		if (n < 0)
			return n;
		more |= n;
	}
	for (unsigned d = 0; d < 2; d++)
		give_out(relay, d, now);
	return more;
}

uint64_t relay_deadline(const struct relay *relay)
{
	uint64_t a = wire_deadline(&relay->wire[0]), b = wire_deadline(&relay->wire[1]);

	return a < b ? a : b;
}

/* Sleeps until something comes, or is due, or UNTIL. */
static void sleep_for(const struct relay *relay, uint64_t now, uint64_t until)
{
	struct pollfd fds[2] = { { relay->fd[0], POLLIN, 0 }, { relay->fd[1], POLLIN, 0 } };
	uint64_t due = relay_deadline(relay), ns;
	struct timespec t;

	due = due < until ? due : until;
	if (relay->spin || due < now + SPIN_NS)
		return;
	ns = due - now - SPIN_NS;
	if (ns > SECOND / 5) /* to look at *STOP, which a signal may set just before the sleep */
		ns = SECOND / 5;
	t.tv_sec = 0;
	t.tv_nsec = (long)ns;
	ppoll(fds, 2, &t, NULL);
}

int relay_run(struct relay *relay, uint64_t until, const volatile int *stop)
{
	uint64_t now;

	while ((now = relay_clock()) < until && !*stop) {
		int more = relay_step(relay, now);

		if (more < 0)
			return more;
		if (!more)
			sleep_for(relay, now, until);
	}
	return 0;
}
