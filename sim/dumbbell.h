/* SPDX-License-Identifier: MIT */
/*
 * Flows that share one bottleneck, in virtual time: a stack that sends, a stack that receives, the
 * link model (wire.h) between them with one queue for all, and a way back for each flow that makes
 * up its round trip. Nothing is compared or hashed, unlike in net.h: this is for figures over many
 * packets. The same on every machine.
 */
#ifndef SIM_DUMBBELL_H
#define SIM_DUMBBELL_H

#include <couplet/couplet.h>

#include "sim/wire.h"

#define DUMBBELL_FLOWS 16
#define DUMBBELL_PORT  5001 /* of the first flow's listener; the others follow */

/* Counts of values, to 3 per cent; all zero at first. */
struct spread {
	uint64_t n;
	uint32_t buckets[64 * 32];
};

void spread_add(struct spread *s, uint64_t value);
/* The value below which SHARE (0 to 1) of them lie; 0 if there are none. */
uint64_t spread_at(const struct spread *s, double share);

struct dumbbell_flow {
	char cc[16];
	uint64_t rtt_ns, start_ns;
	/* What came of it. */
	cpl_handle sender, receiver, listener;
	uint64_t received; /* octets that the receiving program has read */
	uint64_t last_read;
	struct spread gaps; /* between its reads, ns */
};

struct dumbbell {
	struct cpl_config config;
	cpl_stack *sender, *receiver;
	int sender_if, receiver_if;
	struct wire there, back[DUMBBELL_FLOWS];
	struct dumbbell_flow *flows;
	unsigned flows_n;
	uint64_t now;
	uint64_t packets;	/* of data, that reached the bottleneck */
	struct spread queueing; /* ns that packets waited for it */
};

/*
 * FLOWS (the caller's, as long as this lives) over a bottleneck of PARAMS: its delay_ns is replaced
 * by half of the shortest round trip. Buffers are as large as what fits into the network, so that
 * they are not what limits. Aborts without memory.
 */
void dumbbell_init(struct dumbbell *d, const struct wire_params *params,
		   struct dumbbell_flow *flows, unsigned flows_n, uint64_t seed);
void dumbbell_free(struct dumbbell *d);
/* All up to UNTIL, on the clock that began with 0. */
void dumbbell_run(struct dumbbell *d, uint64_t until);
/* The sender's block of FLOW. False: there is none. */
bool dumbbell_info(struct dumbbell *d, const struct dumbbell_flow *flow, struct cpl_info *info);

#endif
