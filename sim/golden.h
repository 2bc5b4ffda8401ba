/* SPDX-License-Identifier: MIT */
/*
 * Goodput in simulated networks, for loss x round trip x congestion control: the same on every
 * machine, so that a change of behaviour shows as a change of the committed table
 * (tests/sim/golden.txt).
 */
#ifndef SIM_GOLDEN_H
#define SIM_GOLDEN_H

#include <stdint.h>
#include <stdio.h>

struct golden_cell {
	const char *cc;
	uint64_t rate_bps;
	uint64_t rtt_ns;
	double loss;	  /* of what the sender sends */
	uint64_t seconds; /* simulated */
	uint64_t seed;
};

/* Bits a second that the receiving program got. The bottleneck's queue holds one BDP. */
uint64_t golden_goodput(const struct golden_cell *cell);
/* The table, each cell the mean of RUNS runs of SECONDS. */
void golden_print(FILE *file, unsigned seconds, unsigned runs);

#endif
