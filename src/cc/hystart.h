/* SPDX-License-Identifier: MIT */
/*
 * HyStart++, RFC 9406: the first slow start ends when the round trip grows, before the queue of the
 * bottleneck overflows; by way of a few rounds of slower growth, in case it was only jitter.
 */
#ifndef CC_HYSTART_H
#define CC_HYSTART_H

#include <stdbool.h>
#include <stdint.h>

#include "base/sample.h"

struct hystart {
	uint64_t
		round_end; /* the round ends when what was sent after so much was delivered comes */
	uint32_t last_min_us;	 /* lastRoundMinRTT; UINT32_MAX: none */
	uint32_t current_min_us; /* currentRoundMinRTT */
	uint32_t baseline_us;	 /* cssBaselineMinRtt */
	uint8_t samples;	 /* rttSampleCount, as far as it matters */
	uint8_t css_rounds;	 /* of conservative slow start so far */
	bool css;
	bool begun;
};

void hystart_init(struct hystart *h);
/*
 * One ACK in the first slow start that acknowledges *BYTES: makes them fewer where growth is to be
 * slower. True: slow start is over; ssthresh = cwnd.
 */
bool hystart_ack(struct hystart *h, const struct ack_event *ev, uint32_t *bytes);

#endif
