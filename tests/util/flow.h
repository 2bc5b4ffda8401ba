/* SPDX-License-Identifier: MIT */
/*
 * Flows of bulk data through one impairment wire (sim/wire.h) in real time, each end a Couplet
 * stack in this process or the kernel in a process and a network namespace of its own: what they
 * deliver, what they send again, how long the receiver waits. For benches; needs root, or a user
 * that may make namespaces. What cannot be set up ends the program with a sentence on stderr.
 */
#ifndef TESTS_UTIL_FLOW_H
#define TESTS_UTIL_FLOW_H

#include <stdint.h>

#include "sim/wire.h"

#define FLOWS_MAX   4
#define GAP_BUCKETS 832 /* 32 for each power of two of us */

struct flow_result {
	uint64_t octets;	/* that the receiver's program got */
	uint64_t retrans, sent; /* segments with payload */
	/* What one segment waited for after the one before it was delivered: how often how long. */
	uint32_t gaps[GAP_BUCKETS];
};

struct flow_run {
	const char *who[FLOWS_MAX]; /* "ck": Couplet sends, the kernel receives */
	const char *cc[FLOWS_MAX];  /* of the sender */
	unsigned n;
	struct wire_params wire[2]; /* data: shared by all flows; ACKs: a way for each */
	uint64_t later_ns; /* so much longer is the way of one: of the first if SEED / 2 is even */
	uint64_t apart_ns; /* one starts so much after the other: the first first if SEED is even */
	uint64_t seed;
	uint64_t run_ns,
		skip_ns;   /* for so long; what the receiver gets in the first is no result */
	const char *trace; /* NULL: none; or what the names of files begin with: the senders' cwnd,
			    * and when each segment came to the wire, its fate, octets waiting */
};

/* RESULT: one for each flow. Returns by how much the wire was late at most, in ns. */
uint64_t flows_run(const struct flow_run *run, struct flow_result *result);

/* The wait that a SHARE of the segments does not exceed, in ms. */
double flow_gap_ms(const uint32_t gaps[GAP_BUCKETS], double share);

#endif
