/* SPDX-License-Identifier: MIT */
/*
 * The link model in real time: frames from one descriptor to another and back, for `couplet wire`.
 * One thread; descriptors keep frames apart (TUN, TAP, datagram sockets).
 */
#ifndef SIM_RELAY_H
#define SIM_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/wire.h"

struct relay {
	int fd[2];	     /* a and b, not blocking; the caller's */
	struct wire wire[2]; /* from a to b, and back */
	bool spin;	     /* never sleep: exact to a microsecond, at the cost of a core */
	uint64_t bytes[2];
	uint64_t refused[2];		     /* frames that the device did not take */
	uint64_t late_ns[2], late_max_ns[2]; /* how much later than due: in all, and most */
	uint64_t left[2];		     /* frames that came out */
};

/* Time begins at 0 now. PARAMS and SEED as for wire_init(). */
void relay_init(struct relay *relay, int a, int b, const struct wire_params params[2],
		uint64_t seed);
void relay_destroy(struct relay *relay);
/* CLOCK_MONOTONIC, ns. */
uint64_t relay_clock(void);
/*
 * Moves what has come and what is due at NOW (ns on relay_clock()). Returns 0, or a negative errno:
 * a device is gone.
 */
int relay_step(struct relay *relay, uint64_t now);
/* When the next frame is due, on relay_clock(); UINT64_MAX: none is inside. */
uint64_t relay_deadline(const struct relay *relay);
/* Runs until relay_clock() is UNTIL or *STOP is set. Returns 0 or as relay_step(). */
int relay_run(struct relay *relay, uint64_t until, const volatile int *stop);

#endif
